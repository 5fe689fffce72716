import { io } from "socket.io-client";

const socket = io(process.argv[2] ?? "http://localhost:3000");

// With a callback, with a time-out, and as a promise.
socket.emit("divide", 6, 2, (result) => console.log("callback", result));
socket.timeout(5000).emit("divide", 1, 4, (err, result) => console.log("callback with time-out", err, result));
console.log("promise", await socket.emitWithAck("divide", 9, 3));
console.log("error", (await socket.emitWithAck("divide", 1, 0)).error);
await new Promise((done) =>
  socket.emit("later", (...values) => {
    console.log("several values", values);
    done();
  }),
);
await socket
  .timeout(50)
  .emitWithAck("never")
  .catch((err) => console.log("no answer:", err.message));

socket.on("name?", (answer) => answer("Ada"));
socket.on("silence?", () => {}); // does not answer
socket.on("thanks", () => socket.disconnect());
socket.emit("ask me");
