// The official client in Chromium, over WebTransport: at once, and as an upgrade.
//
// CHROMIUM names the browser (default /usr/bin/chromium), WEBTRANSPORT the server program (default: built here).

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const folder = fileURLToPath(new URL("..", import.meta.url));
const deadline = 20_000;

let browser, server, page;

// Server is the program, and the lines it prints.
class Server {
  static async start() {
    let program = process.env.WEBTRANSPORT;
    if (!program) {
      program = path.join(folder, "../../bin/webtransport");
      execFileSync("go", ["build", "-o", program, "."], { cwd: folder, stdio: "inherit" });
    }
    const server = new Server();
    server.lines = [];
    server.process = spawn(program, ["-addr", "127.0.0.1:0"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
    createInterface({ input: server.process.stdout }).on("line", (line) => {
      server.lines.push(line);
      server.process.emit("line");
    });
    server.url = (await server.prints(/^listening at (\S+)$/))[1];
    return server;
  }

  // prints waits for a line and takes it out.
  async prints(pattern) {
    const end = AbortSignal.timeout(deadline);
    for (;;) {
      for (const [i, line] of this.lines.entries()) {
        const match = line.match(pattern);
        if (match) {
          this.lines.splice(i, 1);
          return match;
        }
      }
      try {
        await once(this.process, "line", { signal: end });
      } catch (cause) {
        throw new Error(`the server does not print ${pattern}, but ${JSON.stringify(this.lines)}`, { cause });
      }
    }
  }

  async stop() {
    const exit = once(this.process, "exit");
    this.process.kill("SIGTERM");
    const [code] = await exit;
    assert.equal(code, 0, "the server ends cleanly");
  }
}

before(async () => {
  server = await Server.start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

let errors;

beforeEach(async () => {
  errors = [];
  const context = await browser.newContext();
  page = await context.newPage();
  page.setDefaultTimeout(deadline);
  // When its session ends, the client leaves a rejected promise behind.
  page.on("pageerror", (error) => error.name === "WebTransportError" || errors.push(error));
  await page.goto(`${server.url}/?idle`);
  // What the tests below have in common, in the page.
  await page.evaluate((deadline) => {
    window.within = (promise, what) =>
      Promise.race([promise, new Promise((_, fail) => setTimeout(fail, deadline, new Error(`waited in vain for ${what}`)))]);
    window.event = (emitter, name) => window.within(new Promise((done) => emitter.once(name, (...args) => done(args))), name);
    window.open = async (options) => {
      const socket = await connect({ forceNew: true, ...options });
      socket.failure = new Promise((_, fail) => socket.once("connect_error", fail));
      socket.failure.catch(() => {});
      await Promise.race([window.event(socket, "connect"), socket.failure]);
      return socket;
    };
    // upgraded opens a socket on polling and waits until both sides have it on WebTransport. A client that closes its
    // session in the same moment takes the UPGRADE packet back.
    window.upgraded = async () => {
      const socket = await window.open({ transports: ["polling", "webtransport"] });
      if (socket.io.engine.transport.name !== "webtransport") await window.event(socket.io.engine, "upgrade");
      while ((await socket.timeout(5000).emitWithAck("transport")) !== "webtransport");
      return socket;
    };
    window.direct = () => window.open({ transports: ["webtransport"] });
  }, deadline);
});

afterEach(async () => {
  await page.context().close();
  assert.deepEqual(errors, [], "errors on the page");
});

for (const way of ["direct", "upgraded"]) {
  describe(`webtransport, ${way}`, { timeout: 120_000 }, () => {
    test("the client is on it, and so is the server", async () => {
      const got = await page.evaluate(async (way) => {
        const socket = await window[way]();
        return [socket.io.engine.transport.name, await socket.timeout(5000).emitWithAck("transport"), socket.id.length];
      }, way);
      assert.deepEqual(got, ["webtransport", "webtransport", 20]);
    });

    test("text of all sizes comes back as it was", async () => {
      const got = await page.evaluate(async (way) => {
        const socket = await window[way]();
        const wrong = [];
        for (const n of [0, 1, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 65_500, 65_536, 70_000, 150_000, 299_999]) {
          const text = "é👋".repeat(n / 2) + "x".repeat(n % 2);
          const said = window.event(socket, "said");
          socket.emit("say", text);
          const [transport, back] = await said;
          if (transport !== "webtransport" || back !== text) wrong.push([n, transport, back.length]);
        }
        return wrong;
      }, way);
      assert.deepEqual(got, []);
    });

    test("binary of all sizes comes back as it was, empty included", async () => {
      const got = await page.evaluate(async (way) => {
        const socket = await window[way]();
        const wrong = [];
        for (const n of [0, 1, 125, 126, 65_535, 65_536, 900_000]) {
          const data = new Uint8Array(n).map((_, i) => i * 7);
          const got = window.event(socket, "got");
          socket.emit("bytes", data);
          const [transport, back, empty] = await got;
          const same = back instanceof ArrayBuffer && back.byteLength === n && new Uint8Array(back).every((b, i) => b === data[i]);
          if (transport !== "webtransport" || !same || !(empty instanceof ArrayBuffer) || empty.byteLength !== 0) wrong.push(n);
        }
        return wrong;
      }, way);
      assert.deepEqual(got, []);
    });

    test("500 acknowledgements come in order", async () => {
      const got = await page.evaluate(async (way) => {
        const socket = await window[way]();
        const order = [];
        const calls = Array.from({ length: 500 }, async (_, i) => {
          const [sent, number] = await socket.timeout(15_000).emitWithAck("count", i);
          order.push(i);
          return [sent, number];
        });
        const answers = await Promise.all(calls);
        const first = answers[0][1];
        return {
          inOrder: order.every((n, i) => n === i),
          right: answers.every(([sent, number], i) => sent === i && number === first + i),
          n: order.length,
        };
      }, way);
      assert.deepEqual(got, { inOrder: true, right: true, n: 500 });
    });

    test("the client leaves", async () => {
      const id = await page.evaluate(async (way) => {
        const socket = await window[way]();
        const { id } = socket;
        socket.disconnect();
        return id;
      }, way);
      const [, reason] = await server.prints(new RegExp(`^disconnect ${id} webtransport (.*)$`));
      assert.equal(reason, "client namespace disconnect");
    });

    test("the connection is closed under the socket", async () => {
      const id = await page.evaluate(async (way) => {
        const socket = await window[way]();
        const { id } = socket;
        socket.io.reconnection(false);
        socket.io.engine.close();
        return id;
      }, way);
      const [, reason] = await server.prints(new RegExp(`^disconnect ${id} webtransport (.*)$`));
      assert.equal(reason, "transport close");
    });

    test("the page goes away", async () => {
      const id = await page.evaluate(async (way) => (await window[way]()).id, way);
      await page.goto("about:blank");
      const [, reason] = await server.prints(new RegExp(`^disconnect ${id} webtransport (.*)$`));
      assert.equal(reason, "transport close");
    });

    test("the server ends the socket", async () => {
      const [reason, id] = await page.evaluate(async (way) => {
        const socket = await window[way]();
        const { id } = socket;
        const gone = window.event(socket, "disconnect");
        socket.emit("kick", false);
        return [(await gone)[0], id];
      }, way);
      assert.equal(reason, "io server disconnect");
      assert.equal((await server.prints(new RegExp(`^disconnect ${id} webtransport (.*)$`)))[1], "server namespace disconnect");
    });

    test("the server closes the connection", async () => {
      const [reason, id] = await page.evaluate(async (way) => {
        const socket = await window[way]();
        const { id } = socket;
        socket.io.reconnection(false);
        const gone = window.event(socket, "disconnect");
        socket.emit("kick", true);
        return [(await gone)[0], id];
      }, way);
      assert.equal(reason, "io server disconnect");
      assert.equal((await server.prints(new RegExp(`^disconnect ${id} webtransport (.*)$`)))[1], "server namespace disconnect");
    });
  });
}

test("one broadcast reaches all transports", async () => {
  const got = await page.evaluate(async () => {
    const sockets = await Promise.all([
      window.direct(), window.upgraded(), window.open({ transports: ["websocket"] }), window.open({ transports: ["polling"] }),
    ]);
    const all = Promise.all(sockets.flatMap((s) => [window.event(s, "said"), window.event(s, "got")]));
    sockets[0].emit("say", "to all");
    sockets[2].emit("bytes", new Uint8Array([1, 2, 3]));
    const events = await all;
    return [
      sockets.map((s) => s.io.engine.transport.name),
      events.map((args) => args.map((a) => (a instanceof ArrayBuffer ? [...new Uint8Array(a)] : a))),
    ];
  });
  const said = ["webtransport", "to all"], bytes = ["websocket", [1, 2, 3], []];
  assert.deepEqual(got, [["webtransport", "webtransport", "websocket", "polling"], Array.from({ length: 4 }, () => [said, bytes]).flat()]);
});

// The client tries both, WebTransport 200 ms earlier, so on a busy machine either of them may be first.
test("with everything allowed, one of the faster transports is found", async () => {
  const [name, onServer] = await page.evaluate(async () => {
    const socket = await window.open({ transports: ["polling", "websocket", "webtransport"] });
    if (socket.io.engine.transport.name === "polling") await window.event(socket.io.engine, "upgrade");
    for (;;) {
      const onServer = await socket.timeout(5000).emitWithAck("transport");
      if (onServer !== "polling") return [socket.io.engine.transport.name, onServer];
    }
  });
  assert.match(name, /^web(transport|socket)$/);
  assert.equal(onServer, name);
});

test("the page of the example shows it", async () => {
  await page.goto(server.url);
  await page.waitForFunction(() => /^web/.test(document.getElementById("transport").textContent));
  await page.fill("#text", "hello <b>");
  await page.click("button");
  await page.waitForFunction(() => /^hello <b> \(sent over web(transport|socket)\)$/.test(document.querySelector("#said li")?.textContent));
});
