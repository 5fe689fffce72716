// The page's side of the chat. The server's side is ../main.go; both list the same events.
//
//   to the server    join {name, room, after} → ack {messages} or {error}; "here" and "rooms" come as events
//                    say {text}               → ack message or {error}
//                    typing (volatile)
//   from the server  message {id, from, name, text, at}
//                    here [{id, name}]        everybody in the room
//                    rooms [{name, people}]   all rooms
//                    typing {id, name}        somebody else is typing

/* global io */

const $ = (id) => document.getElementById(id);
const socket = io({ autoConnect: false, reconnectionDelay: 300, reconnectionDelayMax: 3000 });

const me = { name: "", room: "", ids: new Set() }; // ids: every connection gets a new one
let lastId = 0; // newest message shown, so that after a reconnection only newer ones are asked for
let unread = 0;
let entered = false; // whether the server has let us into me.room since we chose it

// --- Connection -----------------------------------------------------------------------------------------------------

function showState(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

// Runs after every connect, the first one and those after a lost connection: the server has forgotten us by then.
socket.on("connect", () => {
  me.ids.add(socket.id);
  join();
});
socket.on("disconnect", (reason) => {
  showState("offline", "Reconnecting…");
  // "io server disconnect" is the one case in which the client does not come back by itself.
  if (reason === "io server disconnect") socket.connect();
});
socket.on("connect_error", () => showState("offline", "Reconnecting…"));

async function join() {
  const room = me.room;
  showState("connecting", "Connecting…");
  let answer;
  try {
    answer = await socket.timeout(5000).emitWithAck("join", { name: me.name, room, after: lastId });
  } catch {
    if (socket.connected) join(); // no answer in time; after a lost connection "connect" does it
    return;
  }
  if (room !== me.room) return; // the user has moved on meanwhile
  if (answer.error) {
    leaveWithError(answer.error.message);
    return;
  }
  $("enter").hidden = true;
  $("chat").hidden = false;
  showState("connected", "Connected");
  // Messages can arrive by event before this answer does; show() skips what is there already.
  for (const message of answer.messages) show(message, !entered);
  if (!entered) {
    entered = true;
    toBottom();
    if (matchMedia("(pointer: fine)").matches) $("text").focus(); // on a phone it would open the keyboard
  }
}

function leaveWithError(text) {
  socket.disconnect();
  $("chat").hidden = true;
  $("enter").hidden = false;
  $("enter-error").textContent = text;
  $("name").focus();
}

// --- Entering and changing rooms ------------------------------------------------------------------------------------

$("enter-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("enter-error").textContent = "";
  me.name = $("name").value.trim();
  enter($("first-room").value);
  socket.connect();
});

$("room-form").addEventListener("submit", (event) => {
  event.preventDefault();
  change($("room").value);
  $("room").value = "";
});

function enter(room) {
  me.room = room.trim();
  $("title").textContent = me.room;
  document.title = `${me.room} – Chat`;
  $("messages").replaceChildren();
  lastId = 0;
  entered = false;
  setUnread(0);
  typists.clear();
  showTyping();
}

function change(room) {
  openSide(false);
  if (!room.trim() || room.trim() === me.room) return;
  enter(room);
  if (socket.connected) join();
}

function openSide(open) {
  $("side").classList.toggle("open", open);
  $("toggle").setAttribute("aria-expanded", String(open));
}
$("toggle").addEventListener("click", () => openSide(!$("side").classList.contains("open")));
document.addEventListener("keydown", (event) => event.key === "Escape" && openSide(false));

// --- Rooms and people -----------------------------------------------------------------------------------------------

socket.on("here", showHere);
socket.on("rooms", showRooms);

function showHere(people) {
  $("here").replaceChildren(
    ...people.map(({ id, name }) => {
      const item = element("li", id === socket.id ? `${name} (you)` : name);
      item.classList.toggle("me", id === socket.id);
      return item;
    }),
  );
}

