// Rooms, broadcast operators, selections of sockets. Every client is told apart by what it receives.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, collect, matrix, next, quiet, unique } from "./harness.js";

// send asks the server to broadcast; it acknowledges after the broadcast, so whoever settles afterwards has it.
const send = (socket, target, ...args) => call(socket, "send", { from: "server", event: "news", args, ...target });

// got lists which of the sockets receive one broadcast with the given target.
async function receivers(sockets, sender, target) {
  const counts = new Map(sockets.map((s) => [s, 0]));
  const undo = sockets.map((s) => {
    const count = () => counts.set(s, counts.get(s) + 1);
    s.on("news", count);
    return () => s.off("news", count);
  });
  await send(sender, target, "hello");
  await Promise.all(sockets.map((s) => call(s, "echoAck", "settle")));
  for (const u of undo) u();
  return sockets.map((s) => counts.get(s));
}

matrix("rooms", (clients) => {
  test("reach their members, each once", async () => {
    const [r1, r2] = [unique("r"), unique("r")];
    const all = await clients.several(4);
    await call(all[0], "join", r1);
    await call(all[1], "join", r1, r2);
    await call(all[2], "join", r2);
    assert.deepEqual(await receivers(all, all[3], { to: [r1] }), [1, 1, 0, 0]);
    assert.deepEqual(await receivers(all, all[3], { to: [r1, r2] }), [1, 1, 1, 0], "a member of both gets it once");
    assert.deepEqual(await receivers(all, all[3], { to: [r1, r2], except: [r2] }), [1, 0, 0, 0]);
    assert.deepEqual(await receivers(all, all[3], { to: [unique("empty")] }), [0, 0, 0, 0]);
    await call(all[1], "leave", r1);
    assert.deepEqual(await receivers(all, all[3], { to: [r1] }), [1, 0, 0, 0]);
    await call(all[1], "leave", r1);
    assert.deepEqual(await receivers(all, all[3], { to: [r2] }), [0, 1, 1, 0], "leaving twice does no harm");
  });

  test("everybody can be addressed by id", async () => {
    const all = await clients.several(3);
    assert.deepEqual(await receivers(all, all[0], { to: [all[1].id] }), [0, 1, 0]);
    assert.deepEqual(await receivers(all, all[0], { except: [all[1].id] }).then(([a, b, c]) => [a, b, c]), [1, 0, 1]);
  });

  test("a socket's own broadcast leaves it out", async () => {
    const room = unique("r");
    const all = await clients.several(3);
    for (const s of all) await call(s, "join", room);
    assert.deepEqual(await receivers(all, all[0], { from: "socket", to: [room] }), [0, 1, 1]);
    assert.deepEqual(await receivers(all, all[0], { from: "socket", to: [room], except: [all[1].id] }), [0, 0, 1]);
    assert.deepEqual(await receivers(all, all[0], { from: "socket", to: [] }), [0, 1, 1]);
  });

  test("local and volatile reach connected clients here", async () => {
    const room = unique("r");
    const all = await clients.several(2);
    for (const s of all) await call(s, "join", room);
    assert.deepEqual(await receivers(all, all[0], { to: [room], local: true }), [1, 1]);
    // Volatile packets may be dropped, but not forever, never doubled and never out of order.
    const seen = collect(all[1], "tick");
    let n = 0;
    while (seen.items.length < 3) await call(all[0], "send", { from: "server", to: [room], volatile: true, event: "tick", args: [n++] });
    assert.deepEqual(seen.items, [...new Set(seen.items)].sort((a, b) => a - b));
  });

  test("arguments arrive complete", async () => {
    const room = unique("r");
    const [a, b] = await clients.several(2);
    await call(b, "join", room);
    const arrived = next(b, "news");
    await send(a, { to: [room] }, 1, "two", { three: [Buffer.from([3])] }, null);
    assert.deepEqual(await arrived, [1, "two", { three: [Buffer.from([3])] }, null]);
  });

  test("broadcasts keep their order", async () => {
    const room = unique("r");
    const all = await clients.several(5);
    for (const s of all) await call(s, "join", room);
    const logs = all.map((s) => collect(s, "news"));
    for (let i = 0; i < 100; i++) all[0].emit("send", { from: "server", to: [room], event: "news", args: [i] });
    for (const log of logs) assert.deepEqual(await log.until(100), Array.from({ length: 100 }, (_, i) => i));
  });

  test("are listed with the socket's own id", async () => {
    const [r1, r2] = [unique("r"), unique("r")];
    const socket = await clients.connect();
    await call(socket, "join", r1, r2);
    assert.deepEqual((await call(socket, "rooms")).sort(), [socket.id, r1, r2].sort());
  });

  test("empty after a disconnect", async () => {
    const room = unique("r");
    const [gone, stays] = await clients.several(2);
    await call(gone, "join", room);
    const { id } = gone;
    gone.disconnect();
    await clients.server().disconnected(id);
    assert.deepEqual(await call(stays, "fetch", { to: [room] }), []);
  });

  test("can be called anything", async () => {
    const [a, b] = await clients.several(2);
    for (const name of ["", " ", "/", "a,b", "r\u00f6\u00f6m \u{1f680}", "x".repeat(1000), "__proto__"]) {
      await call(a, "join", name);
      assert.deepEqual(await receivers([a, b], b, { to: [name] }), [1, 0], JSON.stringify(name));
      await call(a, "leave", name);
    }
  });

  test("belong to one namespace", async () => {
    const room = unique("r");
    const root = await clients.connect();
    const chat = await clients.connect("/chat");
    await call(root, "join", room);
    await call(chat, "join", room);
    const inRoot = next(root, "news");
    await send(root, { to: [room] }, "root only");
    await inRoot;
    await quiet(chat, "news");
  });
});

