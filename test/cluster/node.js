// One node of a cluster on Node.js: what examples/cluster-node is in Go, with the same flags and the same events, on the
// published packages.
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { createAdapter as createPostgresAdapter } from "@socket.io/postgres-adapter";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import pg from "pg";
import { createClient } from "redis";
import { Server } from "socket.io";
import * as msgpackParser from "socket.io-msgpack-parser";

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    name: { type: "string" },
    adapter: { type: "string", default: "memory" },
    redis: { type: "string", default: "localhost:6379" },
    postgres: { type: "string" },
    nats: { type: "string" },
    recovery: { type: "boolean", default: false },
    msgpack: { type: "boolean", default: false },
  },
});

async function redisClient() {
  const client = createClient({ url: `redis://${options.redis}` });
  client.on("error", (err) => console.error(options.name, err.message));
  return client.connect();
}

function postgresPool() {
  const pool = new pg.Pool({ connectionString: options.postgres });
  // Without these, connections that break end the process.
  pool.on("error", (err) => console.error(options.name, err.message));
  pool.on("connect", (client) => client.on("error", (err) => console.error(options.name, err.message)));
  return pool;
}

// Adapters by name, each at the default options of its package.
const adapters = {
  memory: async () => undefined,
  redis: async () => createAdapter(await redisClient(), await redisClient()),
  "redis-sharded": async () => createShardedAdapter(await redisClient(), await redisClient()),
  postgres: async () => createPostgresAdapter(postgresPool()),
  "redis-streams": async () => createStreamsAdapter(await redisClient()),
};

const http = createServer();
const io = new Server(http, {
  adapter: await adapters[options.adapter](),
  parser: options.msgpack ? msgpackParser : undefined,
  connectionStateRecovery: options.recovery ? { maxDisconnectionDuration: 120000 } : undefined,
});

for (const nsp of [io.of("/"), io.of("/custom")]) {
  register(nsp);
}

await new Promise((resolve) => http.listen(Number(options.port), "127.0.0.1", resolve));
// Packages do not say when their subscriptions are in place; with one connection, what is asked afterwards is answered
// afterwards.
for (const nsp of [io.of("/"), io.of("/custom")]) {
  for (let i = 0; options.adapter !== "memory" && (await nsp.adapter.serverCount()) === 0 && i < 500; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
console.log("READY");

process.on("SIGTERM", () => {
  setTimeout(() => process.exit(0), 1500); // clients of the broker stay open
  io.close();
});

function target(nsp, t) {
  return flags(nsp.to(t.rooms ?? []).except(t.except ?? []), t);
}

function flags(operator, t) {
  const { volatile, local, compress } = t.flags ?? {};
  if (volatile) operator = operator.volatile;
  if (local) operator = operator.local;
  if (compress !== undefined) operator = operator.compress(compress);
  return operator;
}

function register(nsp) {
  const heard = [];
  nsp.on("sse", (...args) => void heard.push(["sse", ...args]));
  nsp.on("sse-ack", (...args) => {
    const ack = args.pop();
    heard.push(["sse-ack", ...args]);
    ack({ name: options.name, args });
  });
  nsp.on("sse-mute", (...args) => {
    const ack = args.pop();
    heard.push(["sse-mute", ...args]);
    if (args[0] !== options.name) ack(options.name);
  });

  // What calls do. They get the socket and the arguments.
  const calls = {
    id: (s) => ({ name: options.name, id: s.id, recovered: s.recovered, rooms: [...s.rooms], data: s.data }),
    join: (s, rooms) => void s.join(rooms),
    leave: (s, room) => void s.leave(room),
    setData: (s, data) => void (s.data = data),
    emitTo: (s, t, ev, ...args) => void target(nsp, t).emit(ev, ...args),
    bulkEmit: (s, t, ev, from, count, ...pad) => {
      for (let i = 0; i < count; i++) target(nsp, t).emit(ev, options.name, from + i, ...pad);
    },
    broadcastFromSocket: (s, t, ev, ...args) => {
      flags(s.broadcast.to(t.rooms ?? []).except(t.except ?? []), t).emit(ev, ...args);
    },
    emitWithAck: async (s, t, ev, ...args) => {
      let operator = target(nsp, t);
      if (t.timeoutMs) operator = operator.timeout(t.timeoutMs);
      return new Promise((resolve) => {
        operator.emit(ev, ...args, (err, responses) => resolve({ err: text(err), responses: (responses ?? []).map(orNull) }));
      });
    },
    fetchSockets: async (s, t) =>
      (await target(nsp, t).fetchSockets()).map((r) => ({
        id: r.id,
        rooms: [...r.rooms],
        data: r.data,
        handshake: r.handshake,
      })),
    socketsJoin: (s, t, rooms) => target(nsp, t).socketsJoin(rooms),
    socketsLeave: (s, t, rooms) => target(nsp, t).socketsLeave(rooms),
    disconnectSockets: (s, t, close) => target(nsp, t).disconnectSockets(close),
    remote: async (s, id, op, ...a) => {
      const [r] = await nsp.in(id).fetchSockets();
      if (!r) throw new Error(`no socket ${id}`);
      switch (op) {
        case "emit":
          r.emit(...a);
          return;
        case "emitWithAck":
          return new Promise((resolve) => {
            const [ms, ...rest] = a;
            r.timeout(ms).emit(...rest, (err, response) => resolve({ err: text(err), response: orNull(response) }));
          });
        case "join":
          return void r.join(a[0]);
        case "leave":
          return void r.leave(a[0]);
        case "disconnect":
          return void r.disconnect(a[0]);
      }
      throw new Error(`no operation ${op}`);
    },
    serverSideEmit: (s, ev, ...args) => void nsp.serverSideEmit(ev, ...args),
    serverSideEmitWithAck: (s, ev, ...args) =>
      new Promise((resolve) => {
        nsp.serverSideEmit(ev, ...args, (err, responses) => resolve({ err: text(err), responses: responses ?? [] }));
      }),
    sseLog: () => heard,
    sseClear: () => void heard.splice(0),
    serverCount: () => nsp.adapter.serverCount(),
  };

  nsp.on("connection", (socket) => {
    for (const [name, call] of Object.entries(calls)) {
      socket.on(name, async (...args) => {
        const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
        try {
          ack({ v: orNull(await call(socket, ...args)) });
        } catch (err) {
          ack({ e: String(err.message ?? err) });
        }
      });
    }
  });
}

function orNull(v) {
  return v === undefined ? null : v;
}

function text(err) {
  return err ? String(err.message ?? err) : null;
}
