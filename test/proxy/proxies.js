// Starts the proxies of docs/deployment.md, with the configurations that stand there, in front of two servers.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { until } from "../client/harness.js";
import { blocks } from "../docs/pages.js";
import { freePort, listens } from "../ports.js";

// What is added to a configuration from the page to run it as a plain program that writes into one folder, and what makes it
// stick; `cookies` says that it needs clients that keep them.
const proxies = {
  nginx: {
    config: (page) => `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
access_log off;
${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`).join("\n")}
${page}
}`,
    command: (file, folder) => ["nginx", "-p", folder, "-c", file],
    door: ["listen 80;", (port) => `listen 127.0.0.1:${port};`],
    sticky: [[/^ *hash .*$/m, ""]],
  },
  haproxy: {
    config: (page) => page,
    command: (file) => ["haproxy", "-db", "-f", file],
    door: ["bind :80", (port) => `bind 127.0.0.1:${port}`],
    sticky: [
      [/^ *cookie .*$/m, ""],
      [/ cookie [ab]$/gm, ""],
      ["balance leastconn", "balance roundrobin"],
    ],
    cookies: true,
  },
  caddy: {
    config: (page) => `{\nadmin off\n}\n${page}`,
    command: (file) => ["caddy", "run", "--config", file, "--adapter", "caddyfile"],
    door: ["example.com {", (port) => `http://127.0.0.1:${port} {`],
    sticky: [["lb_policy cookie server", "lb_policy round_robin"]],
    cookies: true,
  },
};

export const names = Object.keys(proxies);
export const needsCookies = (name) => Boolean(proxies[name].cookies);

// installed reports whether a proxy can be started.
export function installed(name) {
  return spawnSync(name, ["-v"], { env: searched() }).error === undefined;
}

// searched is the environment with the folders in which Debian has servers.
const searched = () => ({ ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` });

// replaced fails when there is nothing to replace: the page and this file must not drift apart.
function replaced(text, [from, to]) {
  const after = text.replaceAll(from instanceof RegExp && !from.global ? new RegExp(from, `${from.flags}g`) : from, to);
  if (after === text) throw new Error(`no ${from} in\n${text}`);
  return after;
}

// A Proxy is a running one.
export class Proxy {
  #child;
  #log = "";
  #folder;

  // start takes the addresses of two servers. Without `sticky` it takes the lines away that make requests stick.
  static async start(name, addresses, { sticky = true } = {}) {
    const { config, command, door, sticky: lines } = proxies[name];
    const found = blocks("docs/deployment.md").filter((block) => block.language === name);
    if (found.length !== 1) throw new Error(`${found.length} blocks for ${name}`);
    const port = await freePort();
    const changes = [["10.0.0.1:3000", addresses[0]], ["10.0.0.2:3000", addresses[1]], [door[0], door[1](port)]];
    const page = [...changes, ...(sticky ? [] : lines)].reduce(replaced, found[0].text);

    const proxy = new Proxy();
    proxy.#folder = await mkdtemp(path.join(tmpdir(), `${name}-`));
    const file = path.join(proxy.#folder, "config");
    await writeFile(file, `${config(page)}\n`);
    const [program, ...args] = command(file, proxy.#folder);
    const env = { ...searched(), XDG_CONFIG_HOME: proxy.#folder, XDG_DATA_HOME: proxy.#folder, HOME: proxy.#folder };
    proxy.#child = spawn(program, args, { cwd: proxy.#folder, env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [proxy.#child.stdout, proxy.#child.stderr]) stream.on("data", (chunk) => (proxy.#log += chunk));
    proxy.url = `http://127.0.0.1:${port}`;
    await until(() => proxy.#child.exitCode !== null || listens(port), `${name} listens`);
    if (proxy.#child.exitCode !== null) throw new Error(`${name} has ended:\n${proxy.#log}`);
    return proxy;
  }

  async stop() {
    const ended = once(this.#child, "exit");
    if (this.#child.exitCode === null) this.#child.kill("SIGKILL");
    await ended;
    await rm(this.#folder, { recursive: true });
  }
}
