package eio

import (
	"sync/atomic"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// Message is one message, of text, which must be valid UTF-8, or binary.
type Message struct {
	Data   []byte
	Binary bool
}

// SendFunc is Send, and calls done when it is known what became of f, once in any case: with nil
// when the last byte has left the process, that is, has been taken by the kernel or by the
// answer to a poll; with ErrBufferFull or ErrClosed when it never will. That the peer has got it
// is more than anybody here can know.
//
// The caller must hold the only reference to f, which must not be static. done runs where the
// later hooks do, see [Hooks].
func (s *Session) SendFunc(f *pool.Frame, done func(error)) {
	d := &delivery{notes: s.srv.notes, done: done}
	d.open.Store(2)
	f.SetNotify(func(sent bool) {
		d.sent = sent
		d.part()
	})
	d.err = s.Send(f)
	d.part()
}

// delivery is a call of SendFunc. done is due when the frame is gone and Send has returned,
// whichever is last.
type delivery struct {
	notes *notifier
	done  func(error)
	open  atomic.Int32 // of these two
	sent  bool
	err   error
}

func (d *delivery) part() {
	if d.open.Add(-1) > 0 {
		return
	}
	if d.err == nil && !d.sent {
		d.err = ErrClosed
	}
	d.notes.post(func() { d.done(d.err) })
}

// SendAll sends several messages as one, a copy of them: all or none are taken, nothing that others
// send gets in between, and on polling the same answer has them all. Errors are those of Send.
func (s *Session) SendAll(messages ...Message) error {
	if len(messages) == 0 {
		return nil
	}
	n := 0
	for _, m := range messages {
		n += codec.MaxWSHeader + 1 + len(m.Data)
	}
	b := pool.Get(n)
	for _, m := range messages {
		if m.Binary {
			b.B = codec.AppendWSHeader(b.B, ws.OpBinary, len(m.Data))
		} else {
			b.B = append(codec.AppendWSHeader(b.B, ws.OpText, 1+len(m.Data)), byte(codec.Message))
		}
		b.B = append(b.B, m.Data...)
	}
	return s.Send(b.Seal(0))
}

// SendMessageVolatile is SendVolatile for one message, a copy of data. It reports whether the message
// was taken.
func (s *Session) SendMessageVolatile(data []byte, binary bool) bool {
	if binary {
		return s.SendVolatile(codec.NewBinaryFrame(data))
	}
	return s.SendVolatile(codec.NewTextFrame(codec.Message, data))
}

// Writable reports whether the transport would take a packet at once, that is, whether SendVolatile would
// take one now: nothing is on its way on the WebSocket, or a poll is parked that nobody has answered.
func (s *Session) Writable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.m.phase != phaseOpen:
		return false
	case s.conn.Load() != nil:
		return s.conn.Load().Buffered() == 0
	case s.m.transport != Polling: // on its way into the engine
		return len(s.out.frames) == 0
	}
	return s.out.writable()
}
