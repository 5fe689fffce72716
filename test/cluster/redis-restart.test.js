// Rolling restarts with the log in Redis.
import { Redis, why } from "./harness.js";
import { restarts } from "./restart.js";

restarts("redis-streams", why, async () => {
  const redis = await Redis.launch();
  return { args: ["--adapter", "redis-streams", "--redis", redis.address], close: () => redis.close() };
});
