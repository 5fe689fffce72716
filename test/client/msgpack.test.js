// The same server with the parser of the package socket.io-msgpack-parser. TEST_PARSER=msgpack runs the other files with
// it, too; here is what is special about it, and each feature once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, collect, matrix, msgpackParser, next, quiet, unique, upgraded } from "./harness.js";

const bytes = (n, seed = 1) => Buffer.from(Array.from({ length: n }, (_, i) => (i * 31 + seed) & 0xff));

const values = {
  "nothing": [],
  "true, false and null": [true, false, null],
  "small integers": [0, 1, 127, 128, 255, 256, 65_535, 65_536, -1, -32, -33, -128, -129, -32_768, -32_769],
  "large integers": [2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER, 2 ** 63, -(2 ** 31) - 1, -(2 ** 53), -(2 ** 63)],
  "fractions": [1.5, -0.1, 5e-324, 1e-300],
  "NaN and the infinities": [NaN, Infinity, -Infinity],
  "strings at the limits of their formats": [0, 31, 32, 255, 256, 65_535, 65_536].map((n) => "s".repeat(n)),
  "unicode": ["gr\u00fc\u00dfe \u4f60\u597d \ud83d\udc69\u200d\ud83d\udc67 \u0000 \u2028", { "k\u00e9y \ud83d\ude80": "\ud800\udc00" }],
  "lists at the limits of their formats": [0, 15, 16, 65_535, 65_536].map((n) => Array.from({ length: n }, (_, i) => i)),
  "objects at the limits of their formats": [0, 15, 16, 65_536].map((n) =>
    Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i])),
  ),
  "Dates": [new Date(1_700_000_000_123), new Date(-1), { at: [new Date(0), new Date(8.64e15)] }],
  "Buffers": [0, 1, 255, 256, 65_535, 65_536].map((n) => bytes(n)),
  "more Buffers than the JSON parser allows": Array.from({ length: 50 }, (_, i) => bytes(i, i)),
  "nested Buffers": [{ file: bytes(10), more: [bytes(3, 2), { deep: { deeper: bytes(1, 3) } }] }],
  "what looks like a placeholder": [{ _placeholder: true, num: 0 }],
};

