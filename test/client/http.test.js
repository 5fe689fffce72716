// What plain HTTP clients see: requests outside the path, and the engine's errors.

import assert from "node:assert/strict";
import { describe, after, before, test } from "node:test";
import { allDoors, Server } from "./harness.js";

for (const door of allDoors) {
  describe(`http: ${door}`, () => {
    let server;
    before(async () => (server = await Server.start({ door })));
    after(() => server?.stop());

    test("other paths reach the application", async () => {
      const response = await fetch(`${server.url}/hello?name=you`);
      assert.equal(response.status, 200);
      assert.equal(await response.text(), "hello you");
      assert.equal((await fetch(`${server.url}/missing`)).status, 404);
    });

    test("request bodies reach the application", async () => {
      const body = "y".repeat(300_000);
      const response = await fetch(`${server.url}/length`, { method: "POST", body });
      assert.equal(await response.text(), "300000");
    });

    test("connections are kept alive between requests", async () => {
      const { Agent, get } = await import("node:http");
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const ports = new Set();
      for (let i = 0; i < 5; i++) {
        await new Promise((resolve, reject) => {
          const path = i % 2 ? "/hello?name=you" : "/socket.io/?EIO=4&transport=polling";
          const request = get(`${server.url}${path}`, { agent }, (response) => {
            ports.add(response.socket.localPort);
            response.resume().on("end", resolve);
          });
          request.on("error", reject);
        });
      }
      agent.destroy();
      assert.equal(ports.size, 1);
    });

    test("the handshake is complete", async () => {
      const response = await fetch(`${server.url}/socket.io/?EIO=4&transport=polling`);
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("content-type"), "text/plain; charset=UTF-8");
      const body = await response.text();
      assert.equal(body[0], "0");
      const open = JSON.parse(body.slice(1));
      assert.deepEqual(Object.keys(open), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
      assert.deepEqual(open.upgrades, ["websocket"]);
    });

    for (const [title, query, status, code] of [
      ["an unknown transport", "EIO=4&transport=pigeon", 400, 0],
      ["an unknown session", "EIO=4&transport=polling&sid=nobody", 400, 1],
      ["an unsupported revision", "EIO=3&transport=polling", 400, 5],
    ]) {
      test(`${title} is refused`, async () => {
        const response = await fetch(`${server.url}/socket.io/?${query}`);
        assert.equal(response.status, status);
        assert.equal((await response.json()).code, code);
      });
    }

    test("a handshake needs GET", async () => {
      const response = await fetch(`${server.url}/socket.io/?EIO=4&transport=polling`, { method: "POST", body: "x" });
      assert.equal(response.status, 400);
      assert.equal((await response.json()).code, 2);
    });
  });
}
