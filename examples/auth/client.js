import { io } from "socket.io-client";

const url = process.argv[2] ?? "http://localhost:3000";

// connect resolves with a connected socket, or with the error of the refusal.
function connect(namespace, token) {
  const socket = io(url + namespace, { auth: { token }, forceNew: true });
  return new Promise((resolve) => {
    socket.on("connect", () => resolve(socket));
    socket.on("connect_error", resolve);
  });
}

const stranger = await connect("/", "no token");
console.log("stranger:", stranger.message, stranger.data);

const bob = await connect("/", "bob's token");
console.log("bob is", await bob.emitWithAck("who am i?"));
console.log("bob as an administrator:", (await connect("/admin", "bob's token")).message);
for (let i = 0; i < 3; i++) console.log("bob again:", await bob.emitWithAck("who am i?"));

const ada = await connect("/admin", "ada's token");
bob.on("disconnect", (reason) => {
  console.log("bob:", reason);
  process.exit();
});
await ada.emitWithAck("ban", "Bob");
