import { io } from "socket.io-client";

const url = process.argv[2] ?? "http://localhost:3000";
const reader = io(url, { forceNew: true, reconnection: false });
const writer = io(url, { forceNew: true });
const next = (event) => new Promise((resolve) => reader.once(event, resolve));

const ids = [];
reader.on("connect", () => {
  ids.push(reader.id);
  console.log("connected, recovered:", reader.recovered);
});
reader.on("news", (text) => console.log("news:", text));
await next("connect");
writer.emitWithAck("publish", "read while connected");
await next("news");

// The connection breaks, and what is sent meanwhile comes when the client is back. Clients reconnect by themselves; this one
// waits until there is something to miss.
reader.io.engine.close();
await writer.emitWithAck("publish", "sent while away");
await writer.emitWithAck("publish", "this, too");
reader.connect();
await next("connect");
console.log("the same id:", ids[0] === ids[1]);
reader.disconnect();
writer.disconnect();
