// The adapter on PostgreSQL, in mixed clusters.
import { describe, test } from "node:test";
import { matrix } from "./matrix.js";
import { Postgres, why } from "./postgres.js";

if (why) {
  test("clusters on PostgreSQL", { skip: why }, () => {});
} else {
  describe("clusters on PostgreSQL", { concurrency: 3 }, () => {
    // Only Go servers keep the order: the reference sends with several connections at a time, and fetches rows of the
    // table while it handles what came after them.
    for (const [kinds, order] of [[["go", "go", "go"], true], [["go", "go", "node"], false], [["go", "node", "node"], false]]) {
      const setup = async () => {
        const postgres = await Postgres.launch();
        return { args: ["--adapter", "postgres", "--postgres", postgres.url()], close: () => postgres.close(), crash: 15000 };
      };
      matrix(`postgres: ${kinds.join(", ")}`, kinds, setup, { order });
    }
  });
}
