// Reads the blocks of the Markdown pages, for tests that check or run them.

import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

// pages lists the pages of the repository, relative to its root.
export async function pages(folder = "") {
  const found = [];
  for (const entry of await readdir(path.join(root, folder), { withFileTypes: true })) {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!/^(\.|node_modules$|testdata$|bin$|out$)/.test(entry.name)) found.push(...(await pages(name)));
    } else if (entry.name.endsWith(".md")) {
      found.push(name);
    }
  }
  return found;
}

// blocks returns the fenced blocks of a page: {line, language, file, text}. `file` is the name that a comment
// <!-- file: name --> above the block gives it.
export function blocks(page) {
  const text = readFileSync(path.join(root, page), "utf8");
  const fence = /(?:^<!-- file: (?<file>\S+) -->\n)?^```(?<language>[a-z]+)\n(?<text>.*?)^```$/gms;
  return [...text.matchAll(fence)].map((match) => ({
    line: text.slice(0, match.index).split("\n").length,
    ...match.groups,
  }));
}
