import { io } from "socket.io-client";

const url = process.argv[2] ?? "http://localhost:3000";
const [ada, bob, cyd] = ["ada", "bob", "cyd"].map((name) => {
  const socket = io(url, { forceNew: true });
  socket.on("said", (to, text) => console.log(`${name} reads, to ${to}: ${text}`));
  return socket;
});

// Packets keep their order: once the answer is here, so is everything that was sent before.
async function settle() {
  for (const socket of [ada, bob, cyd]) await socket.emitWithAck("sync");
}

await settle();
ada.emit("to all", "hello");
await settle();
bob.emit("to others", "hello from bob");
await settle();
cyd.emit("to one", ada.id, "hello, ada");
await settle();
for (const socket of [ada, bob, cyd]) socket.disconnect();
