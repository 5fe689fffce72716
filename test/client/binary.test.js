// Binary data at every place, both ways. The client sends every kind of binary value as an attachment; in Node it
// receives a Buffer.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, collect, matrix, next, onlyJSON } from "./harness.js";

const bytes = (n, seed = 1) => Buffer.from(Array.from({ length: n }, (_, i) => (i * 31 + seed) & 0xff));

matrix("binary", (clients) => {
  for (const [kind, value] of Object.entries({
    "a Buffer": Buffer.from([0, 1, 2, 253, 254, 255]),
    "a Uint8Array": new Uint8Array([0, 1, 2, 253, 254, 255]),
    "an ArrayBuffer": new Uint8Array([0, 1, 2, 253, 254, 255]).buffer,
  })) {
    test(`carries ${kind} at the top level`, async () => {
      const socket = await clients.connect();
      socket.emit("echo", value);
      assert.deepEqual(await next(socket, "echo"), [Buffer.from([0, 1, 2, 253, 254, 255])]);
    });
  }

  test("carries an empty attachment", async () => {
    const socket = await clients.connect();
    socket.emit("echo", Buffer.alloc(0), "after");
    assert.deepEqual(await next(socket, "echo"), [Buffer.alloc(0), "after"]);
  });

  test("carries several nested attachments at their places", async () => {
    const socket = await clients.connect();
    const args = [
      { file: bytes(10, 1), more: [bytes(3, 2), { deep: { deeper: bytes(1, 3) } }], text: "between" },
      bytes(5, 4),
      ["x", [bytes(7, 5)]],
    ];
    socket.emit("echo", ...args);
    assert.deepEqual(await next(socket, "echo"), args);
  });

  test("carries the same bytes twice", async () => {
    const socket = await clients.connect();
    const same = bytes(4);
    socket.emit("echo", same, [same]);
    assert.deepEqual(await next(socket, "echo"), [same, [same]]);
  });

  for (const size of [125, 126, 65_535, 65_536, 600_000]) {
    test(`carries an attachment of ${size} bytes both ways`, async () => {
      const socket = await clients.connect();
      const data = bytes(size);
      socket.emit("echo", data);
      const [back] = await next(socket, "echo");
      assert.equal(Buffer.compare(back, data), 0);
    });
  }

  test("decodes attachments into Go types", async () => {
    const socket = await clients.connect();
    const sent = { name: "photo", blob: bytes(20), parts: [bytes(1), bytes(2)] };
    assert.deepEqual(await call(socket, "typedBinary", sent), sent);
  });

  test("keeps the order of binary and text events", async () => {
    const socket = await clients.connect();
    const got = collect(socket, "echo");
    for (let i = 0; i < 200; i++) socket.emit("echo", i % 2 ? { n: i, data: bytes(i, i) } : { n: i });
    const items = await got.until(200);
    for (const [i, item] of items.entries()) {
      assert.equal(item.n, i);
      if (i % 2) assert.deepEqual(item.data, bytes(i, i));
    }
  });

  test("broadcasts binary to everybody in a room", async () => {
    const all = await clients.several(4, "/chat");
    const arrived = all.map((socket) => next(socket, "blob"));
    await call(all[0], "blast", bytes(1000, 9));
    for (const [data] of await Promise.all(arrived)) assert.deepEqual(data, bytes(1000, 9));
    const more = all.map((socket) => next(socket, "blob"));
    await call(all[1], "blast", bytes(10, 3));
    for (const [data] of await Promise.all(more)) assert.deepEqual(data, bytes(10, 3));
  });

  test("carries the most attachments a client accepts", async () => {
    const socket = await clients.connect();
    const args = Array.from({ length: 10 }, (_, i) => bytes(i, i));
    socket.emit("echo", ...args);
    assert.deepEqual(await next(socket, "echo"), args);
  });

  test("closes the connection on more attachments than the limit", onlyJSON, async () => {
    const socket = await clients.connect();
    const { id } = socket;
    socket.emit("echo", ...Array.from({ length: 11 }, () => bytes(1)));
    const { reason } = await clients.server().disconnected(id);
    assert.match(reason, /^(parse error|forced close|transport error)$/);
    assert.equal(await call(await clients.connect(), "echoAck", 1), 1, "the server still serves others");
  });
});
