// Every generation of the official client, over every transport, through both doors, on every engine: the few things that
// each of them must be able to do. What the generations can do beyond that is in the other files.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { io as io4 } from "socket.io-client";
import io1 from "socket.io-client-1";
import io2 from "socket.io-client-2";
import { io as io3 } from "socket.io-client-3";
import msgpack from "socket.io-msgpack-parser";
import { allDoors, deadline, next, onlyJSON, Server, transports, within } from "./harness.js";
import { call, connected, upgraded } from "./old.js";

// What tells the generations apart: the server's flags, the options of the client, how credentials are sent to a namespace,
// and the event of a refusal with its content.
const modern = {
  flags: ["-eio3"],
  auth: (token) => ["/auth", { auth: { token } }],
  refused: "connect_error",
  denied: (error) => assert.deepEqual([error.message, error.data], ["not allowed", { code: 401, hint: "ask for a token" }]),
  unknown: (error) => assert.equal(error.message, "Invalid namespace"),
};
const old = {
  flags: ["-eio3"],
  auth: (token) => [`/auth?token=${token}`, {}],
  refused: "error",
  denied: (error) => assert.deepEqual(error, { code: 401, hint: "ask for a token" }),
  unknown: (error) => assert.deepEqual(error, { message: "Invalid namespace" }),
};
const { dependencies } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url)));
const version = (name) => dependencies[name].split("@").at(-1); // of an alias, too
const generations = {
  [version("socket.io-client")]: { io: io4, ...modern },
  [version("socket.io-client-3")]: { io: io3, ...modern },
  [version("socket.io-client-2")]: { io: io2, ...old },
  [version("socket.io-client-1")]: { io: io1, ...old },
  msgpack: { io: io4, ...modern, flags: ["-msgpack"], options: { parser: msgpack } },
};

// A Cell is one client of a generation on one transport, with a connection of its own for all checks.
class Cell {
  #open = [];

  constructor(server, generation, way) {
    Object.assign(this, { server, generation, way });
  }

  open(namespace, options) {
    const { io, options: common } = this.generation;
    const socket = io(this.server.url + namespace, {
      forceNew: true,
      reconnection: false,
      transports: transports[this.way],
      ...common,
      ...options,
    });
    this.#open.push(socket);
    return socket;
  }

  async connect(namespace, options) {
    const socket = this.open(namespace, options);
    await connected(socket);
    return socket;
  }

  close() {
    for (const socket of this.#open) {
      socket.disconnect();
      socket.io.close?.();
      socket.io.engine?.close();
    }
  }
}

const bytes = (...list) => Buffer.from(list);

// The checks, in order, on one connected socket.
const checks = {
  "acknowledges JSON, nested and beyond ASCII": async (cell, socket) => {
    const value = { a: [1, 2.5, -3, null, true, { deep: [[["x"]]] }], text: "grüße € 😀 \u2028", "ключ": {}, empty: [] };
    assert.deepEqual(await call(socket, "echoAck", value), value);
  },
  "acknowledges binary, nested and empty": async (cell, socket) => {
    const value = { first: bytes(0, 1, 2, 255), list: [bytes(), { deep: bytes(4, 0x1e, 10) }], text: "between" };
    assert.deepEqual(await call(socket, "echoAck", value), value);
    assert.deepEqual(await call(socket, "echoAck", bytes()), bytes());
  },
  "sends events back": async (cell, socket) => {
    const echoed = next(socket, "echo");
    socket.emit("echo", "é", 1, { data: bytes(9, 8) }, [null]);
    assert.deepEqual(await echoed, ["é", 1, { data: bytes(9, 8) }, [null]]);
  },
  "answers 500 events in order": async (cell, socket) => {
    const order = [];
    const answer = (i) => new Promise((resolve) => socket.emit("echoAck", i, resolve)).then((v) => order.push(v));
    // With the race detector they take a second on an idle machine: the JSON encoder's pool hands out new stacks of megabytes.
    await within(Promise.all(Array.from({ length: 500 }, (_, i) => answer(i))), "500 answers", 2 * deadline);
    assert.deepEqual(order, Array.from({ length: 500 }, (_, i) => i));
  },
  "joins another namespace on the same connection": async (cell, socket) => {
    const chat = socket.io.socket("/chat");
    if (!chat.connected) await connected(chat);
    assert.equal(await call(chat, "where"), "/chat");
    assert.equal(await call(socket, "where"), "/");
  },
  "joins a dynamic namespace": async (cell) => {
    const tenant = await cell.connect("/tenant/b-42");
    assert.equal(await call(tenant, "tenant"), "b-42");
  },
  "hears why a namespace refuses it": async (cell) => {
    const { auth, refused, denied } = cell.generation;
    const [error] = await next(cell.open(...auth("wrong")), refused);
    denied(error);
    const socket = await cell.connect(...auth("secret"));
    assert.equal(await call(socket, "whoami"), "secret");
  },
  "hears that a namespace is unknown": async (cell) => {
    const [error] = await next(cell.open("/nowhere"), cell.generation.refused);
    cell.generation.unknown(error);
  },
};

for (const door of allDoors) {
  for (const engine of ["epoll", "netpoll", "portable"]) {
    // The cells of one door and engine share its servers, one for each parser, and run beside each other.
    describe(`matrix: ${door} ${engine}`, { concurrency: 8, ...onlyJSON }, () => {
      const servers = {};
      before(async () => {
        const started = Object.values(generations).map(async ({ flags }) => {
          servers[flags] ??= Server.start({ door, engine, flags });
          servers[flags] = await servers[flags];
        });
        await Promise.all(started);
      });
      after(() => Promise.all(Object.values(servers).map((server) => server.stop())));

      for (const [name, generation] of Object.entries(generations)) {
        for (const way of Object.keys(transports)) {
          test(`client ${name}, ${way}`, async (t) => {
            const cell = new Cell(servers[generation.flags], generation, way);
            try {
              let socket;
              await t.test("connects", async () => {
                socket = await cell.connect("/");
                if (way !== "upgrade") assert.equal(socket.io.engine.transport.name, way);
              });
              assert.ok(socket, "connected");
              if (way === "upgrade") {
                await t.test("upgrades", async () => {
                  await upgraded(socket);
                  assert.equal(socket.io.engine.transport.name, "websocket");
                });
              }
              for (const [title, check] of Object.entries(checks)) await t.test(title, () => check(cell, socket));
              assert.ok(socket.connected, "still connected after all checks");
              assert.equal(socket.io.engine.transport.name, transports[way].at(-1));
            } finally {
              cell.close();
            }
          });
        }
      }
    });
  }
}
