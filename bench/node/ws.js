// The plain WebSocket reference server of Node, on the package "ws". What it speaks is described in
// bench/refs/internal/plain; broadcasts are sent as that package's documentation shows it.
//
//   node ws.js -addr 127.0.0.1:3000
import { readFileSync } from "node:fs";
import { WebSocket, WebSocketServer } from "ws";

const at = process.argv.indexOf("-addr");
const [host, port] = (at < 0 ? "127.0.0.1:3000" : process.argv[at + 1]).split(":");

const rooms = new Map(); // name -> Set of clients

function leave(client, name) {
  const room = rooms.get(name);
  if (room?.delete(client) && room.size === 0) {
    rooms.delete(name);
  }
}

// The payload of a broadcast starts after the space; the space becomes the letter of the answer.
function broadcast(data, space, isBinary) {
  const members = rooms.get(data.toString("utf8", 1, space));
  if (!members) {
    return;
  }
  data[space] = 0x6d; // m
  const message = data.subarray(space);
  for (const client of members) {
    if (client.readyState === WebSocket.OPEN) {
      client.send(message, { binary: isBinary });
    }
  }
}

const server = new WebSocketServer({ host, port: Number(port), maxPayload: 1 << 20 });

server.on("connection", (client) => {
  const joined = new Set();
  client.on("error", () => client.terminate());
  client.on("close", () => joined.forEach((name) => leave(client, name)));
  client.on("message", (data, isBinary) => {
    switch (data[0]) {
      case 0x6a: {
        // j
        const name = data.toString("utf8", 1);
        if (!rooms.has(name)) {
          rooms.set(name, new Set());
        }
        rooms.get(name).add(client);
        joined.add(name);
        client.send("j", { binary: isBinary });
        break;
      }
      case 0x6c: {
        // l
        const name = data.toString("utf8", 1);
        leave(client, name);
        joined.delete(name);
        client.send("l", { binary: isBinary });
        break;
      }
      case 0x62: {
        // b
        const space = data.indexOf(0x20);
        if (space < 0) {
          client.close(1008);
        } else {
          broadcast(data, space, isBinary);
        }
        break;
      }
      case 0x65: // e
        client.send(data, { binary: isBinary });
        break;
      default:
        client.close(1008);
    }
  });
});

const version = JSON.parse(readFileSync(new URL("node_modules/ws/package.json", import.meta.url))).version;
server.on("listening", () => console.log(`listening on ${host}:${port} (node ${process.version}, ws ${version})`));
process.on("SIGTERM", () => process.exit(0));
