// @socket.io/postgres-emitter, which only sends and does not say the namespace, reaches Go servers all the same.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Emitter } from "@socket.io/postgres-emitter";
import pg from "pg";
import { Client, eventually, Node } from "./harness.js";
import { Postgres, why } from "./postgres.js";

describe("postgres-emitter", { skip: why || false }, () => {
  let postgres, nodes, clients, sender, emitter;
  before(async () => {
    postgres = await Postgres.launch();
    nodes = await Promise.all(["a", "b"].map((n) => Node.start("go", n, ["--adapter", "postgres", "--postgres", postgres.url()])));
    clients = await Promise.all(nodes.map((n) => Client.connect(n)));
    await clients[0].call("join", ["r"]);
    sender = new pg.Pool({ connectionString: postgres.url(), max: 1 }); // with more it does not keep the order
    emitter = new Emitter(sender);
  });
  after(async () => {
    for (const c of clients) c.close();
    await sender.end();
    await Promise.all(nodes.map((n) => n.stop()));
    await postgres.close();
  });

  // reach compares what clients get, each once.
  async function reach(send, ...want) {
    send();
    // A mark would overtake what goes through the table, which the emitter sends with two queries.
    for (const [i, c] of clients.entries()) await eventually("the event", () => c.events.length >= want[i].length);
    emitter.emit("mark");
    for (const [i, c] of clients.entries()) {
      await eventually("the mark", () => c.events.some(([ev]) => ev === "mark"));
      assert.deepEqual(c.take().filter(([ev]) => ev !== "mark"), want[i]);
    }
  }

  test("broadcasts", async () => {
    const hi = ["hi", 1, "é", { k: null }];
    await reach(() => emitter.emit(...hi), [hi], [hi]);
    await reach(() => emitter.to("r").emit(...hi), [hi], []);
    await reach(() => emitter.to(["r", "s"]).emit(...hi), [hi], []);
    await reach(() => emitter.except("r").emit(...hi), [], [hi]);
    await reach(() => emitter.to(clients[1].id).volatile.compress(false).emit(...hi), [], [hi]);
    await reach(() => emitter.of("/custom").emit(...hi), [], []);
    const binary = ["bin", Buffer.from([1, 2]), { deep: [Buffer.from([3])] }];
    await reach(() => emitter.emit(...binary), [binary], [binary]);
  });

  test("rooms", async () => {
    emitter.socketsJoin(["n1", "n2"]);
    await eventually("joined", async () => (await clients[1].call("id")).rooms.includes("n2"));
    emitter.in("r").socketsLeave("n1");
    await eventually("left", async () => !(await clients[0].call("id")).rooms.includes("n1"));
    assert.ok((await clients[1].call("id")).rooms.includes("n1"));
  });

  test("events for servers", async () => {
    emitter.serverSideEmit("sse", 1, { a: [null] });
    for (const c of clients) {
      await eventually("heard", async () => (await c.call("sseLog")).length > 0);
      assert.deepEqual(await c.call("sseLog"), [["sse", 1, { a: [null] }]]);
    }
  });

  test("disconnecting, and not being a server", async () => {
    assert.equal(await clients[0].call("serverCount"), 2);
    const guest = await Client.connect(nodes[1]);
    await guest.call("join", ["guests"]);
    const gone = new Promise((resolve) => guest.socket.on("disconnect", resolve));
    emitter.in("guests").disconnectSockets(true);
    await gone;
    for (const c of clients) assert.ok(c.socket.connected);
  });
});
