// The JavaScript clients 2 and 1, which speak Engine.IO 3 and Socket.IO protocol 4, with the same helpers as the new one.

import { after, afterEach, before, describe } from "node:test";
import io1 from "socket.io-client-1";
import io2 from "socket.io-client-2";
import { allDoors, deadline, Server, transports, within } from "./harness.js";

export const generations = { "2.5.0": io2, "1.7.4": io1 };

// Ways over which a client can talk. With forceBase64 it asks for no raw binary.
const ways = {
  polling: { transports: transports.polling },
  "polling, base64": { transports: transports.polling, forceBase64: true },
  websocket: { transports: transports.websocket },
  "websocket, base64": { transports: transports.websocket, forceBase64: true },
  upgrade: { transports: transports.upgrade },
};

// OldClients opens clients that close themselves after each test.
export class OldClients {
  #open = [];

  constructor(server, generation, options) {
    this.server = server;
    this.generation = generation;
    this.io = generations[generation];
    this.options = options;
    // On polling, generation 1 encodes text twice and undoes that twice. No server can know, so what is not ASCII is
    // spoilt on its way to anybody else, with the Node server as well.
    this.spoils = generation.startsWith("1.") && options.transports.includes("polling");
  }

  open(namespace = "/", options = {}) {
    const socket = this.io(this.server().url + namespace, { forceNew: true, reconnection: false, ...this.options, ...options });
    this.#open.push(socket);
    return socket;
  }

  async connect(namespace, options) {
    const socket = this.open(namespace, options);
    await connected(socket);
    return socket;
  }

  several(n, namespace, options) {
    return Promise.all(Array.from({ length: n }, () => this.connect(namespace, options)));
  }

  closeAll() {
    for (const socket of this.#open.splice(0)) {
      socket.disconnect();
      socket.io.close();
    }
  }
}

// connected waits until an old client socket has joined its namespace.
export function connected(socket) {
  return within(
    new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
      socket.once("error", (error) => reject(Object.assign(new Error("refused"), { error })));
    }),
    "connect",
  );
}

// call emits with an acknowledgement and a deadline; it resolves with the first value.
export function call(socket, event, ...args) {
  return within(new Promise((resolve) => socket.emit(event, ...args, resolve)), `answer to "${event}"`, deadline);
}

// upgraded returns once the client uses the last of its transports.
export async function upgraded(socket) {
  const { engine } = socket.io;
  const last = engine.opts?.transports?.at(-1) ?? engine.transports.at(-1);
  if (engine.transport.name !== last) await within(new Promise((resolve) => engine.once("upgrade", resolve)), "upgrade");
}

// oldMatrix declares the tests for each generation, way in and way of talking.
export function oldMatrix(title, define, { doors = allDoors, engines = [undefined], flags = [], over = Object.keys(ways) } = {}) {
  for (const engine of engines) {
    for (const door of doors) {
      describe(`${title}: ${[door, engine].filter(Boolean).join(" ")}`, () => {
        let server;
        before(async () => (server = await Server.start({ door, engine, flags: ["-eio3", ...flags] })));
        after(() => server?.stop());
        for (const generation of Object.keys(generations)) {
          for (const way of over) {
            describe(`${generation}, ${way}`, () => {
              const clients = new OldClients(() => server, generation, ways[way]);
              afterEach(() => clients.closeAll());
              define(clients);
            });
          }
        }
      });
    }
  }
}
