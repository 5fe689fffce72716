// What a cluster does while Redis is away, and afterwards.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, eventually, Node, Proxy, Redis, why } from "./harness.js";

for (const adapter of ["redis", "redis-sharded", "redis-streams", "redis-streams --recovery"]) {
  const flags = ["--adapter", ...adapter.split(" ")];
  describe(`${adapter} without Redis`, { skip: why || false }, () => {
    let redis, proxy, nodes, clients;
    before(async () => {
      redis = await Redis.launch();
      proxy = await Proxy.start(redis.port);
      nodes = await Promise.all([
        Node.start("go", "a", [...flags, "--redis", proxy.address]),
        Node.start("go", "b", [...flags, "--redis", redis.address]),
        Node.start("node", "c", [...flags, "--redis", redis.address]),
      ]);
      clients = await Promise.all(nodes.map((n) => Client.connect(n)));
      for (const c of clients) await c.call("join", ["r"]);
      await flows();
    });
    after(async () => {
      for (const c of clients) c.close();
      await Promise.all(nodes.map((n) => n.stop()));
      await proxy.cut();
      await redis.close();
    });

    // flows waits until broadcasts of every node reach every client again.
    async function flows() {
      for (const target of [{}, { rooms: ["r"] }]) {
        for (const [i, from] of clients.entries()) {
          for (const c of clients) c.take();
          await eventually(`broadcasts from ${nodes[i].name} resume`, async () => {
            await from.call("emitTo", target, "flow", i);
            return clients.every((c) => c.events.some(([ev, k]) => ev === "flow" && k === i));
          });
        }
      }
      for (const c of clients) await eventually("all nodes", async () => (await c.call("serverCount")) === 3);
    }

    // away checks what a Go node does alone.
    async function away(i) {
      const c = clients[i];
      c.take();
      for (let n = 0; n < 3; n++) await c.call("emitTo", {}, "local", n);
      await eventually("local delivery", () => c.events.filter(([ev]) => ev === "local").length === 3, 2000);
      await assert.rejects(c.call("fetchSockets", {}), (err) => !err.message.includes("operation has timed out")); // which is the client's own
      const { err, responses } = await c.call("emitWithAck", { timeoutMs: 1000 }, "q");
      assert.ok(err, "an error");
      assert.deepEqual(responses, [`${c.id}:q`]);
      assert.ok((await c.call("serverSideEmitWithAck", "sse-ack")).err, "an error");
    }

    test("a broken connection", async () => {
      await proxy.cut();
      await away(0);
      await proxy.restore();
      await flows();
    });

    test("a restart", async () => {
      await redis.kill();
      await away(0);
      await away(1);
      await redis.start();
      await flows();
    });

    test("a Redis that stands still", async () => {
      redis.process.kill("SIGSTOP");
      await away(0);
      await away(1);
      redis.process.kill("SIGCONT");
      await flows();
    });
  });
}
