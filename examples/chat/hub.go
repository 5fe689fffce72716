package main

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// hub is what the chat remembers: who is in which room, and what was said there lately. All methods are safe for concurrent
// use.
//
// The functions passed in are called with the hub locked, so that pages get announcements in the order of what happened.
// That is fine for Emit, which never blocks and calls nobody back.
type hub struct {
	mu     sync.Mutex
	people map[string]person // by socket id
	rooms  map[string]*room
	nextID int64
	now    func() time.Time
}

type person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	room string
}

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
	people   []person  // in the order they came
	messages []message // the last ones
	used     time.Time
}

// announcer is told about a room in which somebody has come or gone.
type announcer func(room string, here []person, rooms []roomInfo)

const (
	maxMessages = 100  // kept for each room
	maxRooms    = 1000 // remembered, beyond those with people in them
)

func newHub() *hub {
	h := &hub{people: map[string]person{}, rooms: map[string]*room{}, now: time.Now}
	// Numbers go on growing after a restart, so that pages which stayed open can still ask for what is new.
	h.nextID = h.now().UnixMilli()
	return h
}

// join puts somebody into p.room, and returns what was said there after the message after. It tells the room, the newcomer
// included; who is there must not also be in what join returns, which another newcomer's announcement may overtake.
func (h *hub) join(p person, after int64, tell announcer) []message {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[p.room]
	if r == nil {
		h.forget()
		r = &room{}
		h.rooms[p.room] = r
	}
	h.people[p.ID] = p
	r.people = append(r.people, p)
	r.used = h.now()
	tell(p.room, r.people, h.list())
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
	tell(p.room, r.people, h.list())
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
	m := message{ID: h.nextID, From: id, Name: p.Name, Text: text, At: h.now().UnixMilli()}
	h.nextID++
	r := h.rooms[p.room]
	if len(r.messages) == maxMessages {
		r.messages = slices.Delete(r.messages, 0, 1)
	}
	r.messages = append(r.messages, m)
	send(p.room, m)
	return m, true
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
	rooms := make([]roomInfo, 0, len(h.rooms))
	for name, r := range h.rooms {
		if len(r.people) > 0 {
			rooms = append(rooms, roomInfo{Name: name, People: len(r.people)})
		}
	}
	slices.SortFunc(rooms, func(a, b roomInfo) int { return cmp.Compare(a.Name, b.Name) })
	return rooms
}

// forget makes place for another room by giving up the one that has been empty longest. The caller holds the lock.
func (h *hub) forget() {
	if len(h.rooms) < maxRooms {
		return
	}
	empty := slices.Collect(func(yield func(string) bool) {
		for name, r := range h.rooms {
			if len(r.people) == 0 && !yield(name) {
				return
			}
		}
	})
	if len(empty) > 0 {
		delete(h.rooms, slices.MinFunc(empty, func(a, b string) int { return h.rooms[a].used.Compare(h.rooms[b].used) }))
	}
}
