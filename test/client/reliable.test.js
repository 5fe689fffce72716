// Messages that are sent again until they are acknowledged, through a proxy that keeps cutting connections: the client's own
// retries against the server's middleware, and the server's retries against a page that looks for duplicates.

import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import { Clients, matrix, reset, unique, within } from "./harness.js";

// A Proxy passes TCP connections on until it cuts them.
class Proxy {
  static async start(addr) {
    const [host, port] = addr.split(":");
    const proxy = new Proxy();
    proxy.pairs = new Set();
    proxy.server = net.createServer((near) => {
      const far = net.connect(Number(port), host);
      const pair = [near, far];
      proxy.pairs.add(pair);
      const end = () => {
        proxy.pairs.delete(pair);
        for (const socket of pair) socket.destroy();
      };
      for (const socket of pair) socket.on("error", end).on("close", end).setNoDelay(true);
      near.pipe(far).pipe(near);
    });
    await new Promise((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  cut() {
    for (const pair of this.pairs) for (const socket of pair) reset(socket);
  }

  stop() {
    this.server.close();
    this.cut();
  }
}

const persistent = { reconnection: true, reconnectionDelay: 5, reconnectionDelayMax: 20, retries: 1000, ackTimeout: 1000 };

matrix("at least once", (clients) => {
  const through = (proxy) => new Clients(() => ({ url: proxy.url }), clients.transport);

  test("the client repeats: every event has its effect once, every emit is acknowledged", async (t) => {
    const proxy = await Proxy.start(clients.server().addr);
    const mine = through(proxy);
    t.after(() => {
      mine.closeAll();
      proxy.stop();
    });
    const namespace = `/reliable/${unique("run")}`;
    const socket = await mine.connect(namespace, persistent);
    let connects = 1;
    socket.on("connect", () => connects++);
    // Every fifth event has its connection cut while it is handled, once.
    const cut = new Set();
    socket.on("handling", (i) => {
      if (i % 5 === 2 && !cut.has(i)) {
        cut.add(i);
        setTimeout(() => proxy.cut(), 5); // when the next poll, if it takes one, is parked
      }
    });
    const n = 40;
    const acks = new Array(n).fill(0);
    await within(
      Promise.all(
        Array.from({ length: n }, async (_, i) => {
          assert.equal(await socket.emitWithAck("add", i, `id-${i}`), 2 * i);
          acks[i]++;
        }),
      ),
      "acknowledgement of every event",
      60_000,
    );
    assert.deepEqual(acks, new Array(n).fill(1));
    const observer = await clients.connect(namespace);
    const { effects, arrivals } = await observer.emitWithAck("effects");
    assert.deepEqual(effects, Object.fromEntries(acks.map((_, i) => [`id-${i}`, 1])));
    assert.equal(cut.size, n / 5);
    assert.ok(connects > 2, `${connects} connects`);
    assert.ok(arrivals > n, `${arrivals} events arrived: none came twice, so nothing was tested`);
  });

  test("the server repeats: every message arrives, its duplicates are recognized by their id", async (t) => {
    const proxy = await Proxy.start(clients.server().addr);
    const mine = through(proxy);
    t.after(() => {
      mine.closeAll();
      proxy.stop();
    });
    const run = unique("run");
    const socket = await mine.connect(`/reliable/${run}`, { ...persistent, retries: 0 });
    const seen = new Set();
    const orders = [];
    let duplicates = 0;
    socket.on("order", (order, id, ack) => {
      if (seen.has(id)) {
        duplicates++;
      } else {
        seen.add(id);
        orders.push(order);
        if (order % 5 === 2) {
          setTimeout(() => proxy.cut(), 5); // as above
          return setTimeout(() => ack(order + 100), 20); // too late
        }
      }
      ack(order + 100);
    });
    const n = 40;
    socket.emit("deliver", n, run);
    const report = await clients.server().saw((e) => e.event === "delivered" && e.run === run, "delivery", 60_000);
    assert.equal(report.error, undefined);
    assert.deepEqual(report.answers, Array.from({ length: n }, (_, i) => i + 100));
    assert.deepEqual(orders, Array.from({ length: n }, (_, i) => i));
    assert.ok(duplicates > 0, "nothing came twice, so nothing was tested");
  });
});
