// Acknowledgements in both directions.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, matrix, unique } from "./harness.js";

matrix("acks", (clients) => {
  test("answers with values of every kind", async () => {
    const socket = await clients.connect();
    for (const value of ["text", 1, null, true, [1, [2]], { a: { b: "c" } }, Buffer.from([1, 2, 3]), { deep: [Buffer.alloc(300, 7)] }]) {
      assert.deepEqual(await call(socket, "echoAck", value), value);
    }
  });

  test("answers with several values", async () => {
    const socket = await clients.connect();
    const args = await new Promise((resolve) => socket.emit("echoAck", 1, Buffer.from("2"), { three: 3 }, (...a) => resolve(a)));
    assert.deepEqual(args, [1, Buffer.from("2"), { three: 3 }]);
  });

  test("answers without a value", async () => {
    const socket = await clients.connect();
    const args = await new Promise((resolve) => socket.emit("echoAck", (...a) => resolve(a)));
    assert.deepEqual(args, []);
  });

  test("lets the client time out, and go on", async () => {
    const socket = await clients.connect();
    await assert.rejects(socket.timeout(50).emitWithAck("neverAck"), /timed out/);
    assert.equal(await call(socket, "echoAck", 1), 1);
  });

  test("answers 500 at once, in order", async () => {
    const socket = await clients.connect();
    const order = [];
    await Promise.all(Array.from({ length: 500 }, (_, i) => call(socket, "echoAck", i).then((v) => order.push(v))));
    assert.deepEqual(order, Array.from({ length: 500 }, (_, i) => i));
  });

  test("tells the client the message and data of a public error", async () => {
    const socket = await clients.connect();
    assert.deepEqual(await call(socket, "fail"), { error: { message: "out of stock", data: { left: 0 } } });
  });

  test("hides other errors from the client", async () => {
    const socket = await clients.connect();
    const answer = await call(socket, "failInside");
    assert.equal(typeof answer.error.message, "string");
    assert.doesNotMatch(JSON.stringify(answer), /database/);
  });

  test("lets the server call the client from within a handler", async () => {
    const socket = await clients.connect();
    socket.on("question", (text, number, ack) => ack({ text, number }));
    assert.deepEqual(await call(socket, "callBack", { event: "question", args: ["why", 42] }), { answer: { text: "why", number: 42 } });
  });

  test("carries binary in the client's answer", async () => {
    const socket = await clients.connect();
    socket.on("question", (ack) => ack({ data: Buffer.from([9, 8, 7]) }));
    assert.deepEqual(await call(socket, "callBack", { event: "question", args: [] }), { answer: { data: Buffer.from([9, 8, 7]) } });
  });

  test("lets the server time out, and ignores the late answer", async () => {
    const socket = await clients.connect();
    let late;
    socket.on("question", (ack) => (late = ack));
    assert.deepEqual(await call(socket, "callBack", { event: "question", args: [], timeoutMs: 30 }), { error: "timeout" });
    late("too late");
    assert.equal(await call(socket, "echoAck", "fine"), "fine");
  });

  test("ignores a second answer", async () => {
    const socket = await clients.connect();
    socket.on("question", (ack) => {
      ack("first");
      ack("second");
    });
    assert.deepEqual(await call(socket, "callBack", { event: "question", args: [] }), { answer: "first" });
    assert.equal(await call(socket, "echoAck", "fine"), "fine");
  });

  test("fails the server's calls when the client leaves", async () => {
    const [asked, watcher] = await clients.several(2);
    const { id } = asked;
    asked.on("question", () => asked.disconnect());
    asked.emit("callBack", { event: "question", args: [], timeoutMs: 60_000, tag: id });
    const { error } = await clients.server().saw((e) => e.event === "call failed" && e.tag === id, "failed call");
    assert.equal(error, "disconnected");
    assert.equal(await call(watcher, "echoAck", 1), 1);
  });

  test("lets the server call 200 times, answered in any order", async () => {
    const socket = await clients.connect();
    const held = [];
    socket.on("number", (n, ack) => {
      held.push([n, ack]);
      if (held.length === 200) for (const [m, answer] of held.reverse()) answer(m * 2);
    });
    assert.deepEqual(await call(socket, "callMany", 200), Array.from({ length: 200 }, (_, i) => i * 2));
  });

  test("gathers the answers of a room", async () => {
    const room = unique("gather");
    const all = await clients.several(5);
    for (const [i, socket] of all.entries()) {
      socket.on("vote", (question, ack) => ack({ question, choice: i }));
      await call(socket, "join", room);
    }
    const { answers, error } = await call(all[0], "gather", { to: [room], except: [all[4].id], event: "vote", args: ["lunch?"], timeoutMs: 5000 });
    assert.equal(error, undefined);
    assert.deepEqual(answers.map((a) => a.choice).sort(), [0, 1, 2, 3]);
    assert.ok(answers.every((a) => a.question === "lunch?"));
  });

  test("gathers what it got when somebody does not answer in time", async () => {
    const room = unique("gather");
    const all = await clients.several(3);
    for (const [i, socket] of all.entries()) {
      socket.on("vote", (ack) => i > 0 && ack(i));
      await call(socket, "join", room);
    }
    const { answers, error } = await call(all[0], "gather", { to: [room], event: "vote", args: [], timeoutMs: 200 });
    assert.equal(error, "timeout");
    assert.deepEqual(answers.sort(), [1, 2]);
  });

  test("gathers nothing from an empty room", async () => {
    const socket = await clients.connect();
    const { answers, error } = await call(socket, "gather", { to: [unique("empty")], event: "vote", args: [], timeoutMs: 5000 });
    assert.equal(error, undefined);
    assert.deepEqual(answers, []);
  });
});