function showRooms(rooms) {
  $("rooms").replaceChildren(
    ...rooms.map(({ name, people }) => {
      const button = element("button", "");
      button.type = "button";
      button.append(element("span", name, "name"), element("span", people, "count"));
      button.setAttribute("aria-label", `${name}, ${people} here`);
      if (name === me.room) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => change(name));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
}

// --- Messages -------------------------------------------------------------------------------------------------------

socket.on("message", (message) => show(message));

$("say-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  const room = me.room;
  const item = draw({ name: me.name, text, at: Date.now(), from: socket.id });
  item.classList.add("mine", "pending");
  toBottom();
  try {
    // Not buffered while offline: a message that waits for minutes is worse than one the user sends again.
    if (!socket.connected) throw new Error("offline");
    const answer = await socket.timeout(5000).emitWithAck("say", { text });
    if (answer.error) throw new Error(answer.error.message);
    if (room !== me.room) return;
    // The server's number decides the order: take the place the message has there.
    item.remove();
    show(answer, true);
  } catch {
    item.classList.replace("pending", "failed");
    item.querySelector(".meta").append(element("span", "Not sent", "error"));
  }
});

// show adds a message of the room at its place, unless it is there already.
function show(message, quiet = false) {
  if (typists.delete(message.from)) showTyping();
  const list = $("messages");
  if (list.querySelector(`[data-id="${message.id}"]`)) return;
  const follow = atBottom();
  const mine = me.ids.has(message.from);
  const item = draw(message);
  item.classList.toggle("mine", mine);
  item.dataset.id = message.id;
  // Usually the newest; not when our own one was acknowledged before somebody else's earlier one arrived.
  const later = [...list.children].find((other) => Number(other.dataset.id) > message.id);
  if (later) list.insertBefore(item, later);
  lastId = Math.max(lastId, message.id);
  if (follow || mine) toBottom();
  else if (!quiet) setUnread(unread + 1);
}

function draw({ name, text, at }) {
  const meta = element("div", "", "meta");
  const time = element("time", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = new Date(at).toISOString();
  meta.append(element("span", name, "from"), time);
  const item = element("li", "", "message");
  item.append(meta, element("p", text));
  $("messages").append(item);
  return item;
}

// Text always goes in as text, never as markup.
function element(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

// --- Scrolling ------------------------------------------------------------------------------------------------------
// Who reads older messages is not pulled away from them by new ones, but told about them.

function atBottom() {
  const { scrollHeight, scrollTop, clientHeight } = $("scroller");
  return scrollHeight - scrollTop - clientHeight < 60;
}

function toBottom() {
  $("scroller").scrollTop = $("scroller").scrollHeight;
  setUnread(0);
}

function setUnread(n) {
  unread = n;
  $("unread").hidden = n === 0;
  $("unread").textContent = n === 1 ? "1 new message ↓" : `${n} new messages ↓`;
}

$("scroller").addEventListener("scroll", () => atBottom() && setUnread(0));
$("unread").addEventListener("click", toBottom);
// A keyboard sliding in makes the list lower: stay at the end if we were there.
new ResizeObserver(() => unread === 0 && toBottom()).observe($("scroller"));

// --- Typing ---------------------------------------------------------------------------------------------------------

const typists = new Map(); // socket id → { name, until }
const typingFor = 3000; // ms

let lastTold = 0;
$("text").addEventListener("input", () => {
  const now = Date.now();
  if (now - lastTold < typingFor / 2 || !$("text").value) return;
  lastTold = now;
  socket.volatile.emit("typing"); // may get lost; it is repeated and forgotten soon
});
$("say-form").addEventListener("submit", () => (lastTold = 0));

socket.on("typing", ({ id, name }) => {
  typists.set(id, { name, until: Date.now() + typingFor });
  showTyping();
  setTimeout(showTyping, typingFor + 50);
});

function showTyping() {
  for (const [id, { until }] of typists) if (until < Date.now()) typists.delete(id);
  const names = [...typists.values()].map((t) => t.name);
  $("typing").textContent =
    names.length === 0 ? "" : names.length === 1 ? `${names[0]} is typing…` : names.length === 2 ? `${names[0]} and ${names[1]} are typing…` : "Several people are typing…";
}
