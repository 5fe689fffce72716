// Reconnection after the server went away, with the client's own reconnection logic.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { allDoors, Clients, Server, call, collect, next, transports } from "./harness.js";

const reconnection = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50, randomizationFactor: 0 };

for (const door of allDoors) {
  describe(`reconnect: ${door}`, () => {
    for (const way of Object.keys(transports)) {
      for (const end of ["stop", "kill"]) {
        test(`${way}: clients come back after the server was ${end === "stop" ? "shut down" : "killed"}`, async (t) => {
          let server = await Server.start({ door });
          const clients = new Clients(() => server, way);
          t.after(async () => {
            clients.closeAll();
            await server.stop();
          });
          const socket = await clients.connect("/", reconnection);
          await call(socket, "join", "room");
          const first = socket.id;
          const left = next(socket, "disconnect");
          await server[end]();
          assert.match((await left)[0], /^(transport (close|error)|io server disconnect)$/);
          if (!socket.active) socket.connect(); // the client does not come back by itself after "io server disconnect"
          const echoes = collect(socket, "echo");
          socket.emit("echo", "sent while away"); // buffered by the client
          const back = next(socket, "connect");
          server = await Server.start({ door, addr: server.addr });
          await back;
          assert.notEqual(socket.id, first);
          assert.ok(!socket.recovered);
          assert.deepEqual(await echoes.until(1), ["sent while away"]);
          assert.deepEqual(await call(socket, "rooms"), [socket.id], "rooms are not kept without recovery");
        });
      }
    }
  });
}
