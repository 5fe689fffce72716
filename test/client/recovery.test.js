// Connection state recovery: clients that lose their connection and come back.

import assert from "node:assert/strict";
import net from "node:net";
import { describe, test } from "node:test";
import { Clients, Server, call, collect, matrix, msgpackParser, next, quiet, reset, settle, transports, unique, until, upgraded } from "./harness.js";

const reconnection = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50, randomizationFactor: 0 };

// back loses the connection, has others do something meanwhile, and returns when the client is connected again. However slow
// the others are, it does not come back before they are done.
async function back(socket, meanwhile = () => {}, lose = () => socket.io.engine.close()) {
  const gone = next(socket, "disconnect");
  const returned = next(socket, "connect");
  socket.io.reconnection(false);
  lose();
  await gone;
  await meanwhile();
  socket.io.reconnection(true);
  socket.connect();
  await returned;
}

function recovers(clients) {
  for (const namespace of ["/", "/custom"]) {
    test(`gets what it missed, in ${namespace}`, async () => {
      const [socket, other] = [await clients.connect(namespace, reconnection), await clients.connect(namespace)];
      const [room, elsewhere] = [unique("room"), unique("elsewhere")];
      await call(socket, "join", room);
      const { id } = socket;
      const got = [];
      socket.on("event", (...args) => got.push(args.slice(0, -1)));
      await call(other, "post", "", "event", [0]);
      await settle(socket);
      for (let round = 1; round <= 3; round++) {
        await back(socket, async () => {
          await call(other, "post", "", "event", [round, "to all"]);
          await call(other, "post", elsewhere, "event", ["not for it"]);
          await call(other, "postVolatile", "event", ["worthless later"]);
          await call(other, "post", room, "event", [round, Buffer.from([round, 2, 3])]);
          await call(other, "post", id, "event", [round, { to: "itself" }]);
        });
        assert.ok(socket.recovered);
        assert.equal(socket.id, id);
        assert.ok(await call(socket, "recovered"));
        assert.deepEqual((await call(socket, "rooms")).toSorted(), [id, room].toSorted());
      }
      const rounds = [1, 2, 3].flatMap((n) => [[n, "to all"], [n, Buffer.from([n, 2, 3])], [n, { to: "itself" }]]);
      assert.deepEqual(got, [[0], ...rounds]);
    });
  }

  test("is recovered before its first event, again and again", async () => {
    const [socket, other] = [await clients.connect("/", reconnection), await clients.connect()];
    const { id } = socket;
    for (let round = 0; round < 3; round++) {
      await back(socket);
      assert.ok(socket.recovered);
    }
    const events = collect(socket, "event");
    await back(socket, () => call(other, "post", id, "event", ["missed"]));
    assert.ok(socket.recovered);
    assert.deepEqual(await events.until(1), ["missed"]);
    await quiet(socket, "event");
  });

  test("is not confused by strings in volatile events", async () => {
    const [socket, other] = [await clients.connect("/", reconnection), await clients.connect()];
    const events = collect(socket, "event");
    await call(other, "post", socket.id, "event", [1]);
    await events.until(1);
    // Alone, so that it may be sent: a poll must be waiting.
    await until(async () => {
      await call(other, "postVolatile", "volatile", ["a string"]);
      await settle(socket);
      return socket._lastOffset === "a string";
    }, "a volatile event");
    await back(socket, () => call(other, "post", socket.id ?? "", "event", [2]));
    assert.ok(socket.recovered);
    assert.deepEqual(await events.until(2), [1, 2]);
  });

  test("is a new client after it has left", async () => {
    const socket = await clients.connect();
    const { id } = socket;
    socket.disconnect();
    const again = next(socket, "connect");
    socket.connect();
    await again;
    assert.ok(!socket.recovered);
    assert.notEqual(socket.id, id);
    assert.equal(await call(socket, "recovered"), false);
  });
}

matrix("recovery", recovers, { flags: ["-recovery"] });
matrix("recovery with msgpack", recovers, { flags: ["-recovery", ...msgpackParser.flags], options: msgpackParser.options, doors: ["direct"] });

// A Proxy passes TCP connections on to the server, until it is told to break them.
class Proxy {
  pairs = new Set();

  static async start(addr) {
    const proxy = new Proxy();
    const [host, port] = addr.split(":");
    proxy.listener = net.createServer((client) => {
      const server = net.connect({ host, port: Number(port) });
      const pair = { client, server };
      proxy.pairs.add(pair);
      for (const end of [client, server]) {
        end.on("error", () => {});
        end.on("close", () => {
          proxy.pairs.delete(pair);
          if (!pair.halfOpen) [client, server].forEach((s) => s.destroy());
        });
      }
      client.pipe(server);
      server.pipe(client);
    });
    await new Promise((resolve) => proxy.listener.listen(0, "127.0.0.1", resolve));
    proxy.url = `http://127.0.0.1:${proxy.listener.address().port}`;
    return proxy;
  }

  // breakAll resets every connection; with halfOpen only the client notices.
  breakAll({ halfOpen = false } = {}) {
    for (const pair of this.pairs) {
      pair.halfOpen = halfOpen;
      if (halfOpen) {
        pair.server.unpipe();
        pair.server.resume();
      }
      reset(pair.client);
      if (!halfOpen) reset(pair.server);
      else (this.leftovers ??= []).push(pair.server);
    }
  }

  stop() {
    this.breakAll();
    for (const s of this.leftovers ?? []) s.destroy();
    this.listener.close();
  }
}

describe("recovery through broken connections", () => {
  for (const way of Object.keys(transports)) {
    test(`${way}: every event comes once, in order`, async (t) => {
      const server = await Server.start({ door: "direct", flags: ["-recovery"] });
      const proxy = await Proxy.start(server.addr);
      const clients = new Clients(() => ({ url: proxy.url }), way, reconnection);
      t.after(async () => {
        clients.closeAll();
        proxy.stop();
        await server.stop();
      });
      const rounds = 1500;
      const sockets = await clients.several(6);
      const got = sockets.map((socket) => {
        const events = { all: [], room: [], one: [] };
        for (const name in events) socket.on(name, (n) => events[name].push(n));
        return events;
      });
      const ids = sockets.map((s) => s.id);
      let returns = 0;
      for (const socket of sockets) {
        socket.on("connect", () => {
          returns++;
          assert.ok(socket.recovered, "not recovered");
        });
        await call(socket, "join", "room");
        await upgraded(socket);
      }
      // Everybody gets numbers of its own; those to all and to the room are the first one's.
      await call(sockets[0], "traffic", rounds);
      let halfOpen = false;
      const complete = () => got[0].one.length >= rounds && got.every((e) => e.all.length >= rounds && e.room.length >= rounds);
      const breaking = setInterval(() => {
        halfOpen = !halfOpen;
        proxy.breakAll({ halfOpen });
      }, 150);
      setTimeout(() => clearInterval(breaking), 3000);
      await until(complete, "all events", 60_000);
      clearInterval(breaking);
      await Promise.all(sockets.map(settle));
      const numbers = Array.from({ length: rounds }, (_, i) => i);
      assert.deepEqual(got[0].one, numbers);
      for (const events of got) {
        assert.deepEqual(events.all, numbers);
        assert.deepEqual(events.room, numbers);
      }
      assert.deepEqual(sockets.map((s) => s.id), ids);
      assert.ok(returns >= sockets.length, `only ${returns} returns`);
    });
  }
});
