// Ports of programs that cannot be asked for a free one.

import { once } from "node:events";
import net from "node:net";

// freePort returns a port of the loopback network that nobody listens on: below those that systems give to outgoing connections, one of
// which could have it before its program.
export async function freePort() {
  for (;;) {
    const server = net.createServer();
    try {
      await once(server.listen(10000 + Math.floor(Math.random() * 20000), "127.0.0.1"), "listening");
    } catch (err) {
      if (err.code !== "EADDRINUSE") throw err;
      continue;
    }
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
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
