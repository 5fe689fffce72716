import { io } from "socket.io-client";

const url = process.argv[2] ?? "http://localhost:3000";
const clients = ["ada", "bob", "cyd"].map((name) => {
  const socket = io(url, { forceNew: true });
  socket.on("said", (to, except) => console.log(`  ${name}, being in ${to}, not ${except}`));
  return socket;
});
const [ada, bob, cyd] = clients;

async function show(title, event, ...args) {
  console.log(title);
  await ada.emitWithAck(event, ...args);
  for (const client of clients) await client.emitWithAck("rooms"); // what was sent before has arrived by then
}

await ada.emitWithAck("join", ["red"]);
await bob.emitWithAck("join", ["red", "blue"]);
await cyd.emitWithAck("join", ["blue"]);
console.log("bob is in", await bob.emitWithAck("rooms"));

await show("to red", "send", ["red"], []);
await show("to red and blue, each once", "send", ["red", "blue"], []);
await show("to red, not to blue", "send", ["red"], ["blue"]);
await show("ada says something in red", "say", "red");
await bob.emitWithAck("leave", "red");
await show("after bob has left", "send", ["red"], []);
for (const client of clients) client.disconnect();
