import { io } from "socket.io-client";

const socket = io(process.argv[2] ?? "http://localhost:3000");

socket.onAny((event, ...args) => console.log("in:", event, args));
socket.onAnyOutgoing((event, ...args) => console.log("out:", event, args));
socket.on("unknown", () => socket.disconnect());
socket.on("connect", () => {
  socket.emit("double", 21);
  socket.emit("what is this", "?");
});
