import { io } from "socket.io-client";

const url = process.argv[2] ?? "http://localhost:3000";
const worker = io(url, { transports: ["websocket"], forceNew: true, reconnectionDelay: 50 });
const ready = async () => (await fetch(`${url}/ready`)).status;
const next = (event) => new Promise((resolve) => worker.once(event, resolve));

console.log("ready:", await ready());
const working = next("working");
const job = worker.emitWithAck("work");
const finish = await working; // the job ends when we call it

await fetch(`${url}/stop`, { method: "POST" });
while ((await ready()) === 200);
console.log("ready:", await ready());

const late = io(url, { transports: ["websocket"], forceNew: true, reconnection: false });
await new Promise((resolve) => late.on("connect_error", resolve));
console.log("nobody gets in any more");

const gone = next("disconnect");
finish();
console.log("the job is", await job);
console.log("then:", await gone);
worker.disconnect();
