import { io } from "socket.io-client";

const url = process.argv[2] ?? "http://localhost:3000";

// reader prints every note once, whatever happens to its connection.
function reader() {
  let after = 0;
  const socket = io(url, { forceNew: true, reconnectionDelay: 50, auth: (send) => send({ after }) });
  socket.on("note", (note) => {
    if (note.offset <= after) return; // seen
    after = note.offset;
    console.log(`note ${note.offset}: ${note.text}`);
    waiting.get(note.offset)?.();
  });
  const waiting = new Map();
  socket.note = (offset) => new Promise((resolve) => (offset <= after ? resolve() : waiting.set(offset, resolve)));
  return socket;
}

const reading = reader();
const writing = io(url, { forceNew: true, retries: 5, ackTimeout: 200 });
const write = (text) => writing.emit("write", { key: crypto.randomUUID(), text });

// The writer repeats it until the server acknowledges it.
write("the first acknowledgement is lost");
await reading.note(1);

// The reader is away meanwhile, and gets it when it is back.
reading.io.engine.close();
write("written while nobody reads");
await reading.note(2);

write("everybody is here");
await reading.note(3);
for (const socket of [reading, writing]) socket.disconnect();
