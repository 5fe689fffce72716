// The official client through the proxies of docs/deployment.md: two servers behind each.

import assert from "node:assert/strict";
import http from "node:http";
import { after, afterEach, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { call, next, Server, transports, until, upgraded, within } from "../client/harness.js";
import { installed, names, needsCookies, Proxy } from "./proxies.js";

const strict = process.env.REQUIRE_SERVICES === "1" || /^(true|1)$/.test(process.env.CI ?? "");
const several = 12; // clients

for (const name of names) {
  const skip = !strict && !installed(name) && `no ${name}`;
  describe(name, { skip }, () => {
    let servers;
    const open = [];
    const agents = [];
    before(async () => (servers = await Promise.all([1, 2].map(() => Server.start({ door: "direct" })))));
    after(() => Promise.all((servers ?? []).map((server) => server.stop())));
    afterEach(() => {
      for (const socket of open.splice(0)) socket.disconnect();
      for (const agent of agents.splice(0)) agent.destroy();
    });

    // client opens a socket as a client of its own: with its own cookies, and its own address on the loopback network.
    function client(proxy, way, i) {
      const agent = new http.Agent({ localAddress: `127.0.0.${10 + i}`, keepAlive: true });
      agents.push(agent);
      const socket = io(proxy.url, {
        forceNew: true,
        reconnection: false,
        transports: transports[way],
        withCredentials: needsCookies(name),
        agent,
      });
      open.push(socket);
      return socket;
    }

    describe("as on the page", () => {
      let proxy;
      const counts = [0, 0]; // clients of each server
      before(async () => (proxy = await Proxy.start(name, servers.map((server) => server.addr))));
      after(() => proxy?.stop());

      for (const way of Object.keys(transports)) {
        test(way, async () => {
          const sockets = Array.from({ length: several }, (_, i) => client(proxy, way, i));
          await Promise.all(sockets.map((socket) => next(socket, "connect")));
          await Promise.all(sockets.map(upgraded));
          await Promise.all(sockets.map(conversation));
          for (const [k, n] of (await served(servers, sockets)).entries()) counts[k] += n;
        });
      }

      // Not in each of the tests above: a proxy that counts connections may still have those of the one before.
      test("both servers have clients", () => assert.ok(Math.min(...counts) > 0, `clients of each server: ${counts}`));

      test("the client's address", async () => {
        const socket = client(proxy, "websocket", 0);
        await next(socket, "connect");
        const { forwarded } = await call(socket, "handshake");
        assert.equal(forwarded, "127.0.0.10");
      });
    });

    // The opposite, to see that the test would notice.
    test("without the lines that make it stick, polling fails", async () => {
      const proxy = await Proxy.start(name, servers.map((server) => server.addr), { sticky: false });
      try {
        const ends = Array.from({ length: several }, async (_, i) => {
          const socket = client(proxy, "polling", i);
          const failed = new Promise((resolve) => {
            socket.once("connect_error", () => resolve(true));
            socket.once("disconnect", () => resolve(true));
          });
          const worked = new Promise((resolve) => socket.once("connect", () => resolve(conversation(socket).then(() => false))));
          return within(Promise.race([failed, worked]), "end of the attempt");
        });
        assert.ok((await Promise.all(ends)).includes(true), "no client has failed");
      } finally {
        for (const socket of open.splice(0)) socket.disconnect();
        await proxy.stop();
      }
    });
  });
}

// conversation needs many requests when it is polling.
async function conversation(socket) {
  for (let i = 0; i < 10; i++) assert.equal(await call(socket, "echoAck", i), i);
  const bytes = Buffer.alloc(100_000, 7);
  assert.deepEqual(await call(socket, "echoAck", bytes), bytes);
}

// served disconnects the sockets and returns how many of them each server had.
async function served(servers, sockets) {
  const ids = sockets.map(({ id }) => id);
  for (const socket of sockets) socket.disconnect();
  const of = (server) => ids.filter((id) => server.has((e) => e.event === "disconnect" && e.id === id)).length;
  await until(() => servers.reduce((sum, server) => sum + of(server), 0) === ids.length, "the servers have seen all disconnect");
  return servers.map(of);
}
