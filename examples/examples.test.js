// Runs every example and its client, and compares what they print. The program of docs/getting-started.md is one of them.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { io } from "socket.io-client";
import { blocks, root } from "../test/docs/pages.js";
import { freePort, listens } from "../test/ports.js";

const run = promisify(execFile);
const here = fileURLToPath(new URL(".", import.meta.url));
const deadline = 30_000; // of everything: the machine may be busy

// What each prints. `args` go to the program, `more` to the client behind the URL. Lines of the server that come from different
// sockets have no order: `unordered`.
const examples = {
  "tutorial/connect": {
    client: ["connected, the server knows my id: true"],
    server: ["a user connected", "a user disconnected: client namespace disconnect"],
    check: async (url) => {
      const page = await (await fetch(url)).text();
      const [, script] = page.match(/<script src="([^"]+)"/);
      const library = await fetch(url + script);
      assert.equal(library.status, 200);
      assert.match(await library.text(), /Socket\.IO v4/);
    },
  },
  "tutorial/events": {
    client: [
      "drawn a line <Buffer 01 02 03> [ 'black', 'seen' ] 3",
      "anything [ { a: [ 1, null ] }, true, 'x' ]",
    ],
    server: ["knock", "hello 1 two [3 4.5]", "draw a line [1 2 3] [black]", 'anything [map[a:[1 <nil>]] true x] {"a":[1,null]}'],
  },
  "tutorial/acks": {
    client: [
      "callback 3",
      "callback with time-out null 0.25",
      "promise 3",
      "error { message: 'division by zero', data: { a: 1 } }",
      "several values [ 'done', 2 ]",
      "no answer: operation has timed out",
    ],
    server: ["name: Ada <nil>", "timed out: true"],
  },
  "tutorial/catchall": {
    client: [
      "out: double [ 21 ]",
      "out: what is this [ '?' ]",
      "in: doubled [ 42 ]",
      "in: unknown [ 'what is this' ]",
    ],
    server: ["in: double [21]", "out: doubled [42]", "in: what is this [?]", "out: unknown [what is this]"],
  },
  "tutorial/broadcast": {
    client: [
      "ada reads, to all: hello",
      "bob reads, to all: hello",
      "cyd reads, to all: hello",
      "ada reads, to others: hello from bob",
      "cyd reads, to others: hello from bob",
      "ada reads, to one: hello, ada",
    ],
    unordered: true, // three connections
  },
  "tutorial/rooms": {
    client: [
      "bob is in [ 'blue', 'red' ]",
      "to red",
      "  ada, being in red, not ",
      "  bob, being in red, not ",
      "to red and blue, each once",
      "  ada, being in red,blue, not ",
      "  bob, being in red,blue, not ",
      "  cyd, being in red,blue, not ",
      "to red, not to blue",
      "  ada, being in red, not blue",
      "ada says something in red",
      "  bob, being in red, not the sender",
      "after bob has left",
      "  ada, being in red, not ",
    ],
    unordered: true,
  },
  "tutorial/disconnects": {
    client: [
      "connected",
      "disconnected: forced close", // of the engine underneath
      "connected",
      "disconnected: io server disconnect",
      "connected",
      "disconnected: io client disconnect",
    ],
    server: [
      "connected",
      "said: hello",
      "no longer: sio: socket disconnected: transport close",
      "disconnected: transport close rooms: 2",
      "connected",
      "said: said while the connection was away",
      "disconnected: server namespace disconnect rooms: 2",
      "connected",
      "disconnected: client namespace disconnect rooms: 2",
    ],
    unordered: true,
  },
  auth: {
    client: [
      "stranger: not authorized { logIn: '/login' }",
      "bob is Bob",
      "bob as an administrator: administrators only",
      "bob again: Bob",
      "bob again: Bob",
      "bob again: { error: { message: 'slow down' } }",
      "bob: io server disconnect",
    ],
  },
  vote: {
    client: [
      "before: nobody",
      "result: { yes: 2, no: 1, silent: 1, odd: 1 }",
      "votes seen on the way: 3",
      "after: the first one",
    ],
  },
  delivery: {
    args: ["-forget", "1"],
    client: ["note 1: the first acknowledgement is lost", "note 2: written while nobody reads", "note 3: everybody is here"],
    server: [
      "new: the first acknowledgement is lost",
      "seen before: the first acknowledgement is lost",
      "new: written while nobody reads",
      "new: everybody is here",
    ],
  },
  recovery: {
    client: [
      "connected, recovered: false",
      "news: read while connected",
      "news: sent while away",
      "news: this, too",
      "connected, recovered: true",
      "the same id: true",
    ],
    server: [
      "new",
      "new",
      "gone: transport close",
      "back, in 2 rooms, with a basket",
      "gone: client namespace disconnect",
      "gone: client namespace disconnect",
    ],
    unordered: true,
  },
  drain: {
    args: ["-period", "100ms"],
    client: ["ready: 200", "ready: 503", "nobody gets in any more", "the job is done", "then: transport close"],
    server: ["draining", "stopped"],
  },
  tls: {
    scheme: "https",
    args: () => ["-cert", path.join(folder, "cert.pem"), "-key", path.join(folder, "key.pem")],
    more: () => [path.join(folder, "cert.pem")],
    client: ["secure: true", "without the certificate: self-signed certificate"],
  },
};

