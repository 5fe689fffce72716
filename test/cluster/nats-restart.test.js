// Rolling restarts with the log in JetStream.
import { NATS } from "./harness.js";
import { restarts } from "./restart.js";

restarts("nats with JetStream", "", async () => {
  const nats = await NATS.launch();
  return { args: ["--adapter", "nats", "--nats", nats.address], close: () => nats.close() };
});
