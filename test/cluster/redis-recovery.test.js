// Connection state recovery with the adapter on streams, among Go and Node servers.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, eventually, Node, Redis, sleep, why } from "./harness.js";

for (const kinds of [["go", "go", "node"], ["go", "node", "node"]]) {
  describe(`redis-streams with recovery: ${kinds.join(", ")}`, { skip: why || false }, () => {
    let redis, nodes, stay;
    before(async () => {
      redis = await Redis.launch();
      const args = ["--adapter", "redis-streams", "--redis", redis.address, "--recovery"];
      nodes = await Promise.all(kinds.map((kind, i) => Node.start(kind, `${kind}${i}`, args)));
      stay = await Promise.all(nodes.map((n) => Client.connect(n)));
      for (const c of stay) await eventually("all nodes", async () => (await c.call("serverCount")) === 3);
    });
    after(async () => {
      for (const c of stay) c.close();
      await Promise.all(nodes.map((n) => n.stop()));
      await redis.close();
    });

    // away breaks a client's connection so that its session is stored, and returns what brings it back.
    async function away(c) {
      const closed = new Promise((resolve) => c.socket.once("disconnect", resolve));
      c.socket.io.engine.close();
      await closed;
      await sleep(200);
    }

    // back connects a client to another node.
    async function back(c, node) {
      c.socket.io.uri = `http://127.0.0.1:${node.port}`;
      c.take();
      await new Promise((resolve, reject) => c.socket.connect().once("connect", resolve).once("connect_error", reject));
      return (await c.call("id")).recovered;
    }

    // Whoever sends, wherever the client was and comes back to.
    for (const [from, to, sender] of [[0, 1, 2], [0, 2, 1], [2, 0, 1], [1, 0, 0], [0, 0, 2], [2, 1, 2]]) {
      test(`from node ${from} to node ${to}, while node ${sender} sends`, async () => {
        const c = await Client.connect(nodes[from]);
        const id = c.id;
        await c.call("join", ["r"]);
        await c.call("setData", { user: "bob" });
        await stay[sender].call("emitTo", {}, "seen", 0);
        await eventually("the first", () => c.events.some(([ev]) => ev === "seen"));
        await away(c);
        await stay[sender].call("emitTo", {}, "missed", 1);
        await stay[sender].call("emitTo", { rooms: ["r"] }, "missed", 2, { a: [null] });
        await stay[sender].call("emitTo", { rooms: ["other"] }, "missed", -1);
        await stay[sender].call("emitTo", { except: ["r"] }, "missed", -2);
        await stay[sender].call("emitTo", { rooms: [id] }, "missed", 3, Buffer.from([1]));
        if (kinds[sender] === "go") await stay[sender].call("emitTo", { flags: { volatile: true } }, "missed", -3);
        assert.equal(await back(c, nodes[to]), true, "recovered");
        const me = await c.call("id");
        assert.equal(me.id, id);
        assert.deepEqual(me.rooms.sort(), [id, "r"].sort());
        assert.deepEqual(me.data, { user: "bob" });
        await stay[sender].call("emitTo", { rooms: ["r"] }, "missed", 4);
        await eventually("the last", () => c.events.some(([ev, n]) => ev === "missed" && n === 4));
        assert.deepEqual(
          c.events.filter(([ev]) => ev === "missed").map(([, n]) => n),
          [1, 2, 3, 4],
        );
        c.close();
      });
    }

    // The last one takes over, where the nodes are asked to give a session up; it is never two.
    test("a session has one client", async () => {
      const c = await Client.connect(nodes[0]);
      await stay[0].call("emitTo", {}, "seen");
      await eventually("the first", () => c.events.length > 0);
      await away(c);
      const auth = { pid: c.socket._pid, offset: c.socket._lastOffset };
      const gos = nodes.filter((_, i) => kinds[i] === "go");
      const claims = [0, 1, 2, 3, 4].map((i) => Client.connect(gos[i % gos.length], { auth }));
      const clients = (await Promise.allSettled(claims)).flatMap((r) => (r.status === "fulfilled" ? [r.value] : []));
      await eventually("one with the session", () => clients.filter((t) => t.socket.connected && t.id === c.id).length === 1);
      const found = await stay[0].call("fetchSockets", { rooms: [c.id] });
      assert.equal(found.length, 1);
      for (const t of clients) t.close();
    });

    test("traffic while clients come and go", async () => {
      // All nodes send, but only Go ones are come back to, and gone from: a Node server delivers its own packets and
      // those of others in another order than the stream's, so that its clients' offsets do not say what they have.
      const gos = kinds.flatMap((kind, i) => (kind === "go" ? [i] : []));
      const clients = await Promise.all([0, 1, 2].map((k) => Client.connect(nodes[gos[k % gos.length]])));
      for (const c of clients) c.got = [];
      let sending = true;
      const count = [0, 0, 0];
      const senders = stay.map(async (c, i) => {
        while (sending) {
          await c.call("bulkEmit", {}, "n", count[i], 5);
          count[i] += 5;
          await sleep(3);
        }
      });
      await Promise.all(
        clients.map(async (c, k) => {
          for (let round = 0; round < 8; round++) {
            await sleep(100 + 37 * k);
            const closed = new Promise((resolve) => c.socket.once("disconnect", resolve));
            c.socket.io.engine.close();
            await closed;
            await sleep(150);
            c.got.push(...c.take());
            assert.equal(await back(c, nodes[gos[(round + k) % gos.length]]), true);
          }
        }),
      );
      sending = false;
      await Promise.all(senders);
      for (const [k, c] of clients.entries()) {
        const numbers = () => [...c.got, ...c.events].filter(([ev]) => ev === "n");
        await eventually("everything", () => numbers().length >= count.reduce((a, b) => a + b) - 200);
        await sleep(300);
        for (const [i, n] of nodes.entries()) {
          const got = numbers().filter(([, name]) => name === n.name).map(([, , x]) => x);
          // A client connected while they were sending misses what came before.
          const first = got[0];
          assert.deepEqual(got, Array.from({ length: count[i] - first }, (_, x) => first + x), `client ${k}, from ${n.name}`);
        }
        c.close();
      }
    });
  });
}
