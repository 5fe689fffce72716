// The Go emitter, which only sends, reaches Node and Go servers over every adapter, with clients of both parsers.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Client, eventually, Node, Redis, why } from "./harness.js";

const program = new URL("../../bin/emit", import.meta.url).pathname;

for (const adapter of ["redis", "redis-sharded", "redis-streams"]) {
  describe(`Go emitter, ${adapter}`, { skip: why || false }, () => {
    let redis, nodes, clients, custom, emit, dir;
    before(async () => {
      redis = await Redis.launch();
      const flags = ["--adapter", adapter, "--redis", redis.address];
      nodes = await Promise.all([
        Node.start("node", "a", flags),
        Node.start("go", "b", flags),
        Node.start("node", "c", [...flags, "--msgpack"]),
      ]);
      clients = await Promise.all(nodes.map((n, i) => Client.connect(n, { msgpack: i === 2 })));
      custom = await Client.connect(nodes[0], { nsp: "/custom" });
      await clients[0].call("join", ["r"]);
      await clients[1].call("join", ["s"]);
      dir = mkdtempSync(join(tmpdir(), "emit-"));
      writeFileSync(join(dir, "binary"), Buffer.from([0, 1, 255]));
      emit = spawn(program, ["-adapter", adapter, "-redis", redis.address], { stdio: ["pipe", "ignore", "inherit"] });
      // Subscriptions to rooms follow in the background.
      await eventually("rooms are reached", async () => {
        order({ to: ["r"], emit: ["probe"] }, { to: ["s"], emit: ["probe"] });
        await mark();
        return [0, 1].every((i) => clients[i].take().some(([ev]) => ev === "probe"));
      });
      clients[2].take();
    });
    after(async () => {
      emit.stdin.end();
      const [status] = await once(emit, "exit");
      for (const c of [...clients, custom]) c.close();
      await Promise.all(nodes.map((n) => n.stop()));
      await redis.close();
      rmSync(dir, { recursive: true });
      assert.equal(status, 0);
    });

    function order(...orders) {
      for (const o of orders) emit.stdin.write(`${JSON.stringify(o)}\n`);
    }

    // mark returns when all clients of "/" have what was sent before.
    let marks = 0;
    async function mark() {
      const name = `mark ${++marks}`;
      order({ emit: [name] });
      for (const c of clients) {
        await eventually(name, () => c.events.some(([ev]) => ev === name));
        c.events = c.events.filter(([ev]) => ev !== name);
      }
    }

    // reach compares what clients get, each once.
    async function reach(o, ...want) {
      order(o);
      await mark();
      for (const [i, c] of clients.entries()) assert.deepEqual(c.take(), want[i], `${JSON.stringify(o)}, client ${i}`);
    }

    test("broadcasts", async () => {
      const hi = ["hi", 1, "é", { k: null, f: 1.5, n: -70000 }, [true]];
      await reach({ emit: hi }, [hi], [hi], [hi]);
      await reach({ to: ["r"], emit: hi }, [hi], [], []);
      await reach({ to: ["s", "r"], emit: hi }, [hi], [hi], []);
      await reach({ to: ["nobody"], emit: hi }, [], [], []);
      await reach({ except: ["r"], emit: hi }, [], [hi], [hi]);
      await reach({ to: ["r", "s"], except: ["s"], volatile: true, compress: false, emit: hi }, [hi], [], []);
      for (const [i, c] of clients.entries()) {
        await reach({ to: [c.id], emit: hi }, ...clients.map((_, k) => (k === i ? [hi] : [])));
      }
    });

    test("binary", async () => {
      const want = [["bin", Buffer.from([0, 1, 255])]];
      await reach({ emit: ["bin"], file: join(dir, "binary") }, want, want, want);
    });

    test("another namespace", async () => {
      await reach({ nsp: "/custom", emit: ["there", 1] }, [], [], []);
      await eventually("there", () => custom.events.length > 0);
      assert.deepEqual(custom.take(), [["there", 1]]);
    });

    test("rooms", async () => {
      order({ join: ["n1", "n2"] }, { to: ["r", "s"], leave: ["n1"] });
      await mark();
      const rooms = () => Promise.all(clients.map(async (c) => (await c.call("id")).rooms.filter((r) => /^n\d$/.test(r)).sort()));
      await eventually("moved", async () => {
        assert.deepEqual(await rooms(), [["n2"], ["n2"], ["n1", "n2"]]);
        return true;
      });
    });

    test("events for servers", async () => {
      order({ serverSide: ["sse", 1, { a: [null, "é"] }] });
      for (const c of clients) {
        await eventually("heard", async () => (await c.call("sseLog")).length > 0);
        assert.deepEqual(await c.call("sseLog"), [["sse", 1, { a: [null, "é"] }]]);
      }
    });

    test("disconnecting, and not being a server", async () => {
      for (const c of clients) assert.equal(await c.call("serverCount"), 3);
      const guests = await Promise.all(nodes.map((n, i) => Client.connect(n, { msgpack: i === 2 })));
      for (const g of guests) await g.call("join", ["guests"]);
      const gone = guests.map((g) => once(g.socket, "disconnect"));
      order({ to: ["guests"], except: [guests[0].id], disconnect: true });
      assert.equal((await gone[1])[0], "io server disconnect");
      assert.equal((await gone[2])[0], "io server disconnect");
      assert.ok(guests[0].socket.connected);
      order({ to: ["guests"], disconnect: false });
      assert.equal((await gone[0])[0], "io server disconnect");
      for (const c of clients) assert.ok(c.socket.connected);
    });
  });
}

// Clients catch up with what an emitter sent while they were away, on another server if need be.
describe("Go emitter, recovery", { skip: why || false }, () => {
  test("redis-streams", async () => {
    const redis = await Redis.launch();
    const flags = ["--adapter", "redis-streams", "--redis", redis.address, "--recovery"];
    const nodes = await Promise.all([Node.start("node", "a", flags), Node.start("go", "b", flags)]);
    const send = async (...orders) => {
      const p = spawn(program, ["-adapter", "redis-streams", "-redis", redis.address, ...orders.map((o) => JSON.stringify(o))]);
      assert.equal((await once(p, "exit"))[0], 0);
    };
    try {
      for (const n of nodes) {
        const c = await Client.connect(n, { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 10 });
        await send({ emit: ["before"] });
        await eventually("before", () => c.events.some(([ev]) => ev === "before"));
        c.take();
        c.socket.io.reconnectionDelay(1000);
        c.socket.io.reconnectionDelayMax(1000);
        c.socket.io.engine.close();
        await eventually("away", () => !c.socket.connected);
        await send({ emit: ["missed", 1] }, { to: ["nobody"], emit: ["not mine"] }, { emit: ["missed", 2] });
        await eventually("back", () => c.socket.connected);
        await eventually("caught up", () => c.events.length >= 2);
        assert.ok(c.socket.recovered);
        assert.deepEqual(c.take().map(([ev, n]) => [ev, n]), [["missed", 1], ["missed", 2]]);
        c.close();
      }
    } finally {
      await Promise.all(nodes.map((n) => n.stop()));
      await redis.close();
    }
  });
});
