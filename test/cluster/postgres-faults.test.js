// What a cluster does while PostgreSQL is away, and afterwards.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, eventually, Node, Proxy } from "./harness.js";
import { Postgres, why } from "./postgres.js";

describe("postgres without PostgreSQL", { skip: why || false }, () => {
  let postgres, proxy, nodes, clients;
  before(async () => {
    postgres = await Postgres.launch();
    proxy = await Proxy.start(postgres.port);
    nodes = await Promise.all([
      Node.start("go", "a", ["--adapter", "postgres", "--postgres", postgres.url(proxy.address)]),
      Node.start("go", "b", ["--adapter", "postgres", "--postgres", postgres.url()]),
      Node.start("node", "c", ["--adapter", "postgres", "--postgres", postgres.url()]),
    ]);
    clients = await Promise.all(nodes.map((n) => Client.connect(n)));
    for (const c of clients) await c.call("join", ["r"]);
    await flows();
  });
  after(async () => {
    for (const c of clients) c.close();
    await Promise.all(nodes.map((n) => n.stop()));
    await proxy.cut();
    await postgres.close();
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

  // away checks what a Go node does alone. Everything is asked at once: after 10 s without a heartbeat it thinks that it
  // is alone, and waits for nobody.
  async function away(i) {
    const c = clients[i];
    c.take();
    for (let n = 0; n < 3; n++) await c.call("emitTo", {}, "local", n);
    await eventually("local delivery", () => c.events.filter(([ev]) => ev === "local").length === 3, 2000);
    const [, acks, heard] = await Promise.all([
      assert.rejects(c.call("fetchSockets", {}), (err) => !err.message.includes("operation has timed out")), // which is the client's own
      c.call("emitWithAck", { timeoutMs: 1000 }, "q"),
      c.call("serverSideEmitWithAck", "sse-ack"),
    ]);
    assert.ok(acks.err, "an error");
    assert.deepEqual(acks.responses, [`${c.id}:q`]);
    assert.ok(heard.err, "an error");
  }

  test("a broken connection", async () => {
    await proxy.cut();
    await away(0);
    await proxy.restore();
    await flows();
  });

  test("a restart", async () => {
    await postgres.kill();
    await Promise.all([away(0), away(1)]);
    await postgres.start();
    await flows();
  });

  test("terminated sessions", async () => {
    for (let n = 0; n < 3; n++) {
      await postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()");
      await flows();
    }
  });
});
