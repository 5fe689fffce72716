package chatroom

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// hub is what the chat remembers: who is in which room, on this server and on others, and what was said there lately. All
// methods are safe for concurrent use.
//
// The functions passed in are called with the hub locked, so that pages get announcements in the order of what happened.
// That is fine for Emit, which never blocks and calls nobody back.
type hub struct {
	slot int64 // which of the numbers of messages are this server's, see number
	now  func() time.Time

	mu        sync.Mutex
	people    map[string]person    // on this server, by socket id
	elsewhere map[string][]person  // on others, by server
	heard     map[string]time.Time // when these said so
	rooms     map[string]*room
	lastID    int64 // the largest number of a message
}

type person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	room string
}

// maxServers is how many servers can have the chat together.
const maxServers = 64

type message struct {
	ID   int64  `json:"id"`
	From string `json:"from"` // socket id
	Name string `json:"name"`
	Text string `json:"text"`
	At   int64  `json:"at"` // ms since 1970
}

type roomInfo struct {
	Name   string `json:"name"`
	People int    `json:"people"`
}

type room struct {
	people   []person  // on this server, in the order they came
	messages []message // the last ones
	used     time.Time
}

// announcer is told about a room in which somebody has come or gone.
type announcer func(room string, here []person, rooms []roomInfo)

const (
	maxMessages = 100  // kept for each room
	maxRooms    = 1000 // remembered, beyond those with people in them
)

// newHub returns the hub of a server. slot is below maxServers, and not that of another one.
func newHub(slot int) *hub {
	return &hub{
		slot: int64(slot), now: time.Now,
		people: map[string]person{}, elsewhere: map[string][]person{}, heard: map[string]time.Time{}, rooms: map[string]*room{},
	}
}

// number returns the number of the next message. It is larger than all this server has seen, also before a restart, so that
// pages which stayed open can still ask for what is new; and no other server gives the same. The caller holds the lock.
func (h *hub) number() int64 {
	n := max(h.lastID+1, h.now().UnixMicro())
	n += (h.slot - n%maxServers + maxServers) % maxServers
	h.lastID = n
	return n
}

// join puts somebody into p.room, and returns what was said there after the message after. It tells the room, the newcomer
// included; who is there must not also be in what join returns, which another newcomer's announcement may overtake.
func (h *hub) join(p person, after int64, tell announcer) []message {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.room(p.room)
	h.people[p.ID] = p
	r.people = append(r.people, p)
	r.used = h.now()
	tell(p.room, h.here(p.room), h.list())
	newer, _ := slices.BinarySearchFunc(r.messages, after, func(m message, id int64) int { return cmp.Compare(m.ID, id+1) })
	return append([]message{}, r.messages[newer:]...) // never nil: JSON's null is no list
}

// leave takes somebody out of the room they are in.
func (h *hub) leave(id string, tell announcer) (person, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.people[id]
	if !ok {
		return person{}, false
	}
	delete(h.people, id)
	r := h.rooms[p.room]
	r.people = slices.DeleteFunc(r.people, func(q person) bool { return q.ID == id })
	r.used = h.now()
	tell(p.room, h.here(p.room), h.list())
	return p, true
}

// say adds a message of somebody to the room they are in, and has it sent there.
func (h *hub) say(id, text string, send func(room string, m message)) (message, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.people[id]
	if !ok {
		return message{}, false
	}
	m := message{ID: h.number(), From: id, Name: p.Name, Text: text, At: h.now().UnixMilli()}
	h.rooms[p.room].add(m)
	send(p.room, m)
	return m, true
}

// add puts a message where its number belongs, and reports whether it is new and among the last ones.
func (r *room) add(m message) bool {
	i, known := slices.BinarySearchFunc(r.messages, m.ID, func(m message, id int64) int { return cmp.Compare(m.ID, id) })
	full := len(r.messages) == maxMessages
	if known || full && i == 0 {
		return false
	}
	r.messages = slices.Insert(r.messages, i, m)
	if full {
		r.messages = slices.Delete(r.messages, 0, 1)
	}
	return true
}

// room returns the room with this name, a new one if need be. The caller holds the lock.
func (h *hub) room(name string) *room {
	r := h.rooms[name]
	if r == nil {
		h.forget()
		r = &room{}
		h.rooms[name] = r
	}
	return r
}

// here returns who is in a room: who is on this server first. The caller holds the lock.
func (h *hub) here(name string) []person {
	people := []person{} // never nil: JSON's null is no list
	if r := h.rooms[name]; r != nil {
		people = append(people, r.people...)
	}
	for _, server := range slices.Sorted(maps.Keys(h.elsewhere)) {
		for _, p := range h.elsewhere[server] {
			if p.room == name {
				people = append(people, p)
			}
		}
	}
	return people
}

// person returns who has the socket id, if they are in a room.
func (h *hub) person(id string) (person, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.people[id]
	return p, ok
}

// list returns the rooms with people in them, by name. The caller holds the lock.
func (h *hub) list() []roomInfo {
	count := h.count()
	rooms := make([]roomInfo, 0, len(count))
	for name, n := range count {
		rooms = append(rooms, roomInfo{Name: name, People: n})
	}
	slices.SortFunc(rooms, func(a, b roomInfo) int { return cmp.Compare(a.Name, b.Name) })
	return rooms
}

// count returns how many people are in each room with people. The caller holds the lock.
func (h *hub) count() map[string]int {
	count := map[string]int{}
	for _, p := range h.people {
		count[p.room]++
	}
	for _, people := range h.elsewhere {
		for _, p := range people {
			count[p.room]++
		}
	}
	return count
}

// forget makes place for another room by giving up the one that has been empty longest. The caller holds the lock.
func (h *hub) forget() {
	if len(h.rooms) < maxRooms {
		return
	}
	count := h.count()
	empty := slices.Collect(func(yield func(string) bool) {
		for name := range h.rooms {
			if count[name] == 0 && !yield(name) {
				return
			}
		}
	})
	if len(empty) > 0 {
		delete(h.rooms, slices.MinFunc(empty, func(a, b string) int { return h.rooms[a].used.Compare(h.rooms[b].used) }))
	}
}
