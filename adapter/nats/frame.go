package nats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// What is published begins with a byte that says what follows. One that is not known is
// of a later version, and ignored.
const (
	// whole is followed by a message of package cluster.
	whole = 1
	// part is followed by a piece of what would be too large for NATS otherwise:
	//
	//	length of the sender's uid   1 byte
	//	uid
	//	number of the message        4 bytes, each sender counts its own
	//	length of the message        4 bytes, with the byte whole
	//	offset of the piece          4 bytes
	//	piece
	part = 2
	// ask and answer are what a barrier is made of, see barrier:
	//
	//	length of the sender's uid   1 byte
	//	uid
	//	number of the question       8 bytes
	ask    = 3
	answer = 4
	// entry is a message in the log, whose namespace is known from its subject:
	//
	//	length of the sender's uid   1 byte
	//	uid
	//	type of the message          1 byte
	//	its member data              msgpack
	entry = 5
)

// maxMessage bounds one message, in bytes, put together from its parts. NATS servers
// hold 64 MiB for a client by default, and disconnect one that leaves more.
const maxMessage = 32 << 20

// errTooLarge is the reason why a message is refused.
var errTooLarge = fmt.Errorf("adapter/nats: message is larger than %d MiB", maxMessage>>20)

var (
	errVersion   = errors.New("adapter/nats: message of a version that is not known")
	errMalformed = errors.New("adapter/nats: malformed part of a message")
	errMissing   = errors.New("adapter/nats: part of a message is missing")
)

// appendUID begins a frame of the given kind.
func appendUID(b []byte, kind byte, uid string) []byte {
	b = append(b, kind, byte(len(uid)))
	return append(b, uid...)
}

// cutUID takes apart what appendUID has begun.
func cutUID(p []byte) (uid string, rest []byte, ok bool) {
	if len(p) < 2 {
		return "", nil, false
	}
	end := 2 + int(p[1]) // as bytes they may overflow
	if len(p) < end {
		return "", nil, false
	}
	uid = string(p[2:end])
	return uid, p[end:], isToken(uid)
}

const partFields = 12 // bytes

// split cuts a frame into parts that are not longer than limit bytes, and calls send
// with each, until that fails. The slice is borrowed.
func split(uid string, number uint32, frame []byte, limit int, send func(p []byte) error) error {
	head := 2 + len(uid) + partFields
	step := limit - head
	if step <= 0 {
		return errTooLarge
	}
	b := make([]byte, 0, limit)
	for at := 0; at < len(frame); at += step {
		b = appendUID(b[:0], part, uid)
		b = binary.BigEndian.AppendUint32(b, number)
		b = binary.BigEndian.AppendUint32(b, uint32(len(frame)))
		b = binary.BigEndian.AppendUint32(b, uint32(at))
		b = append(b, frame[at:min(len(frame), at+step)]...)
		if err := send(b); err != nil {
			return err
		}
	}
	return nil
}

// parts puts messages together. The parts of one come one after the other, but between
// those of other senders. It is owned by the goroutine that receives.
type parts struct {
	open  map[string]*partial // by the sender's uid
	bytes int                 // of all
}

type partial struct {
	number uint32
	total  int
	b      []byte
	at     time.Time // when the last part came
}

const (
	maxPartials     = 64
	maxPartialBytes = 2 * maxMessage
	// partialAge is how long the next part is waited for when there is no room.
	partialAge = 10 * time.Second
)

// add takes in one part, and returns the frame if it was the last one.
func (ps *parts) add(p []byte) ([]byte, error) {
	uid, rest, ok := cutUID(p)
	if !ok || len(rest) <= partFields {
		return nil, errMalformed
	}
	number := binary.BigEndian.Uint32(rest)
	total := binary.BigEndian.Uint32(rest[4:])
	offset := binary.BigEndian.Uint32(rest[8:])
	piece := rest[partFields:]
	if total > maxMessage {
		return nil, errTooLarge
	}
	m := ps.open[uid]
	if offset == 0 {
		ps.drop(uid) // the sender has given it up, or its rest got lost
		m = &partial{number: number, total: int(total)}
		if !ps.admit(uid, m) {
			return nil, errTooLarge
		}
	}
	if m == nil {
		return nil, errMissing
	}
	if m.number != number || m.total != int(total) || len(m.b) != int(offset) || len(m.b)+len(piece) > m.total {
		ps.drop(uid)
		return nil, errMissing
	}
	m.at = time.Now()
	if ps.bytes+len(piece) > maxPartialBytes {
		ps.expire()
		if ps.bytes+len(piece) > maxPartialBytes {
			ps.drop(uid)
			return nil, errTooLarge
		}
	}
	m.b = append(m.b, piece...)
	ps.bytes += len(piece)
	if len(m.b) < m.total {
		return nil, nil
	}
	ps.drop(uid)
	return m.b, nil
}

// admit makes room for one more, if it can.
func (ps *parts) admit(uid string, m *partial) bool {
	if len(ps.open) >= maxPartials {
		ps.expire()
	}
	if len(ps.open) >= maxPartials {
		return false
	}
	if ps.open == nil {
		ps.open = make(map[string]*partial)
	}
	m.at = time.Now()
	ps.open[uid] = m
	return true
}

func (ps *parts) drop(uid string) {
	if m := ps.open[uid]; m != nil {
		ps.bytes -= len(m.b)
		delete(ps.open, uid)
	}
}

// expire drops what has waited for its next part for too long.
func (ps *parts) expire() {
	for uid, m := range ps.open {
		if time.Since(m.at) > partialAge {
			ps.drop(uid)
		}
	}
}
