// Two people in two browser pages use the chat, the server goes away and comes back, and both carry on.
//
// CHROMIUM names the browser (default /usr/bin/chromium), CHAT the server program (default: built here).
// The screenshots of the last run are in the folder the test prints.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { freePort } from "../../../test/ports.js";
import { browser, deadline, desktop, launch, leave, people, Person, shots } from "../people.js";

const folder = fileURLToPath(new URL("..", import.meta.url));
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let program, server, url;

before(async () => {
  program = process.env.CHAT;
  if (!program) {
    program = path.join(folder, "../../bin/chat");
    execFileSync("go", ["build", "-o", program, "."], { cwd: folder, stdio: "inherit" });
  }
  url = `http://127.0.0.1:${await freePort()}`;
  await start();
  await launch();
});

after(async () => {
  await browser?.close();
  if (server) await stop();
});

async function start() {
  server = spawn(program, ["-addr", new URL(url).host], { cwd: folder, stdio: ["ignore", "inherit", "inherit"] });
  const end = Date.now() + deadline;
  for (;;) {
    try {
      await (await fetch(url)).arrayBuffer();
      return;
    } catch (error) {
      if (server.exitCode !== null || Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function stop(signal = "SIGTERM") {
  const exit = once(server, "exit");
  server.kill(signal);
  const [code] = await exit;
  if (signal === "SIGTERM") assert.equal(code, 0, "the server ends cleanly");
}

afterEach(leave);

describe("chat", { timeout: 300_000 }, () => {
  test("two people talk, see each other and see each other type", async () => {
    const ada = await Person.enter(url, "Ada", "talk");
    await ada.seesHere("Ada (you)");
    const bob = await Person.enter(url, "Bob", "talk");
    await ada.seesHere("Ada (you)", "Bob");
    await bob.seesHere("Ada", "Bob (you)");

    await ada.typesUntil(bob);
    await ada.say("Hello <b>Bob</b> & all 👋");
    await bob.sees(["Ada", "Hello <b>Bob</b> & all 👋"]);
    await bob.seesTyping("");
    await bob.say("Hi");
    const both = [["Ada", "Hello <b>Bob</b> & all 👋"], ["Bob", "Hi"]];
    await ada.sees(...both);
    await bob.sees(...both);
    assert.equal(await ada.page.locator(".message.mine").count(), 1);

    // What both say at the same time stands in the same order on both pages.
    for (const i of [1, 2, 3, 4, 5]) await Promise.all([ada.say(`a${i}`), bob.say(`b${i}`)]);
    for (const { page } of [ada, bob]) {
      await page.waitForFunction(() => document.querySelectorAll(".message:not(.pending)").length === 12, undefined, { polling: 50 });
    }
    const texts = (person) => person.page.locator(".message p").allTextContents();
    assert.deepEqual(await texts(ada), await texts(bob));

    await bob.page.context().close();
    await ada.seesHere("Ada (you)");
  });

  test("who comes later gets the history", async () => {
    const ada = await Person.enter(url, "Ada", "history");
    await ada.say("first");
    await ada.sees(["Ada", "first"]);
    await ada.say("second");
    await ada.sees(["Ada", "first"], ["Ada", "second"]);
    const cyd = await Person.enter(url, "Cyd", "history");
    await cyd.sees(["Ada", "first"], ["Ada", "second"]);
    await cyd.say("third");
    await ada.sees(["Ada", "first"], ["Ada", "second"], ["Cyd", "third"]);
  });

  test("rooms are apart, and one can move between them", async () => {
    const ada = await Person.enter(url, "Ada", "north");
    const bob = await Person.enter(url, "Bob", "south");
    await ada.say("only north");
    await ada.sees(["Ada", "only north"]);
    await bob.sees();
    await bob.page.click('#rooms button:has-text("north")');
    await bob.sees(["Ada", "only north"]);
    await ada.seesHere("Ada (you)", "Bob");
    await bob.page.fill("#room", "brand new");
    await bob.page.press("#room", "Enter");
    await bob.seesHere("Bob (you)");
    await ada.seesHere("Ada (you)");
    await ada.page.waitForSelector('#rooms button:has-text("brand new")');
    assert.equal(await bob.page.textContent("#title"), "brand new");
  });

  test("who reads older messages is not moved, but told about new ones", async () => {
    const ada = await Person.enter(url, "Ada", "scroll");
    const bob = await Person.enter(url, "Bob", "scroll");
    const lines = [];
    for (let i = 1; i <= 30; i++) {
      await ada.say(`line ${i}`);
      lines.push(["Ada", `line ${i}`]);
      await ada.sees(...lines);
    }
    await bob.sees(...lines);
    const position = () => bob.page.evaluate(() => document.querySelector("#scroller").scrollTop);
    assert.ok((await position()) > 100, "the newest message is in view");
    await bob.page.evaluate(() => (document.querySelector("#scroller").scrollTop = 40));
    await ada.say("news");
    await bob.page.waitForSelector("#unread:not([hidden])");
    assert.equal(await position(), 40);
    assert.match(await bob.page.textContent("#unread"), /^1 new message/);
    await bob.page.click("#unread");
    await bob.page.waitForSelector("#unread", { state: "hidden" });
    assert.ok((await position()) > 100);
  });

  test("a name is asked for again when the server refuses it", async () => {
    const page = await browser.newPage();
    await page.goto(url);
    await page.fill("#name", "   ");
    await page.click("#enter-form button");
    await page.waitForFunction(() => document.querySelector("#enter-error").textContent !== "", undefined, { timeout: deadline });
    assert.ok(await page.isVisible("#enter"));
    await page.close();
  });

  for (const signal of ["SIGTERM", "SIGKILL"]) {
    test(`both come back by themselves after the server ended with ${signal}`, async () => {
      const room = `back ${signal}`;
      const ada = await Person.enter(url, "Ada", room, desktop);
      const bob = await Person.enter(url, "Bob", room, phone);
      await ada.say("before");
      await ada.sees(["Ada", "before"]);
      await bob.sees(["Ada", "before"]);
      await stop(signal);
      await Promise.all([ada.state("offline"), bob.state("offline")]);
      await start();
      await Promise.all([ada.connected(), bob.connected()]);
      await ada.waits(() => document.querySelectorAll("#here li").length === 2, undefined, "both people");
      await ada.seesHere("Ada (you)", "Bob");
      await ada.say("after");
      await bob.sees(["Ada", "before"], ["Ada", "after"]);
      await bob.say("still here");
      await ada.sees(["Ada", "before"], ["Ada", "after"], ["Bob", "still here"]);
      assert.equal(await ada.page.locator(".message.mine").count(), 2, "one's own messages stay one's own");
    });
  }

  test("what is said while offline is marked as not sent", async () => {
    const ada = await Person.enter(url, "Ada", "offline");
    await stop();
    await ada.state("offline");
    await ada.say("into the void");
    await ada.page.waitForSelector(".message.failed");
    await start();
    await ada.connected();
  });

  test("works over polling alone", async () => {
    const ada = await Person.enter(url, "Ada", "polling");
    const bob = await browser.newContext(desktop).then(async (context) => {
      // Without WebSocket the client stays on polling, as behind a proxy that does not let it through.
      await context.addInitScript(() => delete window.WebSocket);
      const person = new Person();
      Object.assign(person, { name: "Bob", page: await context.newPage(), errors: [] });
      people.push(person);
      await person.page.goto(url);
      await person.page.fill("#name", "Bob");
      await person.page.fill("#first-room", "polling");
      await person.page.click("#enter-form button");
      await person.connected();
      return person;
    });
    await ada.say("can you hear me");
    await bob.sees(["Ada", "can you hear me"]);
    await bob.say("yes");
    await ada.sees(["Ada", "can you hear me"], ["Bob", "yes"]);
  });

  test("fits a phone and a desktop, light and dark", async () => {
    for (const [size, options] of Object.entries({ phone, desktop })) {
      for (const colorScheme of ["light", "dark"]) {
        const room = `look ${size} ${colorScheme}`;
        const other = await Person.enter(url, "Grace", room);
        await other.say("Has anybody seen the new release notes?");
        const person = await Person.enter(url, "Ada", room, { ...options, colorScheme });
        await person.sees(["Grace", "Has anybody seen the new release notes?"]);
        await person.say("Yes, reading them right now. A very long word to see how it breaks: " + "abcdefghijklmnopqrstuvwxyz".repeat(4));
        await other.say("Good ☺");
        await person.page.waitForFunction(() => document.querySelectorAll(".message:not(.pending)").length === 3);
        await other.typesUntil(person);
        assert.equal(await person.overflow(), 0, `${size} scrolls sideways`);
        await person.screenshot(`${size}-${colorScheme}`);
        if (size === "phone") {
          await person.page.click("#toggle");
          await person.page.waitForSelector("#side.open");
          await person.page.evaluate(() => Promise.all(document.querySelector("#side").getAnimations().map((a) => a.finished)));
          await person.screenshot(`${size}-${colorScheme}-side`);
          await person.page.press("body", "Escape");
        }
      }
    }
    console.log(`screenshots in ${shots}`);
  });
});
