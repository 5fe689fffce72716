// Events in both directions: arguments of every kind, order, catch-all and fallback handlers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, collect, matrix, next, onlyJSON, settle } from "./harness.js";

const values = {
  "no argument": [],
  "a string": ["hello"],
  "an empty string": [""],
  "numbers": [0, -1, 1.5, Number.MAX_SAFE_INTEGER, 5e-324],
  "true, false and null": [true, false, null],
  "several arguments": [1, "two", { three: 3 }, ["four"], null, true],
  "unicode": ["gr\u00fc\u00dfe \u4f60\u597d \ud83d\udc69\u200d\ud83d\udc67 \u0000 \u001f \u2028 \u2029 \ufeff", { "k\u00e9y \ud83d\ude80": "\ud800\udc00" }],
  "text that looks like packets": ["2[\"x\"]", "51-[", "\u001e", "b4AAAA", "{\"_placeholder\":true,\"num\":0}"],
  "quotes and backslashes": ["\\ \" \\\" </script> \n\r\t\b\f"],
  "nested JSON": [{ a: [{ b: { c: [[[], {}], [null]] } }], "": { " ": 0 } }],
  "a long list": [Array.from({ length: 2000 }, (_, i) => i)],
};

matrix("events", (clients) => {
  for (const [name, args] of Object.entries(values)) {
    test(`carries ${name} both ways`, async () => {
      const socket = await clients.connect();
      const echoed = next(socket, "echo");
      socket.emit("echo", ...args);
      assert.deepEqual(await echoed, args);
    });
  }

  test("carries large numbers both ways", onlyJSON, async () => {
    const socket = await clients.connect();
    assert.equal(await call(socket, "echoAck", 1e21), 1e21);
  });

  test("carries an object that looks like a prototype both ways", onlyJSON, async () => {
    const socket = await clients.connect();
    const object = JSON.parse('{"__proto__":{"x":1},"constructor":"c"}');
    assert.deepEqual(await call(socket, "echoAck", object), object);
  });

  test("turns undefined into null, as JSON does", onlyJSON, async () => {
    const socket = await clients.connect();
    socket.emit("echo", undefined, [undefined], { gone: undefined });
    assert.deepEqual(await next(socket, "echo"), [null, [null], {}]);
  });

  test("repairs unpaired surrogates", onlyJSON, async () => {
    const socket = await clients.connect();
    socket.emit("echo", "a\ud800b");
    const [text] = await next(socket, "echo");
    assert.ok(["a\ufffdb", "a\ud800b"].includes(text), JSON.stringify(text));
  });

  for (const size of [125, 126, 65_535, 65_536, 900_000]) {
    test(`carries a text of ${size} characters both ways`, size > 700_000 ? onlyJSON : {}, async () => {
      const socket = await clients.connect();
      const text = "abcdefghij".repeat(size / 10 + 1).slice(0, size);
      socket.emit("echo", text);
      const [back] = await next(socket, "echo");
      assert.ok(back === text, "the text came back changed");
    });
  }

  test("decodes into Go types", async () => {
    const socket = await clients.connect();
    const sent = { text: "typed", count: 7, tags: ["a", "b"], inner: { x: 1.5 }, unknown: "ignored" };
    assert.deepEqual(await call(socket, "typed", sent), { text: "typed", count: 7, tags: ["a", "b"], inner: { x: 1.5 } });
  });

  test("hands positional arguments to typed handlers", async () => {
    const socket = await clients.connect();
    socket.emit("divide", 10, 4);
    assert.deepEqual(await next(socket, "divided"), [2.5]);
  });

  test("survives arguments of the wrong type", async () => {
    const socket = await clients.connect();
    socket.emit("divide", "ten", { four: 4 });
    socket.emit("typed", 17);
    assert.equal(await call(socket, "echoAck", "still here"), "still here");
  });

  test("keeps the order of events", async () => {
    const socket = await clients.connect();
    const got = collect(socket, "echo");
    for (let i = 0; i < 1000; i++) socket.emit("echo", i);
    assert.deepEqual(await got.until(1000), Array.from({ length: 1000 }, (_, i) => i));
  });

  test("sends a burst from the server in order", async () => {
    const socket = await clients.connect();
    const got = collect(socket, "seq");
    socket.emit("burst", { n: 1000, size: 50 });
    const items = await got.until(1000);
    assert.deepEqual(items.map((m) => m.n), Array.from({ length: 1000 }, (_, i) => i));
    assert.ok(items.every((m) => m.fill.length === 50));
  });

  test("answers the catch-all handler beside the normal one", async () => {
    const socket = await clients.connect("/any");
    const seen = next(socket, "any");
    assert.equal(await call(socket, "known", 1), "known");
    assert.deepEqual(await seen, ["known", 1]);
  });

  test("calls the fallback handler only for events nobody handles", async () => {
    const socket = await clients.connect("/any");
    const fallbacks = collect(socket, "fallback");
    await call(socket, "known", 1);
    socket.emit("surprise", { a: 1 }, "b");
    await fallbacks.until(1);
    assert.deepEqual(fallbacks.items, ["surprise"]);
  });

  test("acknowledges from the fallback handler", async () => {
    const socket = await clients.connect("/any");
    assert.equal(await call(socket, "another surprise"), "fallback of another surprise");
  });

  test("ignores events without any handler", async () => {
    const socket = await clients.connect();
    socket.emit("nobody handles this", 1, 2, 3);
    await settle(socket);
    assert.ok(socket.connected);
  });

  test("lets a panicking handler cost only its event", async () => {
    const socket = await clients.connect();
    socket.emit("panic");
    assert.equal(await call(socket, "echoAck", "still here"), "still here");
  });

  test("keeps the values the application stored with the socket", async () => {
    const [a, b] = await clients.several(2);
    await call(a, "setData", "mine");
    await call(b, "setData", { theirs: [1] });
    assert.equal(await call(a, "getData"), "mine");
    assert.deepEqual(await call(b, "getData"), { theirs: [1] });
  });

  test("lets clients catch all events", async () => {
    const socket = await clients.connect();
    const seen = new Promise((resolve) => socket.onAny((...args) => resolve(args)));
    socket.emit("echo", 1, 2);
    assert.deepEqual(await seen, ["echo", 1, 2]);
  });
});