matrix("selections", (clients) => {
  test("fetch lists ids, rooms and data", async () => {
    const room = unique("r");
    const [a, b, c] = await clients.several(3);
    await call(a, "join", room);
    await call(b, "join", room);
    await call(b, "setData", { name: "Bea" });
    const found = await call(c, "fetch", { to: [room] });
    assert.deepEqual(found.map((s) => s.id).sort(), [a.id, b.id].sort());
    const bea = found.find((s) => s.id === b.id);
    assert.deepEqual(bea.rooms.sort(), [b.id, room].sort());
    assert.deepEqual(bea.data, { name: "Bea" });
    assert.deepEqual((await call(c, "fetch", { to: [room], except: [b.id] })).map((s) => s.id), [a.id]);
    assert.deepEqual((await call(c, "fetch", { to: [c.id] })).map((s) => s.id), [c.id]);
  });

  test("join and leave move all selected sockets", async () => {
    const [from, to] = [unique("r"), unique("r")];
    const all = await clients.several(3);
    await call(all[0], "join", from);
    await call(all[1], "join", from);
    await call(all[2], "select", { to: [from], except: [all[1].id], op: "join", rooms: [to] });
    assert.deepEqual(await receivers(all, all[2], { to: [to] }), [1, 0, 0]);
    await call(all[2], "select", { to: [from], op: "join", rooms: [to] });
    assert.deepEqual(await receivers(all, all[2], { to: [to] }), [1, 1, 0]);
    await call(all[2], "select", { to: [to], except: [all[1].id], op: "leave", rooms: [to, from] });
    assert.deepEqual(await receivers(all, all[2], { to: [to] }), [0, 1, 0]);
    assert.deepEqual(await receivers(all, all[2], { to: [from] }), [0, 1, 0]);
  });

  for (const close of [false, true]) {
    test(`disconnect ${close ? "closes the connections of" : "removes"} all selected sockets`, async () => {
      const room = unique("r");
      const [a, b, stays] = await clients.several(3);
      await call(a, "join", room);
      await call(b, "join", room);
      const reasons = [next(a, "disconnect"), next(b, "disconnect")];
      await call(stays, "select", { to: [room], op: "disconnect", close });
      for (const [reason] of await Promise.all(reasons)) assert.equal(reason, "io server disconnect");
      assert.equal(await call(stays, "echoAck", 1), 1);
    });
  }
});
