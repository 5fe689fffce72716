package sio

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"github.com/epio-go/epio/adapter"
)

// resume is what a socket has for connection state recovery. Positions in the log are
// offsets, as the client sees them.
//
// The client takes the last argument of any event without acknowledgement for an offset,
// if it is a string: also of events that have none, which are volatile ones mostly. (Of
// an event without arguments that is its name.) It also keeps what it took in an earlier
// session. So what a client comes back with may be
//
//   - an offset of the log, when the last such event had one;
//   - a string of the application: trail remembers where those were sent;
//   - what it came with the last time, or nothing: it has got no such event since.
//
// When a string may mean several places, the client is not recovered.
type resume struct {
	// immutable once others know the socket
	pid       string
	recovered bool
	offset    string // what the client of a new socket came with; owned by the connect job

	// guarded by Socket.mu
	waiting bool   // back, but not connected yet: events to the socket go to the log alone
	missed  bool   // an event of the log came after the socket was gone
	origin  string // position in which the first socket of this pid began
	since   string // position in which this one began
	last    string // position of the last event of the log that was sent, since at first
	goneAt  time.Time
	left    string // position when the socket was gone; empty if not known
	came    hash   // of what the client came with as offset, 0 for nothing
	real    bool   // that was an offset
	trail   trail
}

// hash stands for a string of the application. It is never 0.
type hash uint64

// hashOf is the same in all servers of a cluster.
func hashOf(s string) hash {
	var sum [sha256.Size]byte
	if len(s) <= 128 {
		var short [128]byte // no allocation
		sum = sha256.Sum256(short[:copy(short[:], s)])
	} else {
		sum = sha256.Sum256([]byte(s))
	}
	return hash(binary.LittleEndian.Uint64(sum[:]) | 1)
}

// misleading returns what a client takes for an offset when it gets an event without
// one, as a hash; 0 if nothing.
func misleading(event string, args []any) hash {
	if len(args) == 0 {
		return hashOf(event)
	}
	if s, ok := args[len(args)-1].(string); ok {
		return hashOf(s)
	}
	// Other types may become strings in JSON: time.Time, or what has a MarshalText
	// method. Not found in the trail, they are unknown offsets, which is safe.
	return 0
}

// maxTrail is how many strings a trail remembers.
const maxTrail = 64

// trail remembers the strings that a client may take for offsets, and after which event
// of the log they were sent.
type trail struct {
	marks []mark // oldest first
	// lost is the position of marks that had to be forgotten; blurred says that there
	// were several.
	lost    string
	blurred bool
}

type mark struct {
	h  hash
	at string
}

// add notes that h was sent in position at.
func (t *trail) add(h hash, at string) {
	for i := len(t.marks) - 1; i >= 0 && t.marks[i].at == at; i-- {
		if t.marks[i].h == h {
			return
		}
	}
	if len(t.marks) == maxTrail {
		gone := t.marks[0].at
		t.blurred = t.blurred || t.lost != "" && t.lost != gone
		t.lost = gone
		copy(t.marks, t.marks[1:])
		t.marks = t.marks[:maxTrail-1]
	}
	t.marks = append(t.marks, mark{h, at})
}

// find returns the one position that h stands for. known says that h was sent, or may
// have been; it is ambiguous when at is empty then.
func (t *trail) find(h hash) (at string, known bool) {
	for _, m := range t.marks {
		if m.h != h {
			continue
		}
		if at != "" && at != m.at {
			return "", true
		}
		at = m.at
	}
	if at != "" && t.forgot(at) {
		return "", true // the client may have an earlier one
	}
	return at, at != ""
}

// forgot reports whether marks were forgotten that have another position.
func (t *trail) forgot(at string) bool { return t.blurred || t.lost != "" && t.lost != at }

// resolve returns the position from which a client is to be replayed that came with this
// offset, or with none. It reports false when that is not clear. A position that the
// client has named is checked by the adapter.
func (r *resume) resolve(offset string, given bool) (from string, ok bool) {
	if !given {
		from = r.since
	} else {
		h := hashOf(offset)
		at, sent := r.trail.find(h)
		switch {
		case sent && (at == "" || looksAlike(offset, at)):
			return "", false
		case sent && h == r.came && at != r.since:
			return "", false
		case sent:
			from = at
		case h == r.came && !r.real && r.trail.forgot(r.since):
			return "", false // it may have been sent again
		case h == r.came:
			from = r.since
		default:
			from = offset
		}
	}
	if len(from) > adapter.MaxOffset {
		return "", false
	}
	if from == r.last && r.left != "" {
		// It has everything that was sent to it, so it does not matter whether the log
		// still reaches back to where that was.
		from = r.left
	}
	return from, from != ""
}

// begin makes r the state of a socket that enters the log in the position since. offset
// is what the client came with, if anything; known says that the server could make
// something of it. Otherwise it counts only if it is an offset by its looks: an
// application may use the name for something of its own, which then wins.
func (r *resume) begin(since, offset string, known bool) {
	r.since, r.last = since, since
	if r.origin == "" {
		r.origin = since
	}
	r.real = looksAlike(offset, since)
	if offset != "" && (known || r.real) {
		r.came = hashOf(offset)
	}
}

// looksAlike reports whether a string has the form of an offset.
func looksAlike(s, offset string) bool {
	const tag = 4
	return len(s) == len(offset) && len(s) > tag && strings.HasPrefix(s, offset[:tag])
}

// The form of Session.State: a version, flags, came, and strings with their length in
// front: since, last, left, lost, then the marks.
const (
	stateVersion = 1
	flagBlurred  = 1
	flagReal     = 2
)

// marshal returns what has to be remembered while the client is away.
func (r *resume) marshal() []byte {
	b := make([]byte, 0, 64+20*len(r.trail.marks))
	b = append(b, stateVersion, 0)
	if r.trail.blurred {
		b[1] |= flagBlurred
	}
	if r.real {
		b[1] |= flagReal
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(r.came))
	for _, s := range []string{r.since, r.last, r.left, r.trail.lost} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	for _, m := range r.trail.marks {
		b = binary.LittleEndian.AppendUint64(b, uint64(m.h))
		b = append(binary.AppendUvarint(b, uint64(len(m.at))), m.at...)
	}
	return b
}

// unmarshal is the inverse. It reports false for what marshal has not made. What is
// empty stands for a session of another implementation.
func (r *resume) unmarshal(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if len(b) < 10 || b[0] != stateVersion {
		return false
	}
	r.trail.blurred = b[1]&flagBlurred != 0
	r.real = b[1]&flagReal != 0
	r.came = hash(binary.LittleEndian.Uint64(b[2:]))
	b = b[10:]
	ok := true
	str := func() string {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			b, ok = nil, false
			return ""
		}
		s := string(b[k : k+int(n)])
		b = b[k+int(n):]
		return s
	}
	for _, p := range []*string{&r.since, &r.last, &r.left, &r.trail.lost} {
		*p = str()
	}
	for ok && len(b) > 0 {
		if len(b) < 8 || len(r.trail.marks) == maxTrail {
			return false
		}
		h := hash(binary.LittleEndian.Uint64(b))
		b = b[8:]
		r.trail.marks = append(r.trail.marks, mark{h, str()})
	}
	return ok
}
