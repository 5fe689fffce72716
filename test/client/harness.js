// Starts the Go test server, makes clients, and waits for things with a deadline. Every test file imports this.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, describe } from "node:test";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import msgpack from "socket.io-msgpack-parser";

// TEST_SERVER names another program to test, one that behaves like ./server.
const binary = process.env.TEST_SERVER ?? fileURLToPath(new URL("../../bin/test-server", import.meta.url));

// How long anything may take before a test gives up on it. Generous: the machine may be busy, and waiting costs
// nothing when things go well. Well below the time between PINGs, so that what only the next one pushes out comes too late.
export const deadline = 10_000;

// What makes server and client speak msgpack. TEST_PARSER=msgpack does it for the tests of every file, but for those that
// are about what only JSON does: the client's own msgpack encoder damages some values, and all its messages are binary,
// which takes a third more room on polling.
export const msgpackParser = { flags: ["-msgpack"], options: { parser: msgpack } };
const everywhere = process.env.TEST_PARSER === "msgpack" ? msgpackParser : { flags: [], options: {} };
export const onlyJSON = { skip: everywhere === msgpackParser };

export const transports = {
  polling: ["polling"],
  websocket: ["websocket"],
  upgrade: ["polling", "websocket"],
};

// within settles like the promise, or rejects after `ms` with a message that says what did not happen.
export function within(promise, what, ms = deadline) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// next resolves with the arguments of the emitter's next `event`.
export function next(emitter, event, ms = deadline) {
  return within(new Promise((resolve) => emitter.once(event, (...args) => resolve(args))), `"${event}"`, ms);
}

// collect gathers the first argument of every `event`; await its until(n) for n of them.
export function collect(emitter, event) {
  const items = [];
  const waiting = [];
  emitter.on(event, (item) => {
    items.push(item);
    for (const w of waiting) if (items.length >= w.n) w.resolve(items);
  });
  return {
    items,
    until: (n, ms) =>
      within(
        items.length >= n ? Promise.resolve(items) : new Promise((resolve) => waiting.push({ n, resolve })),
        `${n} times "${event}"`,
        ms,
      ).catch((error) => {
        error.message += `, only ${items.length}`;
        throw error;
      }),
  };
}

// until polls a condition that nobody announces.
export async function until(condition, what, ms = deadline) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// A Server is one running test server. It reports what it sees as JSON lines on its standard output:
// {"event":"listening","addr":"127.0.0.1:1234"} first, then {"event":"disconnect","id":…,"reason":…} and so on.
export class Server {
  #child;
  #seen = [];
  #watchers = new Set();
  #stderr = "";
  #exit;

  static async start({ door = "http", engine = "epoll", addr = "127.0.0.1:0", flags = [] } = {}) {
    const server = new Server();
    const args = ["-door", door, "-engine", engine, "-addr", addr, ...everywhere.flags, ...flags];
    server.#child = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    server.#exit = once(server.#child, "exit");
    server.#child.stderr.on("data", (chunk) => (server.#stderr += chunk));
    createInterface({ input: server.#child.stdout }).on("line", (line) => server.#report(JSON.parse(line)));
    // A program built for the race detector takes a while to start.
    const listening = server.saw((e) => e.event === "listening", "listening", 3 * deadline);
    const ended = server.#exit.then(([code, signal]) => {
      throw new Error(`test server ended with ${code ?? signal} while starting:\n${server.#stderr}`);
    });
    ended.catch(() => {});
    const { addr: bound, ca } = await Promise.race([listening, ended]);
    server.addr = bound;
    server.ca = ca; // PEM, only with the TLS door
    server.url = `${ca ? "https" : "http"}://${bound}`;
    return server;
  }

  #report(event) {
    this.#seen.push(event);
    for (const watch of this.#watchers) watch(event);
  }

