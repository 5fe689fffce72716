// The adapter on NATS, whose format is our own: Go nodes only. Every node has a server within, and these make a mesh.
import { freePort } from "./harness.js";
import { matrix } from "./matrix.js";

matrix("nats, embedded: go, go, go", ["go", "go", "go"], async () => {
  const meeting = `embedded:127.0.0.1:${await freePort()}`;
  return { args: ["--adapter", "nats", "--nats", meeting], close: () => {}, forgets: true };
});
