import { io } from "socket.io-client";

const socket = io(process.argv[2] ?? "http://localhost:3000", { reconnectionDelay: 50, transports: ["websocket"] });
socket.on("connect", () => console.log("connected"));
socket.on("disconnect", (reason) => console.log("disconnected:", reason));
const next = (event) => new Promise((resolve) => socket.once(event, resolve));

await socket.emitWithAck("say", "hello");

// A lost connection: the client comes back by itself, and sends what it was given meanwhile.
socket.emit("wait");
await next("waiting");
socket.io.engine.close();
await socket.emitWithAck("say", "said while the connection was away");

// Disconnected by the server: now it is up to us to come back.
socket.emit("kick me");
await next("disconnect");
socket.connect();
await next("connect");
socket.disconnect();
