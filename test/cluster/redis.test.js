// The adapters on Redis, in mixed clusters.
import { Redis, why } from "./harness.js";
import { matrix } from "./matrix.js";
import { describe, test } from "node:test";

if (why) {
  test("clusters on Redis", { skip: why }, () => {});
} else {
  // They wait for heartbeats and time limits, most of the time.
  describe("clusters on Redis", { concurrency: 3 }, () => {
    for (const adapter of ["redis", "redis-sharded", "redis-streams"]) {
      for (const kinds of [["go", "go", "node"], ["go", "node", "node"]]) {
        matrix(`${adapter}: ${kinds.join(", ")}`, kinds, async () => {
          const redis = await Redis.launch();
          return { args: ["--adapter", adapter, "--redis", redis.address], close: () => redis.close() };
        });
      }
    }
    matrix("redis, msgpack parser: go, go, node", ["go", "go", "node"], async () => {
      const redis = await Redis.launch();
      return { args: ["--adapter", "redis", "--redis", redis.address, "--msgpack"], close: () => redis.close() };
    });
  });
}
