// Prints what the official parsers encode, one JSON line for each packet or payload:
//
//   {"parser": …, "name": …, "packet": …, "messages": ["51-[…]", "+0102"]}   a Socket.IO packet, binary messages as +hex
//   {"parser": …, "name": …, "packets": ["4a", "+0102"], "payload": "4a…"}    an Engine.IO payload
//
// Bytes in a packet are {"$": hex}. Run it where the packages are installed and write the output to packets.jsonl:
//
//   cd test && npm ci && node ../codec/testdata/packets.js > ../codec/testdata/packets.jsonl

const { createRequire } = require("node:module");
const path = require("node:path");

const bytes = (...list) => Buffer.from(list);
const hex = (data) => (Buffer.isBuffer(data) ? `+${data.toString("hex")}` : data);
const line = (value) => console.log(JSON.stringify(value));

// from loads a package as one of the clients does.
function from(client, name) {
  const modules = createRequire(path.join(process.cwd(), "node_modules", client, "package.json"));
  const entry = modules.resolve(name);
  const root = entry.slice(0, entry.lastIndexOf(path.join("node_modules", name)) + path.join("node_modules", name).length);
  return { ...modules(name), title: `${name} ${require(path.join(root, "package.json")).version}` };
}

// Bytes as this file writes them. Buffer has a toJSON that comes before any replacer, hence the copy.
function plain(value) {
  if (Buffer.isBuffer(value)) return { $: value.toString("hex") };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
}

// revive is the opposite of plain.
function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value && typeof value === "object") {
    if (typeof value.$ === "string") return Buffer.from(value.$, "hex");
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, revive(v)]));
  }
  return value;
}

// Events and acknowledgements are the same in both revisions of the protocol.
const common = {
  "event": { type: 2, nsp: "/", data: ["say"] },
  "event with arguments": { type: 2, nsp: "/", data: ["say", 1, -2.5, "two", true, null, [], {}, [1, [2]], { a: { b: ["c"] } }] },
  "event beyond ASCII": { type: 2, nsp: "/", data: ["grüße €", "😀 \u2028\u2029 \u0000 \u007f \"\\/\n<>&"] },
  "event in a namespace": { type: 2, nsp: "/chat", data: ["say", "hi"] },
  "event with id": { type: 2, nsp: "/", id: 0, data: ["say", "hi"] },
  "event with id in a namespace": { type: 2, nsp: "/chat/ä", id: 456, data: ["say", "hi"] },
  "ack": { type: 3, nsp: "/", id: 12, data: ["ok", 1] },
  "ack without arguments": { type: 3, nsp: "/", id: 0, data: [] },
  "ack in a namespace": { type: 3, nsp: "/chat", id: 456, data: [null] },
  "binary event": { type: 5, nsp: "/", data: ["file", bytes(1, 2, 3)] },
  "binary event, empty attachment": { type: 5, nsp: "/", data: ["file", bytes()] },
  "binary event, nested": { type: 5, nsp: "/", data: ["file", { a: [bytes(1), { b: bytes(2) }] }, "between", bytes(3)] },
  "binary event with id in a namespace": { type: 5, nsp: "/chat", id: 7, data: ["file", bytes(0x1e, 0xff)] },
  "binary ack": { type: 6, nsp: "/", id: 3, data: [bytes(9)] },
  "binary ack in a namespace": { type: 6, nsp: "/chat", id: 3, data: ["a", { b: bytes(9) }] },
  "disconnect": { type: 1, nsp: "/" },
  "disconnect in a namespace": { type: 1, nsp: "/chat" },
};
const five = {
  "connect": { type: 0, nsp: "/" },
  "connect to a namespace": { type: 0, nsp: "/chat" },
  "connect with auth": { type: 0, nsp: "/", data: { token: "secret" } },
  "connect with auth to a namespace": { type: 0, nsp: "/chat", data: { token: "grüße" } },
  "connected": { type: 0, nsp: "/", data: { sid: "oSO0OpakMV_3jnilAAAA" } },
  "connected to a namespace": { type: 0, nsp: "/chat", data: { sid: "oSO0OpakMV_3jnilAAAA", pid: "secret" } },
  "refused": { type: 4, nsp: "/", data: { message: "Not authorized" } },
  "refused in a namespace": { type: 4, nsp: "/chat", data: { message: "no", data: { code: 401 } } },
};
const four = {
  "connect to a namespace": { type: 0, nsp: "/chat" },
  "connect with a query": { type: 0, nsp: "/chat?token=secret&x=a%20b" },
  "connected": { type: 0, nsp: "/" },
  "connected to a namespace": { type: 0, nsp: "/chat" },
  "refused": { type: 4, nsp: "/", data: "Not authorized" },
  "refused in a namespace": { type: 4, nsp: "/chat", data: { code: 401 } },
};

function packets(client, all) {
  const { Encoder, title } = from(client, "socket.io-parser");
  for (const [name, packet] of Object.entries(all)) {
    // Clients say 2 and 3, and the newer parsers turn them into 5 and 6 when there is binary.
    const type = packet.type > 4 && all.connect ? packet.type - 3 : packet.type;
    const copy = { ...packet, type, data: revive(plain(packet.data)) }; // old encoders write into what they are given
    const done = (messages) => line({ parser: title, name, packet: plain(packet), messages: messages.map(hex) });
    const messages = new Encoder().encode(copy, done);
    if (messages) done(messages);
  }
}

packets("socket.io-client", { ...common, ...five });
packets("socket.io-client-3", { ...common, ...five });
packets("socket.io-client-2", { ...common, ...four });
packets("socket.io-client-1", { ...common, ...four });

// Engine.IO 4. Version 3 has a file of its own, eio3.json.
const { encodePayload, title } = from("socket.io-client", "engine.io-parser");
const message = (data) => ({ type: "message", data });
for (const [name, list] of Object.entries({
  "open": [{ type: "open", data: '{"sid":"x"}' }],
  "close": [{ type: "close" }],
  "ping and pong": [{ type: "ping" }, { type: "pong" }, { type: "ping", data: "probe" }, { type: "pong", data: "probe" }],
  "upgrade and noop": [{ type: "upgrade" }, { type: "noop" }],
  "texts": [message("hello"), message(""), message("€ 😀"), message("44")],
  "binary": [message(bytes(1, 2, 3, 4)), message(bytes()), message(bytes(0xe0, 0, 0)), message(bytes(0xff))],
  "both": [message("a"), message(bytes(0x1e)), message("b")],
}))
  encodePayload(list, (payload) => {
    const types = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];
    line({ parser: title, name, packets: list.map(({ type, data }) => (Buffer.isBuffer(data) ? hex(data) : types.indexOf(type) + (data ?? ""))), payload });
  });
