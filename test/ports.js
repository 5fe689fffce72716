// Ports of programs that cannot be asked for a free one.

import { once } from "node:events";
import net from "node:net";

// freePort returns a port of the loopback network that nobody listens on: below those that systems give to outgoing connections, one of
// which could have it before its program. No other process gets it from here while this one lives.
export async function freePort() {
  for (;;) {
    const port = 10000 + Math.floor(Math.random() * 20000);
    if ((await claim(port)) && (await listen({ port, host: "127.0.0.1" }, (probe) => new Promise((done) => probe.close(done))))) {
      return port;
    }
  }
}

// claim makes a port ours among the processes that ask for one. A program may take a second until it listens, and another could be given
// its port until then: one of some 1,500 that were started side by side did not come up. On Linux a name that goes away with its process
// tells them apart. Elsewhere it is left to chance.
async function claim(port) {
  return process.platform !== "linux" || listen(`\0epio-test-port-${port}`, (claimed) => claimed.unref());
}

// listen reports whether it could listen, after then() got the server.
async function listen(where, then) {
  const server = net.createServer();
  try {
    await once(server.listen(where), "listening");
  } catch (err) {
    if (err.code !== "EADDRINUSE") throw err;
    return false;
  }
  await then(server);
  return true;
}

// listens reports whether somebody does.
export function listens(port) {
  return new Promise((resolve) => {
    const probe = net.connect(port, "127.0.0.1", () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
}
