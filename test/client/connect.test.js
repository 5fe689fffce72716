// Connecting: handshake, auth, namespaces, refusals.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, matrix, next } from "./harness.js";

matrix("connect", (clients) => {
  test("gives the socket a 20 character id of its own", async () => {
    const [a, b] = await clients.several(2);
    assert.match(a.id, /^[\w-]{20}$/);
    assert.notEqual(a.id, b.id);
    assert.notEqual(a.id, a.io.engine.id, "the session id is not shown to other clients");
    assert.ok(!a.recovered);
  });

  test("hands query, headers, auth and address to the application", async () => {
    const socket = await clients.connect("/", {
      auth: { token: "grüße", nested: { n: [1, 2] } },
      query: { colour: "dark blue" },
      extraHeaders: { "x-test": "yes" },
    });
    const handshake = await call(socket, "handshake");
    assert.deepEqual(handshake.auth, { token: "grüße", nested: { n: [1, 2] } });
    assert.equal(handshake.query.colour, "dark blue");
    assert.equal(handshake.query.EIO, "4");
    assert.equal(handshake.header, "yes");
    assert.match(handshake.address, /^127\.0\.0\.1/);
    assert.match(handshake.url, /^\/socket\.io\/\?/);
  });

  test("accepts an auth function", async () => {
    const socket = await clients.connect("/", { auth: (done) => done({ later: true }) });
    assert.deepEqual((await call(socket, "handshake")).auth, { later: true });
  });

  test("works without auth", async () => {
    const socket = await clients.connect();
    assert.deepEqual((await call(socket, "handshake")).auth ?? {}, {});
  });

  test("sends what the connect handler emitted after the connect packet", async () => {
    const socket = clients.open("/chat");
    const [welcome] = await next(socket, "welcome");
    assert.equal(welcome, socket.id);
  });

  test("refuses through middleware, with message and data", async () => {
    const socket = clients.open("/auth", { auth: { token: "wrong" } });
    const [error] = await next(socket, "connect_error");
    assert.equal(error.message, "not allowed");
    assert.deepEqual(error.data, { code: 401, hint: "ask for a token" });
    assert.equal(socket.connected, false);
  });

  test("does not tell clients about internal errors", async () => {
    const socket = clients.open("/auth", { auth: { token: "internal" } });
    const [error] = await next(socket, "connect_error");
    assert.doesNotMatch(error.message, /database/);
    assert.equal(error.data, undefined);
  });

  test("lets the client try again on the same connection after a refusal", async () => {
    const socket = clients.open("/auth", { auth: { token: "wrong" } });
    await next(socket, "connect_error");
    socket.auth = { token: "secret" };
    socket.connect();
    await next(socket, "connect");
    assert.equal(await call(socket, "whoami"), "secret");
  });

  test("runs several namespaces over one connection", async () => {
    const root = await clients.connect("/");
    const chat = root.io.socket("/chat");
    const tenant = root.io.socket("/tenant/blue");
    await Promise.all([next(chat, "connect"), next(tenant, "connect")]);
    assert.equal(new Set([root.id, chat.id, tenant.id]).size, 3);
    assert.deepEqual(await call(root, "echoAck", "root"), "root");
    assert.deepEqual(await call(chat, "where"), "/chat");
    assert.deepEqual(await call(tenant, "where"), "/tenant/blue");
    chat.disconnect();
    assert.deepEqual(await call(tenant, "where"), "/tenant/blue", "leaving one namespace leaves the others alone");
    chat.connect();
    await next(chat, "connect");
    assert.deepEqual(await call(chat, "where"), "/chat", "a namespace can be joined again");
    tenant.disconnect();
    chat.disconnect();
  });

  test("joins a namespace without the main one", async () => {
    const socket = await clients.connect("/chat");
    assert.equal(await call(socket, "where"), "/chat");
  });

  test("makes namespaces from a pattern and hands over its parts", async () => {
    const [one, two] = await Promise.all([clients.connect("/tenant/one"), clients.connect("/tenant/two")]);
    assert.equal(await call(one, "tenant"), "one");
    assert.equal(await call(two, "tenant"), "two");
  });

  test("refuses unknown namespaces", async () => {
    for (const name of ["/nowhere", "/tenant/", "/tenant/a/b", "/Chat"]) {
      const socket = clients.open(name);
      const [error] = await next(socket, "connect_error");
      assert.equal(error.message, "Invalid namespace", name);
    }
  });

  test("ignores a query in the namespace name", async () => {
    const socket = await clients.connect("/chat?token=abc");
    assert.equal(await call(socket, "where"), "/chat");
  });

  test("connects many clients at once", async () => {
    const all = await clients.several(50);
    assert.equal(new Set(all.map((s) => s.id)).size, 50);
    const answers = await Promise.all(all.map((s, i) => call(s, "echoAck", i)));
    assert.deepEqual(answers, all.map((_, i) => i));
  });
});
