import { io } from "socket.io-client";

const socket = io(process.argv[2] ?? "http://localhost:3000");

socket.emit("knock");
socket.emit("hello", 1, "two", [3, 4.5]);
socket.emit("hello", "one", "two"); // does not fit: the handler is not called, the server's log says so
socket.emit("draw", { title: "a line", pixels: new Uint8Array([1, 2, 3]), tags: ["black"] });
socket.emit("anything", { a: [1, null] }, true, "x");

socket.on("drawn", (drawing, size) => console.log("drawn", drawing.title, drawing.pixels, drawing.tags, size));
socket.on("anything", (...args) => {
  console.log("anything", args);
  socket.disconnect();
});
