// Starts what the cluster tests need: a redis-server of their own, nodes in Go and Node, and clients that drive them.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, beforeEach } from "node:test";
import { io } from "socket.io-client";
import * as msgpackParser from "socket.io-msgpack-parser";
import { freePort } from "../ports.js";

export { freePort };

const goNode = new URL("../../bin/cluster-node", import.meta.url).pathname;
const jsNode = new URL("./node.js", import.meta.url).pathname;

// Nothing is left behind, also when a test takes too long and its process is told to end.
const children = new Set();
process.once("SIGTERM", () => process.exit(1));
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

// A test that fails may leave something open, which would keep the process until its time limit.
after(() => {
  for (const child of children) child.kill("SIGKILL");
  setTimeout(() => {
    console.error("all tests are over, and something is open");
    process.exit(1);
  }, 10000).unref();
});

function start(program, args, options) {
  const child = spawn(program, args, options);
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

export function ended(child) {
  return child.exitCode !== null || child.signalCode !== null;
}

const nodes = new Set(); // that run

// Nothing here takes minutes. When it does, the Go nodes say what each goroutine does, and end.
const standstill = setTimeout(() => {
  console.error("the tests stand still");
  const running = [...nodes];
  for (const node of running) if (node.kind === "go") node.signal("SIGQUIT");
  setTimeout(() => {
    for (const node of running) console.error(`node ${node.name} (${node.kind}, port ${node.port}) printed:\n${node.printed}`);
  }, 1000);
}, 200_000).unref();
beforeEach(() => standstill.refresh());

// why says why tests with Redis cannot run, or is empty. With REQUIRE_SERVICES=1 they must.
export const why = spawnSync("redis-server", ["--version"]).status === 0 ? "" : "no redis-server (a Debian package)";
if (why && process.env.REQUIRE_SERVICES === "1") throw new Error(why);

// Redis is a redis-server that can be killed and started again.
export class Redis {
  // launch starts a new one.
  static async launch() {
    const redis = new Redis();
    redis.port = await freePort();
    redis.address = `127.0.0.1:${redis.port}`;
    redis.dir = mkdtempSync(join(tmpdir(), "cluster-test-"));
    await redis.start();
    return redis;
  }
  async start() {
    const args = ["--bind", "127.0.0.1", "--port", this.port, "--save", "", "--appendonly", "no", "--dir", this.dir];
    this.process = start("redis-server", args, { stdio: "ignore" });
    for (let i = 0; ; i++) {
      const socket = connect(this.port, "127.0.0.1");
      const ok = await new Promise((resolve) => {
        socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      });
      socket.destroy();
      if (ended(this.process)) throw new Error("redis-server ended at once");
      if (ok) return;
      if (i > 500) throw new Error("redis-server does not listen");
      await sleep(10);
    }
  }
  async kill() {
    if (ended(this.process)) throw new Error("redis-server ended by itself");
    this.process.kill("SIGKILL");
    await once(this.process, "exit");
  }
  async close() {
    if (!ended(this.process)) await this.kill();
    rmSync(this.dir, { recursive: true });
  }
}

// Proxy is a TCP proxy in front of a port that can be cut.
export class Proxy {
  #sockets = new Set();
  static async start(to) {
    const proxy = new Proxy();
    proxy.to = to;
    proxy.port = await freePort();
    await proxy.restore();
    return proxy;
  }
  get address() {
    return `127.0.0.1:${this.port}`;
  }
  async restore() {
    this.server = createServer((near) => {
      const far = connect(this.to, "127.0.0.1");
      for (const [a, b] of [[near, far], [far, near]]) {
        this.#sockets.add(a);
        a.pipe(b);
        a.on("error", () => b.destroy());
        a.on("close", () => {
          this.#sockets.delete(a);
          b.destroy();
        });
      }
    }).listen(this.port, "127.0.0.1");
    await once(this.server, "listening");
  }
  async cut() {
    const closed = once(this.server, "close");
    this.server.close();
    for (const s of this.#sockets) s.destroy();
    await closed;
  }
}

// Balancer is a TCP balancer: connections go to the ports it knows, in turn.
export class Balancer {
  #next = 0;
  #sockets = new Set();
  constructor() {
    this.ports = [];
  }
  static async start() {
    const balancer = new Balancer();
    balancer.port = await freePort();
    balancer.server = createServer((near) => balancer.#pass(near)).listen(balancer.port, "127.0.0.1");
    await once(balancer.server, "listening");
    return balancer;
  }
  // add has new connections go to a port, too, and remove not any more; those there are stay.
  add(port) {
    this.ports.push(port);
  }
  remove(port) {
    this.ports = this.ports.filter((p) => p !== port);
  }
  #pass(near) {
    const far = connect(this.ports[this.#next++ % this.ports.length], "127.0.0.1");
    for (const [a, b] of [[near, far], [far, near]]) {
      this.#sockets.add(a);
      a.pipe(b);
      a.on("error", () => b.destroy());
      a.on("close", () => {
        this.#sockets.delete(a);
        b.end(); // behind what was passed on and is not written yet
      });
    }
  }
  close() {
    this.server.close();
    for (const s of this.#sockets) s.destroy();
  }
}

// NATS is a NATS server with JetStream: the library within the Go nodes, in a process of its own.
export class NATS {
  static async launch() {
    const nats = new NATS();
    nats.dir = mkdtempSync(join(tmpdir(), "cluster-test-"));
    nats.node = await Node.start("go", "nats", ["--serve-nats", nats.dir]);
    nats.address = `127.0.0.1:${nats.node.port}`;
    return nats;
  }
  async close() {
    await this.node.stop();
    rmSync(this.dir, { recursive: true });
  }
}

// Node is one process of the cluster.
export class Node {
  static async start(kind, name, args) {
    const node = new Node();
    node.name = name;
    node.kind = kind;
    node.port = await freePort();
    const flags = ["--port", String(node.port), "--name", name, ...args];
    const [program, all] = kind === "go" ? [goNode, flags] : [process.execPath, [jsNode, ...flags]];
    node.process = start(program, all, { stdio: ["ignore", "pipe", "pipe"] });
    nodes.add(node);
    node.process.once("close", () => nodes.delete(node));
    node.printed = ""; // the end of it
    node.process.stderr.setEncoding("utf8").on("data", (text) => {
      if (process.env.NODE_LOGS) process.stderr.write(text);
      node.printed = (node.printed + text).slice(-256 << 10);
    });
    const exited = once(node.process, "close").then(() => {
      throw new Error(`node ${name} ended before it was ready: ${node.printed}`);
    });
    exited.catch(() => {});
    const lines = createInterface({ input: node.process.stdout });
    // journal is what it says at its end: {worked, said, published}, see examples/cluster-node/restart.go.
    node.journal = new Promise((resolve) => {
      lines.on("line", (line) => {
        const [, ...numbers] = /^JOURNAL (\d+) (\d+) (\d+)$/.exec(line)?.map(Number) ?? [];
        if (numbers.length) resolve({ worked: numbers[0], said: numbers[1], published: numbers[2] });
      });
      lines.once("close", () => resolve());
    });
    for await (const line of race(lines, exited)) {
      if (line === "READY") return node;
    }
  }
  // freeze stops the process with SIGSTOP, and waits until all of its threads have stopped, where that can be seen. The signal may
  // take its time on a busy machine, and a server that has it can still answer until then.
  async freeze() {
    this.process.kill("SIGSTOP");
    const tasks = `/proc/${this.process.pid}/task`;
    if (!existsSync(tasks)) return;
    const state = (task) => readFileSync(`${tasks}/${task}/stat`, "utf8").replace(/^.*\) /s, "")[0];
    await eventually("all threads have stopped", () => readdirSync(tasks).every((task) => state(task) === "T"));
  }
  signal(name) {
    this.process.kill(name);
  }
  async stop(signal = "SIGTERM") {
    if (ended(this.process)) return;
    const exit = once(this.process, "exit");
    this.process.kill(signal);
    if (signal === "SIGTERM") this.process.kill("SIGCONT");
    return (await exit)[0];
  }
}

async function* race(lines, failed) {
  const it = lines[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await Promise.race([it.next(), failed]);
    if (done) await failed; // which says why
    yield value;
  }
}

// Client is a connected client that drives a node and keeps what it receives.
export class Client {
  static async connect(node, options = {}) {
    const { nsp = "/", msgpack, auth, ...rest } = options;
    const client = new Client();
    client.events = [];
    client.socket = io(`http://127.0.0.1:${node.port}${nsp}`, {
      transports: ["websocket"],
      forceNew: true,
      reconnection: false,
      auth,
      parser: msgpack ? msgpackParser : undefined,
      ...rest,
    });
    client.socket.onAny((...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
      client.events.push(args);
      if (ack && !client.mute) ack(...(client.answer ? client.answer(...args) : [`${client.socket.id}:${args[0]}`]));
    });
    await new Promise((resolve, reject) => {
      client.socket.once("connect", resolve).once("connect_error", reject);
      client.socket.io.once("close", (reason) => reject(new Error(reason)));
    });
    client.id = client.socket.id;
    return client;
  }
  // call returns what a call of the node's returns.
  async call(name, ...args) {
    const r = await this.socket.timeout(15000).emitWithAck(name, ...args);
    if ("e" in r) throw new Error(r.e);
    return r.v;
  }
  take() {
    return this.events.splice(0);
  }
  close() {
    this.socket.close();
  }
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// eventually tries until fn returns something true, and returns that.
export async function eventually(what, fn, ms = 10000) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      const v = await fn();
      if (v) return v;
      last = undefined;
    } catch (err) {
      last = err;
    }
    if (Date.now() > end) throw new Error(`in vain: ${what}`, { cause: last });
    await sleep(20);
  }
}
