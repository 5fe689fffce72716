// What a cluster must do, whoever its nodes are. matrix() runs it on three nodes of given kinds.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, eventually, Node, sleep } from "./harness.js";

// matrix defines the tests. setup returns { args, close }: flags for the nodes, and what to do at the end.
export function matrix(title, kinds, setup, { order = true } = {}) {
  describe(title, { concurrency: 1 }, () => {
    let nodes, clients, backend;
    const nsp = "/";

    before(async () => {
      backend = await setup();
      nodes = await Promise.all(kinds.map((kind, i) => Node.start(kind, `${kind}${i}`, backend.args)));
      clients = await Promise.all(
        nodes.map((n, i) => Client.connect(n, { auth: { token: `t${i}` }, msgpack: backend.args.includes("--msgpack") })),
      );
      await everybodyKnown();
    });
    after(async () => {
      for (const c of clients ?? []) c.close();
      await Promise.all((nodes ?? []).map((n) => n.stop()));
      await backend.close();
    });

    async function everybodyKnown() {
      for (const c of clients) await eventually("all nodes", async () => (await c.call("serverCount")) === nodes.length);
    }

    // reaches sends by each node in turn and compares who gets it, each once.
    async function reaches(target, want, ...args) {
      for (const [i, from] of clients.entries()) {
        for (const c of clients) c.take();
        await from.call("emitTo", target, "hi", i, ...args);
        // What was sent before the marker has arrived with it: to all, and to the room of everybody. Without order it may take longer.
        await settle(from);
        if (!order) for (const k of want) await eventually(`from ${i}, at ${k}`, () => clients[k].events.some(([ev]) => ev === "hi"));
        for (const [k, c] of clients.entries()) {
          const got = c.take().filter(([ev]) => ev === "hi");
          assert.deepEqual(got, want.includes(k) ? [["hi", i, ...args]] : [], `from ${i}, at ${k}`);
        }
      }
    }

    let marks = 0;
    async function settle(from) {
      const mark = ++marks;
      await from.call("emitTo", {}, "mark", mark);
      for (const c of clients) {
        await eventually("mark", () => c.events.some(([ev, n]) => ev === "mark" && n === mark));
      }
      await sleep(order ? 20 : 200);
    }

    // inRoom waits until exactly these clients' sockets are in the room.
    async function inRoom(room, want) {
      const ids = want.map((k) => clients[k].id).sort();
      for (const c of clients) {
        await eventually(`${want} in ${room}`, async () => {
          const got = (await c.call("fetchSockets", { rooms: [room] })).map((s) => s.id).sort();
          return got.join() === ids.join();
        });
      }
      await sleep(50); // until channels of rooms are subscribed to
    }

    test("everybody", () => reaches({}, [0, 1, 2], "é𝄞", { k: null, a: [1.5, true, -1] }));

    test("one room, two rooms, exceptions", async () => {
      await clients[0].call("join", ["r", "s"]);
      await clients[1].call("join", ["r"]);
      await clients[2].call("join", ["s", "t *?[x]#/é"]);
      await inRoom("r", [0, 1]);
      await inRoom("s", [0, 2]);
      await inRoom("t *?[x]#/é", [2]);
      await reaches({ rooms: ["r"] }, [0, 1]);
      await reaches({ rooms: ["r", "s"] }, [0, 1, 2]);
      await reaches({ rooms: ["t *?[x]#/é"] }, [2]);
      await reaches({ rooms: ["nowhere"] }, []);
      await reaches({ except: ["r"] }, [2]);
      await reaches({ rooms: ["r"], except: ["s"] }, [1]);
      await clients[0].call("leave", "r");
      await inRoom("r", [1]);
      await reaches({ rooms: ["r"] }, [1]);
    });

    test("a socket by its id", async () => {
      for (const k of clients.keys()) await reaches({ rooms: [clients[k].id] }, [k]);
      await reaches({ except: [clients[0].id] }, [1, 2]);
    });

    test("flags", async () => {
      // Volatile ones need not arrive while something else is on its way to a client, but none arrives twice.
      for (const [i, from] of clients.entries()) {
        let got;
        await eventually(`volatile ones of ${i} arrive`, async () => {
          for (const c of clients) c.take();
          await from.call("emitTo", { flags: { volatile: true } }, "hi", i);
          await settle(from);
          got = clients.map((c) => c.take().filter(([ev]) => ev === "hi"));
          return got.every((one) => one.length > 0);
        });
        assert.deepEqual(got, clients.map(() => [["hi", i]]));
      }
      await reaches({ flags: { compress: false } }, [0, 1, 2]);
      for (const [i, from] of clients.entries()) {
        for (const c of clients) c.take();
        await from.call("emitTo", { flags: { local: true } }, "hi");
        await settle(from);
        for (const [k, c] of clients.entries()) assert.equal(c.take().some(([ev]) => ev === "hi"), k === i);
      }
    });

    test("binary", async () => {
      await reaches({}, [0, 1, 2], Buffer.from([1, 2, 3]), { deep: [Buffer.from([0xff])] });
      await reaches({ rooms: ["r"] }, [1], Buffer.alloc(70000, 7));
    });

    test("large texts", () => reaches({}, [0, 1, 2], "é".repeat(50000)));

    test("a broadcast of a socket does not reach itself", async () => {
      for (const [i, from] of clients.entries()) {
        for (const c of clients) c.take();
        await from.call("broadcastFromSocket", {}, "hi", i);
        await settle(from);
        for (const [k, c] of clients.entries()) assert.equal(c.take().filter(([ev]) => ev === "hi").length, k === i ? 0 : 1);
      }
    });

    if (order) {
      test("order", async () => {
        for (const c of clients) c.take();
        await Promise.all(clients.map((c) => c.call("bulkEmit", {}, "n", 0, 500)));
        for (const c of clients) {
          await eventually("all numbers", () => c.events.filter(([ev]) => ev === "n").length >= 1500);
          for (const n of nodes) {
            const got = c.events.filter(([ev, name]) => ev === "n" && name === n.name).map(([, , i]) => i);
            assert.deepEqual(got, [...Array(500).keys()], `from ${n.name}`);
          }
          c.take();
        }
      });
    }

    test("acknowledgements", async () => {
      const all = clients.map((c) => `${c.id}:q`).sort();
      for (const c of clients) {
        let r = await c.call("emitWithAck", { timeoutMs: 5000 }, "q", 1);
        assert.deepEqual([r.err, r.responses.sort()], [null, all]);
        r = await c.call("emitWithAck", { timeoutMs: 5000, rooms: ["nowhere"] }, "q");
        assert.deepEqual(r, { err: null, responses: [] });
        r = await c.call("emitWithAck", { timeoutMs: 5000, rooms: ["r"] }, "q");
        assert.deepEqual(r, { err: null, responses: [`${clients[1].id}:q`] });
      }
    });

    test("acknowledgements hold any value", async () => {
      const values = [undefined, null, 0, "", false, { a: [1, null] }, Buffer.from([9])];
      for (const v of values) {
        for (const c of clients) c.answer = () => (v === undefined ? [] : [v, "more"]);
        for (const c of clients) {
          const r = await c.call("emitWithAck", { timeoutMs: 5000 }, "q");
          assert.equal(r.err, null);
          assert.deepEqual(r.responses, Array(3).fill(v ?? null));
        }
      }
      for (const c of clients) delete c.answer;
    });

    // unanswered asks everybody, one of whom does not answer, and returns what there is after ms. That it does not take longer is seen
    // by a call that may, which began before: over is its end.
    async function unanswered(c, ms) {
      let waits = true;
      const over = c.call("emitWithAck", { timeoutMs: ms + 2500 }, "q").then(() => (waits = false));
      const r = await c.call("emitWithAck", { timeoutMs: ms }, "q");
      assert.ok(waits, `a limit of ${ms} ms is kept`);
      return { r, over };
    }

    test("acknowledgements that do not come", async () => {
      clients[1].mute = true;
      for (const c of clients) {
        const { r, over } = await unanswered(c, 600);
        assert.ok(r.err, "an error");
        assert.deepEqual(r.responses.sort(), [`${clients[0].id}:q`, `${clients[2].id}:q`].sort());
        await over;
      }
      clients[1].mute = false;
    });

    // The reference waits for other servers in vain.
    test("local acknowledgements", async () => {
      for (const [i, c] of clients.entries()) {
        if (kinds[i] !== "go") continue;
        const r = await c.call("emitWithAck", { timeoutMs: 5000, flags: { local: true } }, "q");
        assert.deepEqual(r, { err: null, responses: [`${c.id}:q`] });
      }
    });

    test("fetchSockets", async () => {
      await clients[1].call("setData", { user: "bob", n: 7 });
      for (const c of clients) {
        const sockets = await c.call("fetchSockets", {});
        assert.deepEqual(sockets.map((s) => s.id).sort(), clients.map((c) => c.id).sort());
        for (const [k, other] of clients.entries()) {
          const s = sockets.find((s) => s.id === other.id);
          assert.ok(s.rooms.includes(other.id));
          assert.deepEqual(s.data, k === 1 ? { user: "bob", n: 7 } : {});
          assert.deepEqual(s.handshake.auth, { token: `t${k}` });
          assert.equal(s.handshake.query.EIO, "4");
          assert.equal(s.handshake.address.replace("::ffff:", ""), "127.0.0.1");
          assert.equal(s.handshake.secure, false);
          assert.equal(s.handshake.xdomain, false);
          assert.equal(typeof s.handshake.issued, "number");
          // The text has no milliseconds. The reference reads the clock again for the number, and forming its first text takes a while.
          const apart = s.handshake.issued - new Date(s.handshake.time);
          assert.ok(apart >= 0 && apart < (kinds[k] === "go" ? 1000 : 10000), `time and issued are ${apart} ms apart`);
          assert.match(s.handshake.url, /^\/socket\.io\/\?/);
          assert.equal(s.handshake.headers.host, `127.0.0.1:${nodes[k].port}`);
        }
      }
    });

    test("socketsJoin and socketsLeave", async () => {
      for (const [i, c] of clients.entries()) {
        await c.call("socketsJoin", { rooms: ["r", "s"], except: [clients[0].id] }, [`n${i}`, "both"]);
        await inRoom(`n${i}`, [1, 2]);
        await reaches({ rooms: [`n${i}`] }, [1, 2]);
        await c.call("socketsLeave", { rooms: ["r"] }, [`n${i}`, "both"]);
        await inRoom(`n${i}`, [2]);
        await reaches({ rooms: [`n${i}`] }, [2]);
        await c.call("socketsLeave", {}, [`n${i}`, "both"]);
        await inRoom("both", []);
      }
    });

    test("a remote socket's handle", async () => {
      for (const [i, c] of clients.entries()) {
        const other = clients[(i + 1) % 3];
        other.take();
        await c.call("remote", other.id, "emit", "direct", i, Buffer.from([1]));
        await eventually("direct", () => other.events.some(([ev]) => ev === "direct"));
        assert.deepEqual(other.take().find(([ev]) => ev === "direct"), ["direct", i, Buffer.from([1])]);
        assert.deepEqual(await c.call("remote", other.id, "emitWithAck", 3000, "q", 1), {
          err: null,
          response: `${other.id}:q`,
        });
        await c.call("remote", other.id, "join", ["remote"]);
        await inRoom("remote", [(i + 1) % 3]);
        await c.call("remote", other.id, "leave", "remote");
        await inRoom("remote", []);
        await assert.rejects(c.call("remote", "x".repeat(20), "emit", "ev"), /no socket/);
      }
    });

    test("events between servers", async () => {
      for (const [i, c] of clients.entries()) {
        for (const other of clients) await other.call("sseClear");
        await c.call("serverSideEmit", "sse", i, "a", { b: [null] });
        for (const [k, other] of clients.entries()) {
          const want = k === i ? [] : [["sse", i, "a", { b: [null] }]];
          await eventually("sse", async () => (await other.call("sseLog")).length >= want.length);
          assert.deepEqual(await other.call("sseLog"), want);
        }
      }
    });

    test("calls between servers", async () => {
      for (const [i, c] of clients.entries()) {
        const others = nodes.filter((_, k) => k !== i).map((n) => n.name);
        const r = await c.call("serverSideEmitWithAck", "sse-ack", i, { x: 1 });
        assert.equal(r.err, null);
        assert.deepEqual(r.responses.map((r) => r.name).sort(), others.sort());
        for (const { args } of r.responses) assert.deepEqual(args, [i, { x: 1 }]);
      }
    });

    test("a server that does not answer", async () => {
      await Promise.all(
        clients.map(async (c, i) => {
          const mute = nodes[(i + 1) % 3].name;
          const r = await c.call("serverSideEmitWithAck", "sse-mute", mute); // which waits for 15 s, and the server for 5
          assert.ok(r.err, "an error");
          assert.deepEqual(r.responses, [nodes[(i + 2) % 3].name]);
        }),
      );
    });

    test("namespaces are apart", async () => {
      const far = await Client.connect(nodes[2], { nsp: "/custom", msgpack: backend.args.includes("--msgpack") });
      await far.call("join", ["r"]);
      await reaches({ rooms: ["r"] }, [1]);
      assert.deepEqual(far.take().filter(([ev]) => ev === "hi"), []);
      for (const n of nodes) {
        const near = await Client.connect(n, { nsp: "/custom", msgpack: backend.args.includes("--msgpack") });
        await eventually("the other namespace works", async () => {
          await near.call("emitTo", { rooms: ["r"] }, "custom");
          return far.events.some(([ev]) => ev === "custom");
        });
        near.close();
      }
      far.close();
    });

    test("disconnectSockets", async () => {
      for (const c of clients) {
        for (const close of [false, true]) {
          const guests = await Promise.all(nodes.map((n) => Client.connect(n, { msgpack: backend.args.includes("--msgpack") })));
          for (const g of guests) await g.call("join", ["guests"]);
          const gone = Promise.all(
            guests.map((g) => new Promise((resolve) => g.socket.on("disconnect", (reason) => resolve(reason)))),
          );
          await c.call("disconnectSockets", { rooms: ["guests"] }, close);
          // With close the connection ends with or without a packet that says so.
          for (const reason of await gone) assert.match(reason, close ? /server disconnect|transport close/ : /server disconnect/);
        }
        for (const c of clients) assert.ok(c.socket.connected);
      }
    });

    test("servers that leave and come", async () => {
      const extra = await Node.start("go", "extra", backend.args);
      for (const c of clients) await eventually("four", async () => (await c.call("serverCount")) === 4);
      assert.equal(await extra.stop(), 0);
      for (const c of clients) await eventually("three", async () => (await c.call("serverCount")) === 3, 3000);
      const crashing = await Node.start("go", "crashing", backend.args);
      const guest = await Client.connect(crashing, { msgpack: backend.args.includes("--msgpack") });
      for (const c of clients) await eventually("four", async () => (await c.call("fetchSockets", {})).length === 4);
      await crashing.stop("SIGKILL");
      guest.close();
      const limit = backend.crash ?? 4000;
      for (const c of clients) await eventually("three", async () => (await c.call("serverCount")) === 3, limit);
      for (const c of clients) assert.equal((await c.call("fetchSockets", {})).length, 3);
    });

    test("a frozen server", async () => {
      const frozen = await Node.start("go", "frozen", backend.args);
      for (const c of clients) await eventually("four", async () => (await c.call("serverCount")) === 4);
      try {
        await frozen.freeze();
        await Promise.all(
          clients.map(async (c, i) => {
            const { r, over } = await unanswered(c, 1000);
            assert.ok(r.err, `an error at ${nodes[i].name}`);
            assert.equal(r.responses.length, 3);
            const s = await c.call("serverSideEmitWithAck", "sse-ack");
            assert.equal(s.responses.length, 2);
            await over; // long ago, mostly
            if (backend.forgets) {
              // Who is silent for less than a request's time is no longer waited for.
              assert.equal(s.err, null);
              assert.equal((await c.call("fetchSockets", {})).length, 3);
              return;
            }
            assert.ok(s.err, "an error");
            // By then a server that is known by its heartbeats is given up.
            if (!backend.crash) await assert.rejects(c.call("fetchSockets", {}));
          }),
        );
      } finally {
        frozen.signal("SIGCONT");
        assert.equal(await frozen.stop(), 0);
      }
    });
  });
}
