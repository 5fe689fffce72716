import { io } from "socket.io-client";

const url = process.argv[2] ?? "http://localhost:3000";
const chair = io(url, { forceNew: true });
console.log("before:", (await chair.emitWithAck("anybody there?")).error.message);

// Two agree, one does not, one answers nonsense, one says nothing.
const answers = [true, true, false, "perhaps", undefined];
const voters = await Promise.all(
  answers.map(async (answer) => {
    const voter = io(url, { forceNew: true });
    voter.on("vote", (question, reply) => answer !== undefined && reply(answer));
    await voter.emitWithAck("register");
    return voter;
  }),
);
voters[0].on("name?", (reply) => reply("the first one"));

let most = 0;
chair.on("count", (n) => (most = n));
console.log("result:", await chair.emitWithAck("ask", "tea?"));
console.log("votes seen on the way:", most);
console.log("after:", await chair.emitWithAck("anybody there?"));
for (const socket of [chair, ...voters]) socket.disconnect();
