// Prints what the npm package socket.io-msgpack-parser encodes, one JSON line for each value:
//
//   {"name": …, "hex": the packet, "value": the first argument as JSON where JSON has it}
//
// Run it where the package is installed and write the output to msgpack.jsonl:
//
//   cd test && npm ci && NODE_PATH=node_modules node ../codec/testdata/msgpack.js > ../codec/testdata/msgpack.jsonl

const { Encoder } = require("socket.io-msgpack-parser");
const encoder = new Encoder();

function packet(name, packet, extra = {}) {
  console.log(JSON.stringify({ name, hex: encoder.encode(packet)[0].toString("hex"), ...extra }));
}

// Packets as client and server make them.
packet("connect without auth", { type: 0, data: undefined, nsp: "/", options: undefined });
packet("connect with auth", { type: 0, data: { token: "secret" }, nsp: "/chat" });
packet("connect answer", { type: 0, data: { sid: "oSO0OpakMV_3jnilAAAA", pid: undefined }, nsp: "/" });
packet("disconnect", { type: 1, nsp: "/chat" });
packet("event", { type: 2, data: ["say", "hi", 7], options: { compress: true }, nsp: "/" });
packet("event with id", { type: 2, data: ["say"], options: { compress: true }, id: 300, nsp: "/chat" });
packet("ack", { type: 3, id: 0, data: [true], nsp: "/" });
packet("ack without arguments", { type: 3, id: 12, data: [], nsp: "/" });
packet("connect error", { type: 4, data: { message: "no", data: { code: 1 } }, nsp: "/admin" });

// Values, each as the argument of an event.
const long = (n) => "x".repeat(n);
const values = {
  "null": null, "true": true, "false": false,
  "0": 0, "127": 127, "128": 128, "255": 255, "256": 256, "65535": 65535, "65536": 65536,
  "2^32-1": 2 ** 32 - 1, "2^32": 2 ** 32, "2^53-1": 2 ** 53 - 1, "2^63": 2 ** 63,
  "-1": -1, "-32": -32, "-33": -33, "-128": -128, "-129": -129, "-32768": -32768, "-32769": -32769,
  "-2^31": -(2 ** 31), "-2^31-1": -(2 ** 31) - 1, "-2^53": -(2 ** 53), "-2^63": -(2 ** 63),
  "1.5": 1.5, "-0.1": -0.1, "5e-324": 5e-324, "1e-300": 1e-300,
  "empty string": "", "31 letters": long(31), "32 letters": long(32), "255 letters": long(255), "256 letters": long(256),
  "unicode": "gr\u00fc\u00dfe \u4f60\u597d \ud83d\udc69 \u0000 \u2028",
  "empty array": [], "15 elements": Array(15).fill(1), "16 elements": Array(16).fill(1),
  "empty object": {}, "object": { a: { b: [1, "two", null] } },
  "16 members": Object.fromEntries(Array.from({ length: 16 }, (_, i) => ["k" + i, i])),
};
for (const [name, value] of Object.entries(values)) packet(name, { type: 2, nsp: "/", data: ["e", value] }, { value });

// What JSON does not have: these say what they are.
const bytes = (n) => Uint8Array.from({ length: n }, (_, i) => i & 0xff);
const special = {
  undefined: [undefined, { kind: "undefined" }],
  NaN: [NaN, { kind: "nan" }],
  Infinity: [Infinity, { kind: "inf" }],
  "Date": [new Date(1700000000123), { kind: "date", ms: 1700000000123 }],
  "Date before 1970": [new Date(-1), { kind: "date", ms: -1 }],
  "Date far away": [new Date(8.64e15), { kind: "date", ms: 8.64e15 }],
};
for (const n of [0, 1, 8, 16, 255, 256]) {
  special[`Buffer of ${n}`] = [Buffer.from(bytes(n)), { kind: "buffer", n }];
  special[`ArrayBuffer of ${n}`] = [bytes(n).buffer, { kind: "arraybuffer", n }];
  special[`Uint8Array of ${n}`] = [bytes(n), { kind: "arraybuffer", n }];
}
for (const [name, [value, extra]] of Object.entries(special)) packet(name, { type: 2, nsp: "/", data: ["e", value] }, extra);

// The package has another encoder for browsers, where an ArrayBuffer is plain binary.
const browser = require("notepack.io/browser/encode.js");
for (const [name, value, extra] of [
  ["undefined", undefined, { kind: "undefined" }],
  ["Date", new Date(1700000000123), { kind: "date", ms: 1700000000123 }],
  ["ArrayBuffer of 8", bytes(8).buffer, { kind: "buffer", n: 8 }],
  ["ArrayBuffer of 256", bytes(256).buffer, { kind: "buffer", n: 256 }],
  ["values", [1.5, -33, 2 ** 53, "\u00e9", null, true, "x".repeat(40)], { value: [1.5, -33, 2 ** 53, "\u00e9", null, true, "x".repeat(40)] }],
]) {
  const hex = Buffer.from(browser({ type: 2, nsp: "/", data: ["e", value] })).toString("hex");
  console.log(JSON.stringify({ name: `browser: ${name}`, hex, ...extra }));
}
