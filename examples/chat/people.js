// What the browser tests have in common: a browser, and people with a page each.
//
// CHROMIUM names the browser (default /usr/bin/chromium).

import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

export const deadline = 20_000;
export const desktop = { viewport: { width: 1280, height: 800 } };

export let browser, shots;

export async function launch() {
  shots = await mkdtemp(path.join(tmpdir(), "epio-chat-"));
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

// leave closes the pages of all people, which must not have had errors.
export async function leave() {
  for (const person of people.splice(0)) {
    assert.deepEqual(person.errors, [], `errors on the page of ${person.name}`);
    await person.page.context().close();
  }
}

// A Person is one page in a browser profile of its own.
export const people = [];
export class Person {
  static async enter(url, name, room, options = desktop) {
    const person = new Person();
    person.name = name;
    const context = await browser.newContext(options);
    person.page = await context.newPage();
    person.page.setDefaultTimeout(deadline);
    person.errors = [];
    person.page.on("pageerror", (error) => person.errors.push(error));
    people.push(person);
    await person.page.goto(url);
    await person.page.fill("#name", name);
    await person.page.fill("#first-room", room);
    await person.page.click("#enter-form button");
    await person.connected();
    return person;
  }

  async say(text) {
    await this.page.fill("#text", text);
    await this.page.press("#text", "Enter");
  }

  // sees waits until the conversation is exactly this, [name, text] each, all delivered.
  sees(...lines) {
    return this.waits((want) => {
      const items = [...document.querySelectorAll(".message")];
      const got = items.map((m) => [m.querySelector(".from").textContent, m.querySelector("p").textContent]);
      return JSON.stringify(got) === JSON.stringify(want) && !document.querySelector(".pending, .failed");
    }, lines, `messages ${JSON.stringify(lines)}`);
  }

  seesHere(...names) {
    return this.waits(
      (want) => JSON.stringify([...document.querySelectorAll("#here li")].map((i) => i.textContent).sort()) === JSON.stringify(want),
      names.sort(),
      `people ${names}`,
    );
  }

  seesTyping(text) {
    return this.waits((want) => document.querySelector("#typing").textContent === want, text, `typing line "${text}"`);
  }

  // typesUntil goes on typing until the other one sees it. One key is not enough: "typing" is volatile, so it gets lost while
  // the other's connection is being upgraded.
  async typesUntil(other) {
    const text = this.page.locator("#text");
    const seen = other.seesTyping(`${this.name} is typing…`);
    let done = false;
    const typing = (async () => {
      while (!done) {
        await text.fill("");
        await text.pressSequentially("Hel", { delay: 50 });
      }
    })();
    try {
      await seen;
    } finally {
      done = true;
      await typing;
    }
  }

  state(name) {
    return this.waits((want) => document.querySelector("#state").dataset.state === want, name, `state ${name}`);
  }

  connected() {
    return this.state("connected");
  }

  async waits(condition, argument, what) {
    try {
      await this.page.waitForFunction(condition, argument, { timeout: deadline, polling: 50 });
    } catch (error) {
      const shot = path.join(shots, `failed-${this.name}.png`);
      await this.page.screenshot({ path: shot });
      throw new Error(`${this.name} does not see ${what} (${shot}); the page says:\n${await this.page.innerText("body")}`, { cause: error });
    }
  }

  // overflow is how far the page is wider than the window.
  overflow() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  }

  screenshot(name) {
    return this.page.screenshot({ path: path.join(shots, `${name}.png`) });
  }
}

