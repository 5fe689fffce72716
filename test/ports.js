// Ports of programs that cannot be asked for a free one.

import { once } from "node:events";
import net from "node:net";

// freePort returns a port of the loopback network that nobody listens on.
export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
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
