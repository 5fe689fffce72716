// connect opens a connection. A certificate that nobody has signed is accepted by its hash; with one that browsers
// trust, transportOptions is not needed.
async function connect(options) {
  const { sha256 } = await (await fetch("/certificate")).json();
  if (sha256) {
    const value = Uint8Array.from(atob(sha256), (c) => c.charCodeAt(0));
    options = { ...options, transportOptions: { webtransport: { serverCertificateHashes: [{ algorithm: "sha-256", value }] } } };
  }
  return io(options);
}

async function main() {
  const $ = (id) => document.getElementById(id);
  const socket = await connect({ transports: ["polling", "websocket", "webtransport"] });
  const show = () => ($("transport").textContent = socket.connected ? socket.io.engine.transport.name : "nothing");
  socket.on("connect", () => {
    show();
    socket.io.engine.on("upgrade", show);
  });
  socket.on("disconnect", show);
  socket.on("said", (transport, text) => {
    const li = document.createElement("li");
    const by = document.createElement("span");
    by.textContent = ` (sent over ${transport})`;
    li.append(text, by);
    $("said").append(li);
  });
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    socket.emit("say", $("text").value);
    $("text").value = "";
  });
}

if (!location.search.includes("idle")) main();
