package adapter

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/epio-go/epio/pool"
)

// packetLog holds the last packets of a namespace, as they were encoded, oldest first.
// Each has a number, one more than the one before, which is also in its offset. It is
// not safe for concurrent use and reads no clock.
type packetLog struct {
	tag string // of all its offsets: those of another log are not mistaken for its own

	ring  []logged // a power of two
	head  int      // slot of the oldest
	len   int
	first uint64 // number of the oldest, or of the next one if there is none
	bytes int

	maxLen, maxBytes int
	maxAge           time.Duration
}

// logged is one packet in the log and whom it was for.
type logged struct {
	frame *pool.Frame // one reference
	at    time.Time
	// to is the only room, or with alone set the id of the only socket; rooms are the
	// rooms if they are several. Neither: everybody.
	to     string
	alone  bool
	rooms  []string
	except []string
}

// loggedOverhead is what an entry is taken to cost besides its bytes: the entry, the
// frame's header, the names.
const loggedOverhead = 256

// The parts of an offset: a tag and a number, each in characters of 6 bits.
const (
	tagLen    = 4
	numberLen = 8
	offsetLen = tagLen + numberLen
)

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func newPacketLog(c RecoveryConfig) *packetLog {
	var b [tagLen * 6 / 8]byte
	rand.Read(b[:])
	return &packetLog{
		tag:      base64.RawURLEncoding.EncodeToString(b[:]),
		first:    1,
		maxLen:   c.LogPackets,
		maxBytes: c.LogBytes,
		maxAge:   c.LogAge,
	}
}

// last returns the number of the newest packet there ever was, 0 at first.
func (l *packetLog) last() uint64 { return l.first + uint64(l.len) - 1 }

// offset returns the offset of packet n.
func (l *packetLog) offset(n uint64) string {
	var b [offsetLen]byte
	copy(b[:], l.tag)
	for i := offsetLen - 1; i >= tagLen; i-- {
		b[i] = digits[n&63]
		n >>= 6
	}
	return string(b[:])
}

// number is the inverse of offset. It reports false for what is no offset of this log.
func (l *packetLog) number(offset string) (uint64, bool) {
	if len(offset) != offsetLen || offset[:tagLen] != l.tag {
		return 0, false
	}
	var n uint64
	for i := tagLen; i < offsetLen; i++ {
		d := strings.IndexByte(digits, offset[i])
		if d < 0 {
			return 0, false
		}
		n = n<<6 | uint64(d)
	}
	return n, n <= l.last()
}

// add appends a packet. It takes e.frame.
func (l *packetLog) add(e logged) {
	if l.len == len(l.ring) {
		l.grow()
	}
	*l.slot(l.len) = e
	l.len++
	l.bytes += e.size()
	l.trim(e.at)
}

// trim drops what is beyond the limits.
func (l *packetLog) trim(now time.Time) {
	for l.len > 0 && (l.len > l.maxLen || l.bytes > l.maxBytes || now.Sub(l.slot(0).at) > l.maxAge) {
		l.dropFirst()
	}
	if l.len == 0 {
		l.ring, l.head = nil, 0
	}
}

// clear drops everything.
func (l *packetLog) clear() {
	for l.len > 0 {
		l.dropFirst()
	}
	l.ring, l.head = nil, 0
}

func (l *packetLog) dropFirst() {
	e := l.slot(0)
	l.bytes -= e.size()
	e.frame.Release()
	*e = logged{}
	l.head = (l.head + 1) & (len(l.ring) - 1)
	l.len--
	l.first++
}

func (l *packetLog) slot(i int) *logged { return &l.ring[(l.head+i)&(len(l.ring)-1)] }

func (l *packetLog) grow() {
	ring := make([]logged, max(16, 2*len(l.ring)))
	for i := range l.len {
		ring[i] = *l.slot(i)
	}
	l.ring, l.head = ring, 0
}

func (e *logged) size() int { return e.frame.Len() + loggedOverhead }

// after appends the packets behind number n that were meant for the session to dst. It
// reports false when the log does not reach back that far.
func (l *packetLog) after(dst []Missed, n uint64, s *Session) ([]Missed, bool) {
	if n+1 < l.first || n > l.last() {
		return dst, false
	}
	in := newRoomSet(s.Rooms)
	for i := int(n + 1 - l.first); i < l.len; i++ {
		if e := l.slot(i); e.meant(s, &in) {
			dst = append(dst, Missed{Frame: e.frame, Offset: l.offset(l.first + uint64(i))})
		}
	}
	return dst, true
}

// meant reports whether the packet was for the session.
func (e *logged) meant(s *Session, in *roomSet) bool {
	switch {
	case e.alone:
		return e.to == s.SID
	case e.to != "":
		if !in.has(e.to) {
			return false
		}
	case len(e.rooms) > 0:
		if !slices.ContainsFunc(e.rooms, in.has) {
			return false
		}
	}
	return !slices.ContainsFunc(e.except, in.has)
}

// roomSet is the rooms of a session.
type roomSet struct {
	few  []string
	many map[string]struct{} // instead of few
}

func newRoomSet(rooms []string) roomSet {
	if len(rooms) <= 8 {
		return roomSet{few: rooms}
	}
	s := roomSet{many: make(map[string]struct{}, len(rooms))}
	for _, r := range rooms {
		s.many[r] = struct{}{}
	}
	return s
}

func (s *roomSet) has(room string) bool {
	if s.many != nil {
		_, ok := s.many[room]
		return ok
	}
	return slices.Contains(s.few, room)
}

// selection copies what o selects into e. The application's strings are not kept: they
// may be parts of large ones.
func (e *logged) selection(o *Opts) {
	if len(o.Rooms) == 1 && o.Rooms[0] != "" {
		e.to = strings.Clone(o.Rooms[0])
	} else if len(o.Rooms) > 0 {
		e.rooms = cloneAll(o.Rooms, "")
	}
	if len(o.Except) > 0 || o.ExceptID != "" {
		e.except = cloneAll(o.Except, o.ExceptID)
	}
}

func cloneAll(names []string, one string) []string {
	all := make([]string, 0, len(names)+1)
	for _, s := range names {
		all = append(all, strings.Clone(s))
	}
	if one != "" {
		all = append(all, strings.Clone(one))
	}
	return all
}