let folder;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "examples-"));
  const { stdout } = await run("go", ["env", "GOROOT"], { cwd: here });
  const maker = path.join(stdout.trim(), "src/crypto/tls/generate_cert.go");
  await run("go", ["build", "-o", folder, ...Object.keys(examples).map((name) => `./${name}`)], { cwd: here });
  await run("go", ["run", maker, "-host", "localhost,127.0.0.1", "-ca", "-ecdsa-curve", "P256"], { cwd: folder });
});
after(() => rm(folder, { recursive: true }));

// start runs a program and waits until its port is open. stop ends it and returns the lines it printed.
async function start(file, args, port, options) {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  let out = "";
  let log = "";
  child.stdout.on("data", (chunk) => (out += chunk));
  child.stderr.on("data", (chunk) => (log += chunk));
  const ended = once(child, "close");
  for (const end = Date.now() + deadline; ; ) {
    if (await listens(port)) break;
    assert.equal(child.exitCode, null, `${file} ended:\n${log}`);
    assert.ok(Date.now() < end, `${file} does not listen:\n${log}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    // printed returns the lines so far once there are n of them, or when it takes too long.
    async printed(n) {
      for (const end = Date.now() + deadline; lines(out).length < n && Date.now() < end; ) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      return lines(out);
    },
    async stop() {
      child.kill();
      await ended;
      assert.doesNotMatch(log, /^panic:|DATA RACE/m);
      return lines(out);
    },
  };
}

const lines = (text) => text.split("\n").filter((line) => line !== "");

for (const [name, example] of Object.entries(examples)) {
  test(name, async () => {
    const value = (v) => (typeof v === "function" ? v() : (v ?? []));
    const program = path.join(folder, path.basename(name));
    const port = await freePort();
    const server = await start(program, ["-addr", `127.0.0.1:${port}`, ...value(example.args)], port, { cwd: here });
    try {
      const url = `${example.scheme ?? "http"}://127.0.0.1:${port}`;
      await example.check?.(url);
      const client = await run(process.execPath, [`${name}/client.js`, url, ...value(example.more)], { cwd: here, timeout: deadline });
      const expected = example.server ?? [];
      const order = (list) => (example.unordered ? list.toSorted() : list);
      assert.deepEqual(order(lines(client.stdout)), order(example.client));
      assert.deepEqual(order(await server.printed(expected.length)), order(expected));
    } finally {
      await server.stop();
    }
  });
}

test("docs/getting-started.md", async () => {
  const place = path.join(folder, "chat");
  await mkdir(place);
  for (const { file, text } of blocks("docs/getting-started.md")) {
    if (file) await writeFile(path.join(place, file), text);
  }
  // What the page says to do. With the checksums there is nothing to ask the network for.
  await cp(path.join(root, "go.sum"), path.join(place, "go.sum"));
  await symlink(path.join(here, "node_modules"), path.join(place, "node_modules"));
  const env = { ...process.env, GOWORK: "off", GOFLAGS: "" };
  await run("go", ["mod", "init", "chat"], { cwd: place, env });
  await run("go", ["mod", "edit", "-replace", `github.com/epio-go/epio=${root}`], { cwd: place, env });
  await run("go", ["mod", "tidy"], { cwd: place, env });
  await run("go", ["build", "-o", "chat.exe", "."], { cwd: place, env });

  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = await start(path.join(place, "chat.exe"), [], port, { cwd: place, env: { ...env, PORT: port } });
  const clients = [];
  try {
    assert.match(await (await fetch(url)).text(), /<script src="\/socket.io\/socket.io.js">/);
    assert.equal((await fetch(`${url}/socket.io/socket.io.js`)).status, 200);
    const [ada, bob] = [1, 2].map(() => io(url, { forceNew: true }));
    clients.push(ada, bob);
    const next = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
    assert.deepEqual(await ada.emitWithAck("say", "?"), { error: { message: "enter a room first" } });
    assert.equal(await ada.emitWithAck("enter", "Ada", "lobby"), true);
    const notice = next(ada, "notice");
    assert.equal(await bob.emitWithAck("enter", "Bob", "lobby"), true);
    assert.deepEqual(await notice, ["Bob is here"]);
    const said = next(bob, "said");
    const message = { id: 1, from: "Ada", text: "hello" };
    assert.deepEqual(await ada.emitWithAck("say", "hello"), message);
    assert.deepEqual(await said, [message]);
    const left = next(ada, "notice");
    bob.disconnect();
    assert.deepEqual(await left, ["Bob has left: client namespace disconnect"]);
  } finally {
    for (const client of clients) client.disconnect();
    await server.stop();
  }
});
