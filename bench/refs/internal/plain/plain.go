// Package plain is the protocol of the plain WebSocket servers, and their rooms.
//
// A message is a letter and what belongs to it, in a text or a binary frame; the
// answer comes in a frame of the same type.
//
//	client          server
//	jROOM           j                          joins
//	lROOM           l                          leaves
//	bROOM PAYLOAD   mPAYLOAD to every member   broadcasts
//	ePAYLOAD        ePAYLOAD                   echoes
package plain

import (
	"bytes"
	"errors"
	"sync"
)

// Op is the letter a message begins with.
type Op byte

// What a client may ask for.
const (
	Join      Op = 'j'
	Leave     Op = 'l'
	Broadcast Op = 'b'
	Echo      Op = 'e'
)

var errMessage = errors.New("plain: unknown message")

// Answers to Join and Leave.
var (
	Joined = []byte("j")
	Left   = []byte("l")
)

// Parse splits a message. Room is empty in an echo. Answer aliases m: it is the whole
// message of an echo, and in a broadcast what the members get.
//
// m is changed: the letter of the answer to a broadcast overwrites the space between
// room and payload.
func Parse(m []byte) (op Op, room string, answer []byte, err error) {
	if len(m) == 0 {
		return 0, "", nil, errMessage
	}
	switch op = Op(m[0]); op {
	case Join:
		return op, string(m[1:]), Joined, nil
	case Leave:
		return op, string(m[1:]), Left, nil
	case Echo:
		return op, "", m, nil
	case Broadcast:
		i := bytes.IndexByte(m, ' ')
		if i < 0 {
			return 0, "", nil, errMessage
		}
		room = string(m[1:i])
		m[i] = 'm'
		return op, room, m[i:], nil
	}
	return 0, "", nil, errMessage
}

// Rooms knows which members are in which room. All methods may be called at any time.
type Rooms[M comparable] struct {
	mu    sync.RWMutex
	rooms map[string]map[M]struct{}
	of    map[M]map[string]struct{} // rooms by member
}

// NewRooms returns an empty set of rooms.
func NewRooms[M comparable]() *Rooms[M] {
	return &Rooms[M]{rooms: make(map[string]map[M]struct{}), of: make(map[M]map[string]struct{})}
}

// Join adds a member to a room.
func (r *Rooms[M]) Join(m M, room string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rooms[room] == nil {
		r.rooms[room] = make(map[M]struct{})
	}
	r.rooms[room][m] = struct{}{}
	if r.of[m] == nil {
		r.of[m] = make(map[string]struct{}, 1)
	}
	r.of[m][room] = struct{}{}
}

// Leave removes a member from a room.
func (r *Rooms[M]) Leave(m M, room string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaveLocked(m, room)
	delete(r.of[m], room)
}

// LeaveAll removes a member from every room.
func (r *Rooms[M]) LeaveAll(m M) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for room := range r.of[m] {
		r.leaveLocked(m, room)
	}
	delete(r.of, m)
}

func (r *Rooms[M]) leaveLocked(m M, room string) {
	delete(r.rooms[room], m)
	if len(r.rooms[room]) == 0 {
		delete(r.rooms, room)
	}
}

// Each calls send for every member of a room, under a lock that keeps joins and
// leaves waiting: send must not block and not call back.
func (r *Rooms[M]) Each(room string, send func(M)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for m := range r.rooms[room] {
		send(m)
	}
}
