// Two people on two nodes of examples/cluster talk, one of the nodes is killed, and its people carry on with another.
//
// CHROMIUM names the browser, CLUSTER the program (default: built here).

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { freePort } from "../../../test/ports.js";
import { browser, deadline, launch, leave, Person } from "../people.js";

const folder = fileURLToPath(new URL("../../cluster", import.meta.url));
const processes = []; // ids of the nodes' processes, by the node's number
let program, cluster, url;

before(async () => {
  program = process.env.CLUSTER;
  if (!program) {
    program = path.join(folder, "../../bin/cluster");
    execFileSync("go", ["build", "-o", program, "."], { cwd: folder, stdio: "inherit" });
  }
  const address = `127.0.0.1:${await freePort()}`;
  url = `http://${address}`;
  cluster = spawn(program, ["-addr", address], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: cluster.stdout });
  await new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      const [, node, id] = /^node (\d+) at .* is process (\d+)$/.exec(line) ?? [];
      if (id) processes[Number(node)] = Number(id);
      if (line.startsWith("chat at ")) resolve();
    });
    cluster.once("exit", (code) => reject(new Error(`the cluster ended: ${code}`)));
  });
  await launch();
});

after(async () => {
  await browser?.close();
  if (cluster?.exitCode === null) {
    const exit = once(cluster, "exit");
    cluster.kill("SIGTERM");
    const [code] = await exit;
    assert.equal(code, 0, "the cluster ends cleanly");
  }
});

afterEach(leave);

// nodeOf returns the number of the node that a person's page is connected to.
async function nodeOf(person) {
  const cookies = await person.page.context().cookies();
  return Number(cookies.find((c) => c.name === "node").value);
}

// enterElsewhere has somebody enter on a node other than another person's.
async function enterElsewhere(other, name, room) {
  for (;;) {
    const person = await Person.enter(url, name, room);
    if ((await nodeOf(person)) !== (await nodeOf(other))) return person;
    await person.page.context().close();
    await other.seesHere(`${other.name} (you)`);
  }
}

describe("cluster", { timeout: 120_000 }, () => {
  test("people on different nodes talk, and go on when a node is killed", async () => {
    const ada = await Person.enter(url, "Ada", "talk");
    await ada.seesHere("Ada (you)");
    const bob = await enterElsewhere(ada, "Bob", "talk");
    await ada.seesHere("Ada (you)", "Bob");
    await bob.seesHere("Ada", "Bob (you)");
    await ada.typesUntil(bob);
    await ada.say("hello");
    await bob.sees(["Ada", "hello"]);
    await bob.say("hi");
    await ada.sees(["Ada", "hello"], ["Bob", "hi"]);

    const gone = await nodeOf(ada);
    const stays = await nodeOf(bob);
    assert.ok(processes[gone] > 1);
    process.kill(processes[gone], "SIGKILL");
    await ada.waits(() => document.querySelector("#state").dataset.state !== "connected", undefined, "that the node is gone");
    await bob.say("are you there?");
    await ada.connected();
    assert.notEqual(await nodeOf(ada), gone, "Ada is on another node");
    assert.equal(await nodeOf(bob), stays, "Bob has stayed");
    await ada.sees(["Ada", "hello"], ["Bob", "hi"], ["Bob", "are you there?"]);
    await ada.say("yes");
    await bob.sees(["Ada", "hello"], ["Bob", "hi"], ["Bob", "are you there?"], ["Ada", "yes"]);
    // Ada's old self on the dead node is forgotten.
    await bob.seesHere("Ada", "Bob (you)");
    await ada.seesHere("Ada (you)", "Bob");

    // The node comes back, and learns what was said.
    const end = Date.now() + deadline;
    const dead = processes[gone];
    for (;;) {
      if (processes[gone] !== dead) {
        const cyd = await Person.enter(url, "Cyd", "talk");
        await cyd.sees(["Ada", "hello"], ["Bob", "hi"], ["Bob", "are you there?"], ["Ada", "yes"]);
        if ((await nodeOf(cyd)) === gone) break;
        await cyd.page.context().close();
      }
      assert.ok(Date.now() < end, "the node has come back");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });
});