  // saw resolves with the first report, past or future, that matches.
  saw(match, what = "server report", ms = deadline) {
    const past = this.#seen.find(match);
    if (past) return Promise.resolve(past);
    let watch;
    const future = new Promise((resolve) => {
      watch = (event) => match(event) && resolve(event);
      this.#watchers.add(watch);
    });
    return within(future, what, ms)
      .catch((error) => {
        error.message += `; the server said:\n${this.#seen.slice(-20).map((e) => JSON.stringify(e)).join("\n")}\n${this.#stderr}`;
        throw error;
      })
      .finally(() => this.#watchers.delete(watch));
  }

  // has tells whether there was a report that matches.
  has(match) {
    return this.#seen.some(match);
  }

  disconnected(id) {
    return this.saw((e) => e.event === "disconnect" && e.id === id, `disconnect of ${id}`);
  }

  // stop asks for a graceful end and checks that nothing was left behind.
  async stop() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGTERM");
    const [code, signal] = await within(this.#exit, "end of the server");
    assert.equal(code, 0, `test server ended with ${code ?? signal}:\n${this.#stderr}`);
    assert.doesNotMatch(this.#stderr, /DATA RACE|^panic:|fatal error:/m);
    const end = this.#seen.find((e) => e.event === "stopped");
    assert.ok(end, "the server reports that it has stopped");
    assert.equal(end.sessions, 0, "sessions left after shutdown");
    assert.equal(end.frames, 0, "frames left after shutdown");
  }

  // kill ends the process without a goodbye.
  async kill() {
    this.#child.kill("SIGKILL");
    await within(this.#exit, "end of the server");
  }
}

// Clients opened through a Clients close themselves after each test.
export class Clients {
  #open = [];

  constructor(server, transport, options = {}) {
    this.server = server;
    this.transport = transport;
    this.options = options; // of every client
  }

  // open returns a client socket that has not necessarily connected yet.
  open(namespace = "/", options = {}) {
    const socket = io(this.server().url + namespace, {
      forceNew: true,
      reconnection: false,
      transports: transports[this.transport],
      ca: this.server().ca,
      ...everywhere.options,
      ...this.options,
      ...options,
    });
    this.#open.push(socket);
    return socket;
  }

  // connect returns a connected client socket.
  async connect(namespace, options) {
    const socket = this.open(namespace, options);
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no connect within ${deadline} ms`)), deadline);
      socket.once("connect", () => (clearTimeout(timer), resolve()));
      socket.once("connect_error", (error) => (clearTimeout(timer), reject(error)));
    });
    return socket;
  }

  // several returns n connected client sockets.
  several(n, namespace, options) {
    return Promise.all(Array.from({ length: n }, () => this.connect(namespace, options)));
  }

  closeAll() {
    for (const socket of this.#open.splice(0)) socket.disconnect();
  }
}

// TEST_DOORS=direct is for a server that takes longer.
export const allDoors = process.env.TEST_DOORS?.split(",") ?? ["http", "direct"];

// matrix declares the tests once for each way in and each transport, every way in with a server of its own.
// define gets the Clients; its `server()` is the running server.
export function matrix(title, define, { doors = allDoors, engine, flags, options, ways = Object.keys(transports) } = {}) {
  for (const door of doors) {
    describe(`${title}: ${[door, engine].filter(Boolean).join(" ")}`, () => {
      let server;
      before(async () => (server = await Server.start({ door, engine, flags })));
      after(() => server?.stop());
      for (const way of ways) {
        describe(way, () => {
          const clients = new Clients(() => server, way, options);
          afterEach(() => clients.closeAll());
          define(clients);
        });
      }
    });
  }
}

// reset ends a TCP connection with an RST where Node.js can. Of one that is being connected or shut down it cannot, and
// its process would not end then: it waits, at the very end and at full speed, for the handle to close.
export function reset(socket) {
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

// call emits with an acknowledgement and a deadline.
export function call(socket, event, ...args) {
  return socket.timeout(deadline).emitWithAck(event, ...args);
}

// settle returns once everything the server sent to this socket before has arrived: packets keep their order.
export function settle(socket) {
  return call(socket, "echoAck", "settle");
}

// unique makes room names no other test uses.
let counter = 0;
export function unique(prefix) {
  counter++;
  return `${prefix}-${path.basename(process.argv[1] ?? "")}-${counter}`;
}

// upgraded returns once the client uses the last of its transports.
export async function upgraded(socket) {
  const { engine } = socket.io;
  const last = socket.io.opts.transports.at(-1);
  if (engine.transport.name !== last) await next(engine, "upgrade");
  assert.equal(engine.transport.name, last);
}

// quiet fails when the socket gets `event` before it has settled.
export async function quiet(socket, event) {
  let got = 0;
  const count = () => got++;
  socket.on(event, count);
  await settle(socket);
  socket.off(event, count);
  assert.equal(got, 0, `"${event}" came although it must not`);
}
