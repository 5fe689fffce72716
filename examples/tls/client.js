import { readFileSync } from "node:fs";
import { io } from "socket.io-client";

const [url = "https://localhost:3443", ca = "cert.pem"] = process.argv.slice(2);

// A certificate that the system trusts needs no `ca`.
const socket = io(url, { ca: readFileSync(ca), transports: ["websocket"] });
socket.on("connect_error", (err) => console.log("refused:", err.message));
console.log("secure:", await socket.emitWithAck("secure?"));
socket.disconnect();

const stranger = io(url, { transports: ["websocket"], reconnection: false, forceNew: true });
stranger.on("connect_error", (err) => console.log("without the certificate:", err.description?.message ?? err.message));
