// The reference server with the events of bench/server, for comparison.
//
//   node server.js -addr 127.0.0.1:3000
import { createServer } from "node:http";
import { Server } from "socket.io";

const at = process.argv.indexOf("-addr");
const [host, port] = (at < 0 ? "127.0.0.1:3000" : process.argv[at + 1]).split(":");

const http = createServer();
const io = new Server(http, { serveClient: false });

io.on("connection", (socket) => {
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack();
  });
  socket.on("bcast", (room, payload) => io.to(room).emit("msg", payload));
  socket.on("echo", (payload, ack) => ack(payload));
});

http.listen(Number(port), host, () => console.log(`listening on ${host}:${port} (node ${process.version})`));
process.on("SIGTERM", () => process.exit(0));
