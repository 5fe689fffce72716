// Limits a client can run into: message size, time to join a namespace, heartbeat.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Socket as Engine } from "engine.io-client";
import { allDoors, call, Clients, collect, matrix, next, onlyJSON, Server, transports, upgraded, within } from "./harness.js";

matrix(
  "payload limit",
  (clients) => {
    test("is told to the client", async () => {
      const socket = await clients.connect();
      assert.equal(socket.io.engine._maxPayload ?? socket.io.engine.maxPayload, 50_000);
    });

    test("lets messages below it pass", onlyJSON, async () => {
      const socket = await clients.connect();
      const text = "x".repeat(49_000);
      assert.equal(await call(socket, "echoAck", text), text);
    });

    test("does not bound what the server sends", async () => {
      const socket = await clients.connect();
      const got = next(socket, "seq");
      socket.emit("burst", { n: 1, size: 200_000 });
      assert.equal((await got)[0].fill.length, 200_000);
    });

    test("splits many small messages over several requests", async () => {
      const socket = await clients.connect();
      const got = collect(socket, "echo");
      for (let i = 0; i < 100; i++) socket.emit("echo", `${i}:${"x".repeat(2000)}`);
      assert.deepEqual((await got.until(100)).map((text) => Number.parseInt(text)), Array.from({ length: 100 }, (_, i) => i));
    });

    for (const [kind, value] of Object.entries({ text: "x".repeat(60_000), binary: Buffer.alloc(60_000) })) {
      test(`disconnects the sender of an oversized ${kind} message, and nobody else`, async () => {
        const [sender, other] = await clients.several(2);
        // A request refused in the middle of the upgrade ends the client without a word; the server finds out by ping only.
        await upgraded(sender);
        const { id } = sender;
        const left = next(sender, "disconnect");
        sender.emit("report", { id, big: value });
        assert.match((await left)[0], /^transport (close|error)$/);
        assert.match((await clients.server().disconnected(id)).reason, /^(transport (close|error)|forced close|parse error)$/);
        assert.equal(await call(other, "echoAck", 1), 1);
      });
    }
  },
  { flags: ["-max-payload", "50000"] },
);

for (const door of allDoors) {
  describe(`timeouts: ${door}`, () => {
    for (const transport of Object.values(transports)) {
      test(`${transport}: a connection that joins no namespace is closed`, async (t) => {
        const server = await Server.start({ door, flags: ["-connect-timeout", "100ms"] });
        const idle = new Engine(server.url, { path: "/socket.io", transports: transport });
        t.after(async () => {
          idle.close();
          await server.stop();
        });
        await next(idle, "open");
        const [reason] = await next(idle, "close");
        assert.match(reason, /^transport (close|error)$/);
      });

      test(`${transport}: a connection that joined one outlives the connect timeout and many heartbeats`, async (t) => {
        const server = await Server.start({ door, flags: ["-connect-timeout", "1s", "-ping-interval", "200ms", "-ping-timeout", "5s"] });
        const clients = new Clients(() => server, transport.length > 1 ? "upgrade" : transport[0]);
        t.after(async () => {
          clients.closeAll();
          await server.stop();
        });
        const socket = await clients.connect();
        const pings = new Promise((resolve) => {
          let n = 0;
          socket.io.on("ping", () => ++n === 6 && resolve());
        });
        await within(pings, "six pings");
        assert.equal(await call(socket, "echoAck", 1), 1);
      });

      test(`${transport}: a client that does not answer pings is dropped`, async (t) => {
        // The client gives up itself when it has not heard a ping for the sum of both, so the interval is the longer one here.
        const server = await Server.start({ door, flags: ["-ping-interval", "500ms", "-ping-timeout", "100ms"] });
        const clients = new Clients(() => server, transport.length > 1 ? "upgrade" : transport[0]);
        t.after(async () => {
          clients.closeAll();
          await server.stop();
        });
        const socket = await clients.connect();
        const { id, io } = socket;
        const send = io.engine._sendPacket ?? io.engine.sendPacket;
        const key = io.engine._sendPacket ? "_sendPacket" : "sendPacket";
        io.engine[key] = function (type, ...rest) {
          if (type !== "pong") send.call(this, type, ...rest);
        };
        assert.equal((await server.disconnected(id)).reason, "ping timeout");
      });
    }
  });
}
