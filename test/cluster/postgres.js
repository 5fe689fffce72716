// A PostgreSQL of the tests' own.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { ended, freePort, sleep } from "./harness.js";

// bin is where its programs are: on PATH, or where Debian has them, or nowhere.
const bin = (() => {
  if (spawnSync("initdb", ["--version"]).status === 0) return "";
  const debian = "/usr/lib/postgresql";
  for (const version of existsSync(debian) ? readdirSync(debian).reverse() : []) {
    const dir = join(debian, version, "bin/");
    if (existsSync(join(dir, "initdb"))) return dir;
  }
})();

// why says why tests with PostgreSQL cannot run, or is empty. With REQUIRE_SERVICES=1 they must.
export const why = bin === undefined ? "no PostgreSQL (Debian package postgresql)" : "";
if (why && process.env.REQUIRE_SERVICES === "1") throw new Error(why);

// user is whom to run it as: it refuses to run as root.
function user() {
  if (process.getuid?.() !== 0) return {};
  const id = (flag) => Number(spawnSync("id", [flag, "postgres"], { encoding: "utf8" }).stdout) || 65534;
  return { uid: id("-u"), gid: id("-g") };
}

// Postgres is one that can be killed and started again.
export class Postgres {
  // launch starts a new one, with the table of the adapter.
  static async launch() {
    const postgres = new Postgres();
    postgres.port = await freePort();
    postgres.user = user();
    postgres.dir = mkdtempSync(join(tmpdir(), "cluster-test-"));
    if (postgres.user.uid) chownSync(postgres.dir, postgres.user.uid, postgres.user.gid);
    const args = ["-D", "data", "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale", "C"];
    const init = spawnSync(bin + "initdb", args, { cwd: postgres.dir, encoding: "utf8", ...postgres.user });
    if (init.status !== 0) throw new Error(init.stderr);
    await postgres.start();
    await postgres.query(
      "CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)",
    );
    return postgres;
  }
  url(address = `127.0.0.1:${this.port}`) {
    return `postgres://postgres@${address}/postgres?sslmode=disable`;
  }
  async query(sql, args) {
    const client = new pg.Client({ connectionString: this.url() });
    await client.connect();
    try {
      return await client.query(sql, args);
    } finally {
      await client.end();
    }
  }
  async start() {
    const settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=8MB", "fsync=off"];
    const args = ["-D", "data", "-p", String(this.port), ...settings.flatMap((s) => ["-c", s])];
    this.process = spawn(bin + "postgres", args, { cwd: this.dir, stdio: "ignore", ...this.user });
    for (let i = 0; ; i++) {
      try {
        await this.query("SELECT 1");
        return;
      } catch (err) {
        if (i > 500 || ended(this.process)) throw err;
        await sleep(20);
      }
    }
  }
  // kill ends it and all connections at once.
  async kill() {
    if (ended(this.process)) throw new Error("PostgreSQL ended by itself");
    this.process.kill("SIGQUIT");
    await once(this.process, "exit");
  }
  async close() {
    if (!ended(this.process)) await this.kill();
    rmSync(this.dir, { recursive: true });
  }
}
