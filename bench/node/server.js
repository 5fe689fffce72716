// The reference server with the events of bench/server, for comparison.
//
//   node server.js -addr 127.0.0.1:3000 [-msgpack]
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";

// Flags are Go's: one dash will do.
const args = process.argv.slice(2).map((arg) => arg.replace(/^-(?=[a-z])/, "--"));
const flags = parseArgs({
  args,
  options: {
    addr: { type: "string", default: "127.0.0.1:3000" },
    msgpack: { type: "boolean", default: false },
  },
}).values;
const [host, port] = flags.addr.split(":");

const http = createServer();
const io = new Server(http, { serveClient: false, ...(flags.msgpack && { parser: msgpack }) });

io.on("connection", (socket) => {
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack();
  });
  socket.on("leave", (room, ack) => {
    socket.leave(room);
    ack();
  });
  socket.on("bcast", (room, payload) => io.to(room).emit("msg", payload));
  socket.on("echo", (payload, ack) => ack(payload));
});

http.listen(Number(port), host, () => console.log(`listening on ${host}:${port} (node ${process.version})`));
process.on("SIGTERM", () => process.exit(0));
