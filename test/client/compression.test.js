// Compressed answers to polls, as browsers ask for them. The official client in Node does not, so fetch plays its part: it
// asks for gzip and deflate unless told otherwise, and decodes both.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { allDoors, Server } from "./harness.js";

for (const door of allDoors) {
  describe(`compression: ${door}`, () => {
    let server;
    before(async () => (server = await Server.start({ door })));
    after(() => server?.stop());

    // join opens a session on polling that has joined "/".
    async function join() {
      const url = `${server.url}/socket.io/?EIO=4&transport=polling`;
      const open = await (await fetch(url)).text();
      const { sid } = JSON.parse(open.slice(1));
      const poll = (headers) => fetch(`${url}&sid=${sid}`, { headers });
      const post = async (body) => assert.equal(await (await fetch(`${url}&sid=${sid}`, { method: "POST", body })).text(), "ok");
      await post("40");
      assert.match(await (await poll()).text(), /^40/);
      return { poll, post, leave: () => post("1") };
    }

    const text = "compressible €".repeat(5000);
    for (const [accept, encoding] of [
      [undefined, "gzip"], // fetch's own
      ["gzip", "gzip"],
      ["deflate", "deflate"],
      ["gzip;q=0.2, deflate;q=0.3", "deflate"],
      ["br", null],
      ["identity", null],
      ["gzip;q=0, *;q=0", null],
    ]) {
      test(`Accept-Encoding: ${accept ?? "of fetch"}`, async () => {
        const { poll, post, leave } = await join();
        await post(`42${JSON.stringify(["echo", text])}`);
        const response = await poll(accept && { "accept-encoding": accept });
        assert.equal(response.headers.get("content-encoding"), encoding);
        assert.equal(response.headers.get("vary"), "Accept-Encoding");
        const size = Number(response.headers.get("content-length"));
        assert.ok(encoding ? size < 2000 : size > 70_000, `${size} bytes`);
        assert.equal(await response.text(), `42${JSON.stringify(["echo", text])}`);
        await leave();
      });
    }

    test("small answers are sent as they are", async () => {
      const { poll, post, leave } = await join();
      await post('42["echo","small"]');
      const response = await poll();
      assert.equal(response.headers.get("content-encoding"), null);
      assert.equal(await response.text(), '42["echo","small"]');
      await leave();
    });

    test("compress(false) is obeyed", async () => {
      const { poll, post, leave } = await join();
      await post(`42${JSON.stringify(["join", "quiet"])}`);
      await post(`42${JSON.stringify(["send", { to: ["quiet"], noCompress: true, event: "news", args: [text] }])}`);
      for (let body = ""; !body.includes("news"); ) {
        const response = await poll();
        assert.equal(response.headers.get("content-encoding"), null);
        body += await response.text();
      }
      await leave();
    });
  });
}
