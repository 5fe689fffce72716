// The change from polling to WebSocket while both sides are sending: nothing may be lost, doubled or reordered.

import assert from "node:assert/strict";
import { test } from "node:test";
import { collect, matrix, next, settle, upgraded, within } from "./harness.js";

const sequence = (n) => Array.from({ length: n }, (_, i) => i);

matrix(
  "upgrade",
  (clients) => {
    test("happens", async () => {
      const socket = await clients.connect();
      await upgraded(socket);
      assert.equal(socket.io.engine.transport.name, "websocket");
      await settle(socket);
    });

    test("keeps the id and the rooms", async () => {
      const socket = await clients.connect();
      const { id } = socket;
      const sid = socket.io.engine.id;
      await upgraded(socket);
      assert.equal(socket.id, id);
      assert.equal(socket.io.engine.id, sid);
    });

    for (const round of sequence(10)) {
      test(`loses nothing under traffic (${round})`, async () => {
        const socket = clients.open();
        const echoed = collect(socket, "echo");
        const pushed = collect(socket, "seq");
        const upgraded = within(new Promise((resolve) => socket.io.engine.once("upgrade", resolve)), "upgrade");
        await next(socket, "connect");

        // The server pushes a numbered stream paced by the client's own numbers, so both directions are busy from before
        // the probe until after the upgrade.
        let n = 0;
        const sendSome = () => {
          for (const i of sequence(5)) {
            const number = n++;
            socket.emit("echo", round % 2 && i === 0 ? { number, data: Buffer.alloc(round * 100, i) } : { number });
          }
        };
        socket.emit("push", { n: 300, size: round * 20 });
        let switched = false;
        upgraded.then(() => (switched = true));
        while (!switched) {
          sendSome();
          await new Promise((resolve) => setImmediate(resolve));
          // Wait for echoes now and then, so that the stream is paced by the server.
          if (n % 50 === 0) await echoed.until(n - 25);
        }
        sendSome();
        await upgraded;
        sendSome();

        assert.deepEqual((await echoed.until(n)).map((m) => m.number), sequence(n));
        assert.deepEqual((await pushed.until(300)).map((m) => m.n), sequence(300));
        await settle(socket);
        assert.equal(echoed.items.length, n);
        assert.equal(pushed.items.length, 300);
        assert.equal(socket.io.engine.transport.name, "websocket");
      });
    }

    test("may be cut short by a disconnect", async () => {
      const sockets = Array.from({ length: 10 }, () => clients.open());
      const ids = [];
      await Promise.all(
        sockets.map(async (socket, i) => {
          await next(socket, "connect");
          ids.push(socket.id);
          for (const _ of sequence(i)) await new Promise((resolve) => setImmediate(resolve));
          socket.disconnect();
        }),
      );
      for (const id of ids) assert.match((await clients.server().disconnected(id)).reason, /^(client namespace disconnect|transport close|transport error)$/);
    });
  },
  { ways: ["upgrade"] },
);

matrix(
  "upgrade with fast heartbeats",
  (clients) => {
    test("does not stall when a ping is due meanwhile", async () => {
      const sockets = await clients.several(10);
      await Promise.all(
        sockets.map(async (socket) => {
          if (socket.io.engine.transport.name !== "websocket") await next(socket.io.engine, "upgrade", 2000);
          await settle(socket);
        }),
      );
    });
  },
  { ways: ["upgrade"], flags: ["-ping-interval", "5ms", "-ping-timeout", "10s"] },
);
