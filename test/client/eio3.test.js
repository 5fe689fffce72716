// The JavaScript clients of the generations 2 and 1, over everything they can talk over.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Clients, call as callNew, collect, next, unique, until } from "./harness.js";
import { call, connected, generations, OldClients, oldMatrix, upgraded } from "./old.js";

const bytes = (n, seed = 1) => Buffer.from(Array.from({ length: n }, (_, i) => (i * 31 + seed) & 0xff));

// Text whose length is different in bytes, characters and UTF-16 code units.
const texts = ["", "plain", "grüße, €", "😀 𝒳 👩‍👩‍👧", "\u0000 \u001e \u2028 \u2029 \ufffd", '1:2"\\n\\\n:', "x".repeat(70_000)];

function features(clients) {
  const wide = clients.spoils ? "E:" : "€😀";

  test("joins the main namespace by itself, with the id of the engine", async () => {
    const socket = await clients.connect();
    assert.equal(socket.id, socket.io.engine.id);
    assert.equal(socket.nsp, "/");
    assert.equal((await call(socket, "handshake")).query.EIO, "3");
    assert.ok((await call(socket, "rooms")).includes(socket.id));
  });

  test("events both ways", async () => {
    const socket = await clients.connect();
    for (const text of texts.filter((t) => !clients.spoils || /^[\0-\x7f]*$/.test(t))) {
      const echoed = next(socket, "echo");
      socket.emit("echo", text, { text, n: [1, null, true] });
      assert.deepEqual(await echoed, [text, { text, n: [1, null, true] }]);
    }
  });

  test("acks both ways", async () => {
    const socket = await clients.connect();
    assert.deepEqual(await call(socket, "echoAck", { a: [wide] }), { a: [wide] });
    socket.on("question", (a, answer) => answer({ got: a }));
    assert.deepEqual(await call(socket, "callBack", { event: "question", args: ["why"] }), { answer: { got: "why" } });
    const order = [];
    await Promise.all(Array.from({ length: 200 }, (_, i) => call(socket, "echoAck", i).then((v) => order.push(v))));
    assert.deepEqual(order, Array.from({ length: 200 }, (_, i) => i));
  });

  test("binary both ways", async () => {
    const socket = await clients.connect();
    for (const data of [Buffer.alloc(0), bytes(4), bytes(130), bytes(70_000)]) {
      const echoed = next(socket, "echo");
      socket.emit("echo", wide, data, { deep: [data] });
      assert.deepEqual(await echoed, [wide, data, { deep: [data] }]);
      assert.deepEqual(await call(socket, "echoAck", data), data);
    }
    socket.on("question", (data, answer) => answer({ back: data }));
    const answer = await call(socket, "callBack", { event: "question", args: [bytes(9)] });
    assert.deepEqual(answer, { answer: { back: bytes(9) } });
  });

  test("keeps the order of many messages, across an upgrade too", async () => {
    const socket = await clients.connect();
    const got = collect(socket, "echo");
    for (let i = 0; i < 150; i++) socket.emit("echo", i % 2 ? { n: i, data: bytes(i, i) } : { n: i });
    const pushed = collect(socket, "seq");
    socket.emit("push", { n: 150, size: 200 });
    await upgraded(socket);
    for (let i = 150; i < 300; i++) socket.emit("echo", { n: i });
    assert.deepEqual((await got.until(300)).map((m) => m.n), Array.from({ length: 300 }, (_, i) => i));
    assert.deepEqual((await pushed.until(150)).map((m) => m.n), Array.from({ length: 150 }, (_, i) => i));
    assert.deepEqual(got.items[149].data, bytes(149, 149));
  });

  test("namespaces, with ids made of the engine's", async () => {
    const root = await clients.connect("/");
    const chat = root.io.socket("/chat");
    const [welcome] = await next(chat, "welcome");
    assert.equal(welcome, `/chat#${root.io.engine.id}`);
    if (!clients.generation.startsWith("1.")) assert.equal(chat.id, welcome);
    assert.equal(await call(chat, "where"), "/chat");
    const tenant = root.io.socket("/tenant/blue");
    await connected(tenant);
    assert.equal(await call(tenant, "tenant"), "blue");
    chat.disconnect();
    assert.equal((await clients.server().disconnected(welcome)).reason, "client namespace disconnect");
    assert.equal(await call(tenant, "where"), "/tenant/blue");
    assert.equal(await call(root, "where"), "/");
    tenant.disconnect();
  });

  test("takes the query of a namespace for auth", async () => {
    const socket = await clients.connect("/auth?token=secret&x=a%20b");
    assert.equal(await call(socket, "whoami"), "secret");
  });

  test("a middleware refuses with its data alone", async () => {
    const socket = clients.open("/auth?token=wrong");
    const [error] = await next(socket, "error");
    assert.deepEqual(error, { code: 401, hint: "ask for a token" });
    const again = clients.open("/auth?token=internal");
    const [text] = await next(again, "error");
    assert.equal(typeof text, "string");
    assert.doesNotMatch(text, /database/);
  });

  test("refuses unknown namespaces", async () => {
    const [error] = await next(clients.open("/nowhere"), "error");
    assert.deepEqual(error, { message: "Invalid namespace" });
  });

  test("broadcasts to old and new clients alike", async () => {
    const room = unique("mixed");
    const modern = ["polling", "websocket", "upgrade"].map((way) => new Clients(clients.server, way));
    const others = Object.keys(generations).map((g) => new OldClients(clients.server, g, { transports: ["websocket"] }));
    try {
      const old = [...(await clients.several(2)), ...(await Promise.all(others.map((c) => c.connect())))];
      const fresh = await Promise.all(modern.map((c) => c.connect()));
      await Promise.all([...old.map((s) => call(s, "join", room)), ...fresh.map((s) => callNew(s, "join", room))]);
      for (const args of [[`text ${wide}`], [bytes(200), { deep: bytes(3) }, wide]]) {
        const arrived = [...old, ...fresh].map((s) => next(s, "news"));
        await call(old[0], "send", { from: "server", to: [room], event: "news", args });
        for (const got of await Promise.all(arrived)) assert.deepEqual(got, args);
      }
      const arrived = [...old, ...fresh].map((s) => next(s, "news"));
      await callNew(fresh[0], "send", { from: "server", to: [room], event: "news", args: [bytes(500, 7)] });
      for (const got of await Promise.all(arrived)) assert.deepEqual(got, [bytes(500, 7)]);
      for (const s of [...old, ...fresh]) s.on("vote", (x, answer) => answer(s.id));
      const { answers } = await call(old[1], "gather", { from: "server", to: [room], event: "vote", args: [bytes(2)] });
      assert.deepEqual(answers.sort(), [...old, ...fresh].map((s) => s.id).sort());
    } finally {
      for (const c of [...modern, ...others]) c.closeAll();
    }
  });

  test("disconnects both ways", async () => {
    const [leaves, kicked, dropped] = await clients.several(3);
    const ids = [leaves.id, kicked.id, dropped.id];
    leaves.disconnect();
    assert.match((await clients.server().disconnected(ids[0])).reason, /^(client namespace disconnect|transport close)$/);
    const left = next(kicked, "disconnect");
    kicked.emit("kick", false);
    assert.deepEqual(await left, ["io server disconnect"]);
    assert.equal((await clients.server().disconnected(ids[1])).reason, "server namespace disconnect");
    const gone = next(dropped, "disconnect");
    dropped.emit("kick", true);
    assert.match((await gone)[0], /^(io server disconnect|transport close)$/);
    await until(() => dropped.io.engine.readyState === "closed", "end of the engine");
  });
}

oldMatrix("old clients", features, {});
oldMatrix("old clients", features, { doors: ["direct"], engines: ["portable", "netpoll"], over: ["polling", "websocket", "upgrade"] });
