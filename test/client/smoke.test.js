// The main features once more over the ways in that share most of their code with the others: the other engines, and TLS,
// which always uses the portable one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, collect, matrix, next, onlyJSON, unique } from "./harness.js";

function smoke(clients) {
  test("events, binary and acks", async () => {
    const socket = await clients.connect();
    const echoed = next(socket, "echo");
    socket.emit("echo", "text", { data: Buffer.alloc(70_000, 1) });
    assert.deepEqual(await echoed, ["text", { data: Buffer.alloc(70_000, 1) }]);
    assert.equal(await call(socket, "echoAck", 5), 5);
    const got = collect(socket, "seq");
    socket.emit("burst", { n: 500, size: 1000 });
    assert.deepEqual((await got.until(500)).map((m) => m.n), Array.from({ length: 500 }, (_, i) => i));
  });

  test("rooms", async () => {
    const room = unique("r");
    const all = await clients.several(5);
    for (const socket of all) await call(socket, "join", room);
    const arrived = all.map((socket) => next(socket, "news"));
    await call(all[0], "send", { from: "server", to: [room], event: "news", args: [1] });
    await Promise.all(arrived);
  });

  test("disconnects", async () => {
    const [kicked, leaves] = await clients.several(2);
    const { id } = leaves;
    const left = next(kicked, "disconnect");
    kicked.emit("kick", true);
    assert.match((await left)[0], /^(io server disconnect|transport close)$/);
    leaves.disconnect();
    assert.equal((await clients.server().disconnected(id)).reason, "client namespace disconnect");
  });

  test("a large message each way", onlyJSON, async () => {
    const socket = await clients.connect();
    const text = "z".repeat(900_000);
    assert.ok((await call(socket, "echoAck", text)) === text);
  });
}

matrix("portable engine", smoke, { engine: "portable" });
matrix("netpoll", smoke, { engine: "netpoll" });
matrix("tls", smoke, { doors: ["tls"] });
