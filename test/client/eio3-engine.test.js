// The engine of the old clients by itself (engine.io-client 3.5): scripts and forms instead of requests, the heartbeat in
// the other direction, refusals.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import engine3 from "engine.io-client-3";
import { installPage } from "./page.js";
import { Clients, next, Server, until, within } from "./harness.js";
import { call, connected, OldClients, upgraded } from "./old.js";

const bytes = (n, seed = 1) => Buffer.from(Array.from({ length: n }, (_, i) => (i * 31 + seed) & 0xff));

for (const [door, engine] of [["http"], ["direct"], ["direct", "portable"]]) {
  const title = [door, engine].filter(Boolean).join(" ");

  describe(`old engine: ${title}`, () => {
    let server;
    const open = new Set();
    before(async () => (server = await Server.start({ door, engine, flags: ["-eio3", "-max-payload", "20000"] })));
    after(() => server?.stop());
    afterEach(() => {
      for (const socket of open) socket.close();
      open.clear();
    });

    // dial opens an engine socket; what the Socket.IO server says first is that it is in "/".
    async function dial(options) {
      const socket = engine3(server.url, { path: "/socket.io", rememberUpgrade: false, ...options });
      open.add(socket);
      const [first] = await next(socket, "message");
      assert.equal(first, "0");
      return socket;
    }

    // echo sends an event and returns the messages that come back for it, one of text and the attachments.
    function echo(socket, text, ...attachments) {
      const got = [];
      const done = within(
        new Promise((resolve) => socket.on("message", (m) => got.push(m) > attachments.length && resolve(got))),
        "echo",
      ).finally(() => socket.removeAllListeners("message"));
      socket.send(text);
      for (const a of attachments) socket.send(a);
      return done;
    }

    const event = (v) => `2["echo",${JSON.stringify(v)}]`;
    const binaryEvent = `52-["echo",{"_placeholder":true,"num":0},"€",{"_placeholder":true,"num":1}]`;

    for (const [way, options] of Object.entries({
      polling: { transports: ["polling"] },
      "polling, base64": { transports: ["polling"], forceBase64: true },
      websocket: { transports: ["websocket"] },
      "websocket, base64": { transports: ["websocket"], forceBase64: true },
      upgrade: { transports: ["polling", "websocket"] },
    })) {
      test(`${way}: text and binary of every length`, async () => {
        const socket = await dial(options);
        for (const size of [0, 1, 9, 10, 98, 99, 125, 126, 1000, 8000]) {
          const text = event("€😀".repeat(size / 4) + "x".repeat(size % 4));
          assert.deepEqual(await echo(socket, text), [text]);
          const answer = await echo(socket, binaryEvent, bytes(size), bytes(3));
          assert.deepEqual(answer, [binaryEvent, bytes(size), bytes(3)]);
        }
      });
    }

    test("closes a session that sends too much", async () => {
      for (const [transport, reason] of [["polling", "transport error"], ["websocket", "transport close"]]) {
        const socket = await dial({ transports: [transport] });
        const closed = next(socket, "close");
        socket.send(event("x".repeat(20_001)));
        assert.equal((await closed)[0], reason);
      }
    });

    test("tells the server when it closes", async () => {
      for (const transports of [["polling"], ["websocket"]]) {
        const socket = await dial({ transports });
        const { id } = socket;
        socket.close();
        assert.equal((await server.disconnected(id)).reason, "transport close");
      }
    });

    describe("scripts and forms", () => {
      let page;
      before(() => (page = installPage()));
      after(async () => {
        await until(() => !page.busy(), "last answers");
        page.remove();
      });

      test("carry text and binary, and say so only with digits", async () => {
        const socket = await dial({ transports: ["polling"], forceJSONP: true });
        assert.equal(socket.transport.supportsBinary, false);
        for (const text of ["", "plain", "€😀", "a\nb\\nc\\\\n\r\n\t\b\f\u0000\u001f", "\u2028\u2029</script>'\"", "&=+%41;"]) {
          const [answer] = await echo(socket, event(text));
          assert.deepEqual(JSON.parse(answer.slice(1)), ["echo", text]);
        }
        assert.deepEqual(await echo(socket, binaryEvent, bytes(300), bytes(3)), [binaryEvent, bytes(300), bytes(3)]);
        assert.ok(page.scripts.length > 0);
        for (const script of page.scripts) assert.match(script, /^___eio\[\d+\]\("[^\n\u2028\u2029]*"\);$/);
      });

      test("upgrade to WebSocket", async () => {
        const socket = await dial({ transports: ["polling", "websocket"], forceJSONP: true });
        await until(() => socket.transport.name === "websocket", "upgrade");
        assert.deepEqual(await echo(socket, binaryEvent, bytes(30), bytes(3)), [binaryEvent, bytes(30), bytes(3)]);
      });

      test("carry Socket.IO", async () => {
        const clients = new OldClients(() => server, "2.5.0", { transports: ["polling"], forceJSONP: true });
        try {
          const socket = await clients.connect("/chat");
          const value = { text: "line\nbreak \\n €", data: bytes(50) };
          assert.deepEqual(await call(socket, "echoAck", value), value);
        } finally {
          clients.closeAll();
        }
      });
    });
  });

  describe(`old heartbeat: ${title}`, { concurrency: 7 }, () => {
    let server;
    before(async () => (server = await Server.start({ door, engine, flags: ["-eio3", "-ping-interval", "250ms", "-ping-timeout", "1s"] })));
    after(() => server?.stop());

    for (const way of [["polling"], ["websocket"], ["polling", "websocket"]]) {
      for (const generation of ["2.5.0", "1.7.4"]) {
        test(`${generation}, ${way}: stays while it pings, goes when it is silent`, async () => {
          const clients = new OldClients(() => server, generation, { transports: way });
          try {
            const socket = await clients.connect();
            const { id } = socket;
            const { engine } = socket.io;
            await upgraded(socket);
            for (let i = 0; i < 4; i++) await next(engine, "pong");
            assert.equal(socket.connected, true);
            engine.ping = engine.onHeartbeat = () => {}; // nor does it miss the answers
            clearTimeout(engine.pingTimeoutTimer);
            assert.equal((await server.disconnected(id)).reason, "ping timeout");
            await until(() => engine.readyState === "closed", "end of the engine");
          } finally {
            clients.closeAll();
          }
        });
      }
    }

    test("new clients keep their own direction", async () => {
      const clients = new Clients(() => server, "upgrade");
      try {
        const socket = await clients.connect();
        for (let i = 0; i < 3; i++) await next(socket.io.engine, "ping");
        assert.equal(socket.connected, true);
      } finally {
        clients.closeAll();
      }
    });
  });

  describe(`old clients refused: ${title}`, () => {
    let server;
    before(async () => (server = await Server.start({ door, engine })));
    after(() => server?.stop());

    test("unless they are allowed", async () => {
      for (const query of ["EIO=3&", "", "EIO=5&"]) {
        const response = await fetch(`${server.url}/socket.io/?${query}transport=polling`);
        assert.equal(response.status, 400);
        assert.deepEqual(await response.json(), { code: 5, message: "Unsupported protocol version" });
      }
      for (const transports of [["polling"], ["websocket"]]) {
        const clients = new OldClients(() => server, "2.5.0", { transports });
        await assert.rejects(connected(clients.open("/")));
        clients.closeAll();
      }
    });
  });
}

