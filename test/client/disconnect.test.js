// Leaving from either side, and the reason each side sees.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, matrix, next, quiet, settle } from "./harness.js";

matrix("disconnect", (clients) => {
  test("by the server, from the namespace only", async () => {
    const socket = await clients.connect();
    const chat = socket.io.socket("/chat"); // connects by itself
    await next(chat, "connect");
    const { id } = socket;
    const left = next(socket, "disconnect");
    socket.emit("kick", false);
    assert.equal((await left)[0], "io server disconnect");
    assert.equal((await clients.server().disconnected(id)).reason, "server namespace disconnect");
    assert.equal(await call(chat, "where"), "/chat", "the other namespace stays");
    chat.disconnect();
  });

  test("by the server, with the connection", async () => {
    const socket = await clients.connect();
    const chat = socket.io.socket("/chat"); // connects by itself
    await next(chat, "connect");
    const ids = [socket.id, chat.id];
    const left = [next(socket, "disconnect"), next(chat, "disconnect")];
    socket.emit("kick", true);
    for (const [reason] of await Promise.all(left)) assert.match(reason, /^(io server disconnect|transport close)$/);
    for (const id of ids) assert.match((await clients.server().disconnected(id)).reason, /^(server namespace disconnect|forced server close)$/);
  });

  test("by the client, from the namespace only", async () => {
    const socket = await clients.connect();
    const chat = socket.io.socket("/chat"); // connects by itself
    await next(chat, "connect");
    const { id } = chat;
    const left = next(chat, "disconnect");
    chat.disconnect();
    assert.equal((await left)[0], "io client disconnect");
    assert.equal((await clients.server().disconnected(id)).reason, "client namespace disconnect");
    assert.equal(await call(socket, "echoAck", 1), 1);
  });

  test("by the client, closing the connection", async () => {
    const socket = await clients.connect();
    await settle(socket);
    const { id } = socket;
    socket.io.engine.close();
    const { reason } = await clients.server().disconnected(id);
    assert.match(reason, /^transport (close|error)$/);
  });

  test("a reason arrives once, with the rooms still there", async () => {
    const socket = await clients.connect();
    await call(socket, "join", "last-room");
    const { id } = socket;
    socket.disconnect();
    const report = await clients.server().disconnected(id);
    assert.deepEqual(report.rooms.sort(), [id, "last-room"].sort());
  });

  test("what the server emitted before a disconnect arrives first", async () => {
    const socket = await clients.connect();
    const order = [];
    socket.onAny((event) => order.push(event));
    const left = next(socket, "disconnect");
    socket.emit("kickAfter", "last words");
    assert.equal((await left)[0], "io server disconnect");
    assert.deepEqual(order, ["last words"]);
  });

  test("nothing reaches a socket that has left", async () => {
    const socket = await clients.connect();
    const chat = await clients.connect("/chat");
    const { id } = socket;
    socket.disconnect();
    await clients.server().disconnected(id);
    await quiet(chat, "news");
    socket.connect();
    await next(socket, "connect");
    assert.notEqual(socket.id, id, "a new connect is a new socket");
    assert.equal(await call(socket, "echoAck", 1), 1);
  });
});
