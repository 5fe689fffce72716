// Every block of JavaScript on the pages can be parsed. Blocks of Go are compiled by internal/docs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { blocks, pages } from "./pages.js";

let folder;
before(async () => (folder = await mkdtemp(path.join(tmpdir(), "blocks-"))));
after(() => rm(folder, { recursive: true }));

// parse rejects with node's message when the text is no module.
async function parse(text) {
  const file = path.join(folder, `${process.hrtime.bigint()}.mjs`);
  await writeFile(file, text);
  await promisify(execFile)(process.execPath, ["--check", file]);
}

test("blocks of JavaScript parse", async () => {
  const all = (await pages()).flatMap((page) =>
    blocks(page).flatMap(({ line, language, text }) => {
      // Scripts within a page count as well.
      const scripts = language === "html" ? [...text.matchAll(/<script>(.*?)<\/script>/gs)].map((m) => m[1]) : [];
      return (language === "js" ? [text] : scripts).map((script) => ({ place: `${page}:${line}`, script }));
    }),
  );
  assert.ok(all.length > 10, `only ${all.length} blocks found`);
  for (const { place, script } of all) {
    await assert.doesNotReject(parse(script), `${place} does not parse`);
  }
});

test("what does not parse is found", () => assert.rejects(parse("const = 1"), /SyntaxError/));
