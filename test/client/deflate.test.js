// permessage-deflate: the official client offers it in Node as browsers do. What goes over the wire is counted on the
// client's sockets.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { allDoors, call, collect, matrix, next, Server, settle, upgraded, within } from "./harness.js";
import { oldMatrix, upgraded as oldUpgraded } from "./old.js";

const prose = (n) => "compressible ".repeat(n / 13 + 1).slice(0, n);
const soft = (n) => Buffer.from(prose(n));

// raw returns the WebSocket under a connected client.
async function raw(socket) {
  await upgraded(socket);
  await settle(socket);
  return socket.io.engine.transport.ws;
}

// traffic runs f and returns how many bytes went over the client's connection meanwhile.
async function traffic(socket, f) {
  const { _socket: tcp } = await raw(socket);
  const { bytesRead, bytesWritten } = tcp;
  await f();
  return { received: tcp.bytesRead - bytesRead, sent: tcp.bytesWritten - bytesWritten };
}

const ways = ["websocket", "upgrade"];
const flags = ["-deflate"];

function both(clients) {
  test("is negotiated, without context takeover", async () => {
    const ws = await raw(await clients.connect());
    assert.equal(ws.extensions, "permessage-deflate");
    const { params } = ws._extensions["permessage-deflate"];
    assert.equal(params.server_no_context_takeover, true);
    assert.equal(params.client_no_context_takeover, true);
  });

  for (const [kind, value] of Object.entries({ text: prose(600_000), binary: soft(600_000) })) {
    test(`compresses large ${kind} both ways`, async () => {
      const socket = await clients.connect();
      const { received, sent } = await traffic(socket, async () => {
        socket.emit("echo", value);
        assert.deepEqual(await next(socket, "echo"), [value]);
      });
      assert.ok(received < 60_000, `${received} bytes received`);
      assert.ok(sent < 60_000, `${sent} bytes sent`);
    });
  }

  test("keeps what does not become smaller", async () => {
    const socket = await clients.connect();
    const noise = randomBytes(100_000);
    const { received } = await traffic(socket, async () => {
      assert.deepEqual(await call(socket, "echoAck", noise), noise);
    });
    assert.ok(received > 100_000 && received < 101_000, `${received} bytes received`);
  });

  test("leaves small messages alone", async () => {
    const socket = await clients.connect();
    const { received } = await traffic(socket, () => call(socket, "echoAck", prose(1000)));
    assert.ok(received > 1000, `${received} bytes received`);
  });

  test("carries every size around the threshold, in order, text and binary", async () => {
    const socket = await clients.connect();
    await raw(socket);
    const got = collect(socket, "echo");
    const sizes = Array.from({ length: 100 }, (_, i) => 960 + i);
    for (const n of sizes) socket.emit("echo", n % 2 ? `€${prose(n)}` : { n, data: soft(n) });
    for (const [i, item] of (await got.until(sizes.length)).entries()) {
      assert.deepEqual(item, sizes[i] % 2 ? `€${prose(sizes[i])}` : { n: sizes[i], data: soft(sizes[i]) });
    }
  });

  test("compresses a broadcast for those who take it", async () => {
    const [sender, taker] = await clients.several(2);
    const plain = await clients.connect("/", { perMessageDeflate: false });
    assert.equal((await raw(plain)).extensions, "");
    const counts = [];
    for (const socket of [taker, plain]) {
      const { received } = await traffic(socket, async () => {
        const arrived = [taker, plain].map((s) => next(s, "news"));
        await call(sender, "send", { from: "socket", event: "news", args: [prose(50_000), soft(50_000)] });
        for (const args of await Promise.all(arrived)) assert.deepEqual(args, [prose(50_000), soft(50_000)]);
      });
      counts.push(received);
    }
    assert.ok(counts[0] < 10_000, `${counts[0]} bytes received by who takes compression`);
    assert.ok(counts[1] > 100_000, `${counts[1]} bytes received by who does not`);
  });

  test("compresses nothing that is marked", async () => {
    const socket = await clients.connect();
    const sizes = [];
    for (const noCompress of [true, false]) {
      const { received } = await traffic(socket, async () => {
        const arrived = next(socket, "news");
        await call(socket, "send", { to: [socket.id], noCompress, event: "news", args: [prose(50_000)] });
        assert.deepEqual(await arrived, [prose(50_000)]);
      });
      sizes.push(received);
    }
    assert.ok(sizes[0] > 50_000 && sizes[1] < 5000, `${sizes} bytes received`);
  });

  test("goes on at once, before and behind the upgrade", async () => {
    const socket = clients.open();
    const got = collect(socket, "echo");
    await next(socket, "connect");
    const n = 300;
    for (let i = 0; i < n; i++) {
      socket.emit("echo", `${i}:${prose(2000)}`);
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual((await got.until(n)).map((text) => Number.parseInt(text)), Array.from({ length: n }, (_, i) => i));
  });
}

matrix("deflate", both, { flags, ways });
matrix("deflate", both, { flags, ways, doors: ["direct"], engine: "portable" });
matrix("deflate", both, { flags, ways, doors: ["direct"], engine: "netpoll" });
matrix("deflate", both, { flags, ways, doors: ["tls"] });

// The clients of the other protocol generations offer it, too.
oldMatrix(
  "deflate",
  (clients) => {
    test("compresses text and binary both ways", async () => {
      const socket = await clients.connect();
      await oldUpgraded(socket);
      const { _socket: tcp } = socket.io.engine.transport.ws;
      const bytes = tcp.bytesRead + tcp.bytesWritten;
      const value = { text: prose(100_000), data: soft(100_000) };
      const echoed = next(socket, "echo");
      socket.emit("echo", value);
      assert.deepEqual(await echoed, [value]);
      const n = tcp.bytesRead + tcp.bytesWritten - bytes;
      assert.ok(n < 40_000, `${n} bytes sent and received`);
    });
  },
  { flags, over: ["websocket", "websocket, base64", "upgrade"] },
);

matrix(
  "deflate switched off",
  (clients) => {
    test("is not negotiated", async () => {
      const socket = await clients.connect();
      assert.equal((await raw(socket)).extensions, "");
      assert.equal(await call(socket, "echoAck", prose(50_000)), prose(50_000));
    });
  },
  { ways },
);

for (const door of allDoors) {
  describe(`deflate offers: ${door}`, () => {
    let server;
    before(async () => (server = await Server.start({ door, flags: [...flags, "-max-payload", "100000"] })));
    after(() => server?.stop());
    const path = "/socket.io/?EIO=4&transport=websocket";

    // join opens a WebSocket with the options of the package ws and joins "/".
    async function join(perMessageDeflate) {
      const ws = new WebSocket(`ws://${server.addr}${path}`, { perMessageDeflate });
      const messages = collect(ws, "message");
      await within(new Promise((resolve, reject) => ws.once("open", resolve).once("error", reject)), "open");
      await messages.until(1);
      ws.send("40");
      await messages.until(2);
      return { ws, messages };
    }

    for (const [title, options, accepted] of [
      ["nothing special", {}, {}],
      ["the usual window", { serverMaxWindowBits: 15 }, { server_max_window_bits: 15 }],
      ["a small window of the server", { serverMaxWindowBits: 10 }, null],
      ["a small window of the client", { clientMaxWindowBits: 9 }, {}],
      ["context takeover, which is turned down", { serverNoContextTakeover: false }, {}],
      ["no context takeover", { serverNoContextTakeover: true, clientNoContextTakeover: true }, {}],
      ["little memory", { zlibDeflateOptions: { memLevel: 1, level: 1, chunkSize: 1024 } }, {}],
      ["a strong compressor", { zlibDeflateOptions: { memLevel: 9, level: 9 } }, {}],
    ]) {
      test(`a client that asks for ${title}`, async () => {
        const { ws, messages } = await join({ threshold: 0, ...options });
        if (accepted) {
          assert.equal(ws.extensions, "permessage-deflate");
          const expected = { server_no_context_takeover: true, client_no_context_takeover: true, ...accepted };
          assert.deepEqual({ ...ws._extensions["permessage-deflate"].params }, {
            ...expected,
            ...(options.clientMaxWindowBits && { client_max_window_bits: options.clientMaxWindowBits }),
          });
        } else {
          assert.equal(ws.extensions, "");
        }
        const echo = (value) => `42${JSON.stringify(["echo", value])}`;
        const values = ["", "small", prose(5000), "€😀".repeat(5000), prose(99_000)];
        for (const value of values) ws.send(echo(value));
        // One message in several fragments.
        const text = echo(prose(3000));
        ws.send(text.slice(0, 1), { fin: false });
        ws.send(text.slice(1, 2000), { fin: false });
        ws.send("", { fin: false });
        ws.send(text.slice(2000), { fin: true });
        const got = (await messages.until(2 + values.length + 1)).slice(2).map(String);
        assert.deepEqual(got, [...values.map(echo), text]);
        ws.close();
      });
    }

    test("a message over the limit closes with 1009, however small it is on the wire", async () => {
      const { ws } = await join(true);
      const closed = next(ws, "close");
      ws.send(prose(100_001));
      assert.equal((await closed)[0], 1009);
    });

    for (const [offer, answer] of [
      ["permessage-deflate; server_max_window_bits=10, permessage-deflate", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
      ["permessage-deflate; unknown", undefined],
      ["permessage-deflate; client_max_window_bits=", undefined],
    ]) {
      test(`the offer ${offer}`, async () => {
        const [response, tcp] = await within(
          new Promise((resolve, reject) => {
            const headers = {
              Connection: "Upgrade",
              Upgrade: "websocket",
              "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
              "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Extensions": offer,
            };
            request(server.url + path, { headers })
              .on("upgrade", (response, tcp) => resolve([response, tcp]))
              .on("error", reject)
              .end();
          }),
          "upgrade",
        );
        assert.equal(response.headers["sec-websocket-extensions"], answer);
        tcp.destroy();
      });
    }
  });
}
