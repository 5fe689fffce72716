import { io } from "socket.io-client";

const socket = io(process.argv[2] ?? "http://localhost:3000");
socket.on("welcome", (id) => {
  console.log("connected, the server knows my id:", id === socket.id);
  socket.disconnect();
});