matrix(
  "msgpack",
  (clients) => {
    test("carries values of every kind both ways", async () => {
      const socket = await clients.connect();
      for (const [name, args] of Object.entries(values)) {
        socket.emit("echo", ...args);
        assert.deepEqual(await next(socket, "echo"), args, name);
      }
    });

    test("carries ArrayBuffers and typed arrays as binary", async () => {
      const socket = await clients.connect();
      const list = Float64Array.of(1.5, -2);
      for (const n of [0, 1, 8, 300]) {
        assert.deepEqual(await call(socket, "echoAck", new Uint8Array(bytes(n)).buffer), bytes(n));
      }
      assert.deepEqual(await call(socket, "echoAck", { list }), { list: Buffer.from(list.buffer) });
    });

    test("turns undefined into null", async () => {
      const socket = await clients.connect();
      socket.emit("echo", undefined, [undefined], { gone: undefined });
      assert.deepEqual(await next(socket, "echo"), [null, [null], { gone: null }]);
    });

    test("uses toJSON", async () => {
      const socket = await clients.connect();
      assert.deepEqual(await call(socket, "echoAck", { toJSON: () => ({ x: [1] }) }), { x: [1] });
    });

    test("keeps the order of events", async () => {
      const socket = await clients.connect();
      const got = collect(socket, "echo");
      for (let i = 0; i < 500; i++) socket.emit("echo", { i, data: bytes(i % 300) });
      const items = await got.until(500);
      assert.deepEqual(items.map((m) => m.i), Array.from({ length: 500 }, (_, i) => i));
      assert.deepEqual(items[299].data, bytes(299));
    });

    test("decodes into Go types and back, under the names of JSON", async () => {
      const socket = await clients.connect();
      const typed = { text: "typed", count: 7, tags: ["a", "b"], inner: { x: 2 } };
      assert.deepEqual(await call(socket, "typed", { ...typed, unknown: 1 }), typed);
      const file = { name: "photo", blob: bytes(20), parts: [bytes(1), bytes(2)] };
      assert.deepEqual(await call(socket, "typedBinary", file), file);
      socket.emit("divide", 10, 4);
      assert.deepEqual(await next(socket, "divided"), [2.5]);
    });

    test("survives arguments of the wrong type", async () => {
      const socket = await clients.connect();
      socket.emit("divide", "ten", new Date());
      socket.emit("typed", bytes(3));
      assert.equal(await call(socket, "echoAck", "still here"), "still here");
    });

    test("acknowledges in both directions", async () => {
      const socket = await clients.connect();
      const args = await new Promise((resolve) => socket.emit("echoAck", 1, bytes(2), { three: 3 }, (...a) => resolve(a)));
      assert.deepEqual(args, [1, bytes(2), { three: 3 }]);
      socket.on("question", (q, answer) => answer({ got: q, at: new Date(5) }));
      assert.deepEqual(await call(socket, "callBack", { event: "question", args: [bytes(3)] }), {
        answer: { got: bytes(3), at: new Date(5) },
      });
      socket.on("number", (n, answer) => answer(n));
      assert.deepEqual(await call(socket, "callMany", 100), Array.from({ length: 100 }, (_, i) => i));
      assert.deepEqual(await call(socket, "fail"), { error: { message: "out of stock", data: { left: 0 } } });
    });

    test("gathers acknowledgements from a room", async () => {
      const all = await clients.several(4);
      const room = unique("msgpack");
      for (const [i, socket] of all.entries()) {
        socket.on("vote", (data, answer) => answer({ i, data }));
        if (i > 0) await call(socket, "join", room);
      }
      const { answers } = await call(all[0], "gather", { to: [room], event: "vote", args: [bytes(4)] });
      answers.sort((a, b) => a.i - b.i);
      assert.deepEqual(answers, [1, 2, 3].map((i) => ({ i, data: bytes(4) })));
    });

    test("broadcasts to a room and to nobody else", async () => {
      const all = await clients.several(4);
      const room = unique("msgpack");
      for (const socket of all.slice(0, 3)) await call(socket, "join", room);
      const arrived = all.slice(1, 3).map((socket) => next(socket, "news"));
      const args = [{ text: "é", data: bytes(300), at: new Date(7) }, 1.5];
      await call(all[0], "send", { from: "socket", to: [room], event: "news", args });
      for (const got of await Promise.all(arrived)) assert.deepEqual(got, args);
      await quiet(all[3], "news");
    });

    test("connects to namespaces, with auth and refusals", async () => {
      const chat = clients.open("/chat");
      assert.deepEqual(await next(chat, "welcome"), [chat.id]);
      const socket = await clients.connect("/", { auth: { token: "grüße", key: bytes(2), when: new Date(1) } });
      // What comes back has been through an interface value, a Date included.
      assert.deepEqual((await call(socket, "handshake")).auth, { token: "grüße", key: bytes(2), when: new Date(1) });
      const denied = clients.open("/auth", { auth: { token: "wrong" } });
      const [error] = await next(denied, "connect_error");
      assert.equal(error.message, "not allowed");
      assert.deepEqual(error.data, { code: 401, hint: "ask for a token" });
      const nowhere = clients.open("/nowhere");
      assert.equal((await next(nowhere, "connect_error"))[0].message, "Invalid namespace");
      const allowed = await clients.connect("/auth", { auth: { token: "secret" } });
      assert.ok(allowed.connected);
    });

    test("disconnects in both directions", async () => {
      const socket = await clients.connect();
      socket.emit("kick", false);
      assert.equal((await next(socket, "disconnect"))[0], "io server disconnect");
      const other = await clients.connect();
      const { id } = other;
      other.disconnect();
      assert.equal((await clients.server().disconnected(id)).reason, "client namespace disconnect");
    });

    test("answers the catch-all and the fallback handler", async () => {
      const socket = await clients.connect("/any");
      const seen = next(socket, "any");
      assert.equal(await call(socket, "known", 1), "known");
      assert.deepEqual(await seen, ["known", 1]);
      assert.equal(await call(socket, "another surprise"), "fallback of another surprise");
    });

    test("closes the connection of a client that speaks JSON", async () => {
      const socket = clients.open("/", { parser: undefined });
      // It never gets an answer that it understands.
      await next(socket.io, "close");
      assert.equal(socket.connected, false);
      assert.equal(await call(await clients.connect(), "echoAck", 1), 1, "the server still serves others");
    });

    test("refuses reserved event names", async () => {
      const socket = await clients.connect();
      const { id } = socket;
      socket.io._packet({ type: 2, nsp: "/", data: ["disconnect", 1] });
      const { reason } = await clients.server().disconnected(id);
      assert.match(reason, /^(parse error|forced close|transport error)$/);
    });
  },
  msgpackParser,
);

matrix(
  "msgpack upgrade",
  (clients) => {
    test("loses nothing during the upgrade", async () => {
      const socket = await clients.connect();
      const got = collect(socket, "echo");
      const done = upgraded(socket);
      for (let i = 0; i < 300; i++) socket.emit("echo", i, bytes(i % 50));
      await done;
      for (let i = 300; i < 400; i++) socket.emit("echo", i, bytes(i % 50));
      assert.deepEqual(await got.until(400), Array.from({ length: 400 }, (_, i) => i));
    });
  },
  { ...msgpackParser, ways: ["upgrade"] },
);

matrix(
  "msgpack on the portable engine",
  (clients) => {
    test("carries values of every kind both ways", async () => {
      const socket = await clients.connect();
      for (const [name, args] of Object.entries(values)) {
        socket.emit("echo", ...args);
        assert.deepEqual(await next(socket, "echo"), args, name);
      }
    });
  },
  { ...msgpackParser, engine: "portable", doors: ["direct"] },
);
