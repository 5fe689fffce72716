// A server that changes while it runs: handlers that come and go, namespaces that are made and deleted, and what there is to
// know about sockets.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, collect, matrix, next, quiet, settle, unique } from "./harness.js";

matrix("API", (clients) => {
  test("handlers of a socket come and go", async () => {
    const [one, other] = await clients.several(2, "/api");
    assert.equal(await call(one, "ping"), "nobody");
    await call(one, "on", "ping", "first");
    assert.equal(await call(one, "ping"), "ping of first");
    assert.equal(await call(other, "ping"), "nobody", "the other socket has no such handler");
    await call(one, "off", "ping");
    assert.equal(await call(one, "ping"), "nobody");
    await call(one, "on", "ping", "second");
    assert.equal(await call(one, "ping"), "ping of second");
  });

  test("a handler that runs once", async () => {
    const socket = await clients.connect("/api");
    await call(socket, "once", "start", "once");
    const answers = await Promise.all([call(socket, "start"), call(socket, "start"), call(socket, "start")]);
    assert.deepEqual(answers, ["start of once", "nobody", "nobody"]);
  });

  test("a middleware of one socket refuses its events", async () => {
    const [one, other] = await clients.several(2, "/api");
    await call(one, "watch");
    await call(one, "refuse", "secret");
    assert.deepEqual(await call(one, "echoAck", "secret"), { error: { message: "refused", data: "secret" } });
    await clients.server().saw((e) => e.event === "error" && e.id === one.id && e.kind === "event");
    assert.equal(await call(one, "echoAck", "public"), "public");
    assert.equal(await call(other, "echoAck", "secret"), "secret");
    assert.ok(one.connected);
  });

  test("an error hook hears of a violation", async () => {
    const socket = await clients.connect("/api");
    await call(socket, "watch");
    const { id } = socket;
    const gone = next(socket, "disconnect");
    socket.io.engine.write("9 is no packet");
    await clients.server().saw((e) => e.event === "error" && e.id === id && e.kind === "violation");
    await gone;
  });

  test("send, in both directions", async () => {
    const socket = await clients.connect("/api");
    const seen = collect(socket, "message");
    await call(socket, "messages");
    assert.deepEqual(await seen.until(3), ["to one", "to many", undefined]);
    socket.send("hello");
    assert.equal((await seen.until(4))[3], "got hello");
  });

  test("a socket as other servers see it", async () => {
    const socket = await clients.connect("/api", { auth: { name: "ann" }, query: { q: "1" } });
    socket.on("ask", (what, ack) => ack("asked by " + what));
    const { socket: found, answer } = await call(socket, "remote");
    assert.equal(answer, "asked by remote");
    assert.equal(found.id, socket.id);
    assert.deepEqual(found.data, { score: 7 });
    assert.deepEqual(found.rooms.toSorted(), ["found", socket.id].toSorted());
    assert.deepEqual(found.handshake.auth, { name: "ann" });
    assert.equal(found.handshake.query.q, "1");
    assert.equal(found.handshake.address, "127.0.0.1");
    assert.deepEqual(await call(socket, "rooms"), [socket.id]);
  });

  test("all rooms, and out of all of them", async () => {
    const socket = await clients.connect("/api");
    const room = unique("room");
    await call(socket, "join", room);
    assert.deepEqual((await call(socket, "allRooms")).toSorted(), [room, socket.id].toSorted());
    assert.deepEqual(await call(socket, "leaveAll"), [socket.id]);
  });

  test("namespaces are made and deleted", async () => {
    const admin = await clients.connect("/api");
    const name = "/" + unique("made");
    await assert.rejects(clients.connect(name), { message: "Invalid namespace" });
    await call(admin, "make", name);
    await clients.server().saw((e) => e.event === "namespace" && e.name === name);
    const all = await clients.several(3, name);
    await Promise.all(all.map((s) => call(s, "join", "room")));
    const told = all.map((s) => next(s, "disconnect"));
    const ids = all.map((s) => s.id);
    await call(admin, "delete", name);
    for (const [reason] of await Promise.all(told)) assert.equal(reason, "io server disconnect");
    for (const id of ids) {
      const { reason, rooms } = await clients.server().disconnected(id);
      assert.equal(reason, "server namespace disconnect");
      assert.deepEqual(rooms.toSorted(), ["room", id].toSorted(), "rooms are there until the handler has run");
    }
    await assert.rejects(clients.connect(name), { message: "Invalid namespace" });
    assert.equal(await call(admin, "echoAck", 1), 1, "other namespaces go on");
    await call(admin, "make", name);
    await settle(await clients.connect(name));
    await call(admin, "delete", name);
  });

  test("a namespace deletes itself and comes back", async () => {
    const id = String(Math.floor(Math.random() * 1e9));
    const name = `/dynamic-${id}`;
    const socket = await clients.connect(name);
    assert.equal(await call(socket, "id"), id);
    const gone = next(socket, "disconnect");
    socket.emit("delete");
    assert.deepEqual((await gone)[0], "io server disconnect");
    socket.connect();
    await next(socket, "connect");
    assert.equal(await call(socket, "where"), name);
    await quiet(socket, "disconnect");
    await assert.rejects(clients.connect("/dynamic-x"), { message: "Invalid namespace" });
  });
});

matrix("values of the request", (clients) => {
  test("reach the handlers", async () => {
    const ann = await clients.connect("/api", { extraHeaders: { "X-User": "ann" } });
    const bob = await clients.connect("/api", { extraHeaders: { "X-User": "bob" } });
    assert.equal(await call(ann, "user"), "ann");
    assert.equal(await call(bob, "user"), "bob");
  });
}, { flags: ["-user"] });
