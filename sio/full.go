package sio

import (
	"fmt"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// FullPolicy says what to do with a packet for a connection whose send buffer
// (Engine.SendBuffer) has no room for it.
type FullPolicy uint8

const (
	// CloseWhenFull closes the connection with the reason SlowClient. The client
	// reconnects and starts afresh, which no silent gap would tell it to do.
	CloseWhenFull FullPolicy = iota
	// DropWhenFull drops the packet; Emit returns ErrBufferFull.
	DropWhenFull
	// DropOldestWhenFull drops older events in favour of the new one: those that were
	// emitted with this policy, too, of which nothing has been written yet. Acknowledgements, and
	// events that wait for one, are never dropped for others. Always whole packets are dropped, with their
	// attachments. If that does not make enough room the new one is dropped, as with DropWhenFull.
	DropOldestWhenFull
	// ReportWhenFull drops the packet like DropWhenFull, and has broadcasts say so: their
	// Emit returns a *FullError when sockets on this server did not get the packet. With
	// Target.Strict, it is the *BroadcastError that has them.
	ReportWhenFull
)

// String returns the policy's name for logs and metrics.
func (p FullPolicy) String() string {
	switch p {
	case CloseWhenFull:
		return "close"
	case DropWhenFull:
		return "drop newest"
	case DropOldestWhenFull:
		return "drop oldest"
	case ReportWhenFull:
		return "report"
	}
	return fmt.Sprintf("FullPolicy(%d)", uint8(p))
}

// FullError says that a broadcast did not fit into the send buffers of some sockets. It
// matches ErrBufferFull.
type FullError struct {
	// Sockets is how many sockets on this server have missed the event. The others have it.
	Sockets int
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("sio: send buffer full: %d sockets missed the event", e.Sockets)
}

// Is makes a FullError match ErrBufferFull.
func (e *FullError) Is(target error) bool { return target == ErrBufferFull }

// fullChoice is the policy of one emit. The zero value is the server's.
type fullChoice uint8

func (c fullChoice) policy(srv *Server) FullPolicy {
	if c == 0 {
		return srv.cfg.WhenFull
	}
	return FullPolicy(c - 1)
}

// chosen is the choice of p.
func chosen(p FullPolicy) fullChoice { return fullChoice(p + 1) }

// WhenFull says what happens to the packet where the send buffer is full, in place of
// Config.WhenFull. It concerns sockets on this server; on others their own
// configuration counts. It panics when p is not a policy.
func (t Target) WhenFull(p FullPolicy) Target {
	if p > ReportWhenFull {
		panic(fmt.Sprintf("sio: WhenFull: %v is not a policy", p))
	}
	t.full = chosen(p)
	return t
}

// WhenFull returns a target for this socket; see Target.WhenFull.
func (s *Socket) WhenFull(p FullPolicy) Target { return Target{ns: s.ns, only: s}.WhenFull(p) }

// WhenFull selects all sockets; see Target.WhenFull.
func (n *Namespace) WhenFull(p FullPolicy) Target { return n.All().WhenFull(p) }

// WhenFull selects all sockets of "/"; see Target.WhenFull.
func (srv *Server) WhenFull(p FullPolicy) Target { return srv.root.WhenFull(p) }

// Buffered returns the packets and the bytes that wait for the connection, which the
// socket shares with the connection's other namespaces. It has to look at the whole
// queue: do not call it for every packet, see Config.OnSlow.
func (s *Socket) Buffered() (packets, bytes int) { return s.c.sess.Backlog() }

// sendFull is send with a policy. It takes f.
func (s *Socket) sendFull(f *pool.Frame, p FullPolicy) error {
	if s.state.Load() == gone {
		f.Release()
		return ErrClosed
	}
	s.c.srv.traffic.sent(s.c, 1, f.Len())
	if p != DropOldestWhenFull {
		return s.sentAs(s.c.sess.Send(f), p)
	}
	dropped, err := s.c.sess.SendReplacing(f)
	if dropped > 0 {
		s.c.srv.dropped(s, dropped)
	}
	return s.sentAs(err, p)
}

// sentAs translates the session's answer and applies the policy for full buffers. It may
// be called with an index lock held.
func (s *Socket) sentAs(err error, p FullPolicy) error {
	switch err {
	case nil:
		return nil
	case eio.ErrBufferFull:
		if p == CloseWhenFull {
			s.c.full()
		}
		return ErrBufferFull
	}
	return ErrClosed
}

// queueFull queues f, a broadcast's frame in the given form, and returns how many frames
// were dropped for it. It takes f.
func (s *Socket) queueFull(f *pool.Frame, form codec.Form, batch *engine.Batch, p FullPolicy) (dropped int, err error) {
	sess := s.c.sess
	switch {
	case p == DropOldestWhenFull && form == codec.FormPlain:
		return sess.QueueReplacing(f, batch)
	case p == DropOldestWhenFull:
		return sess.QueueFormReplacing(f, batch)
	case form == codec.FormPlain:
		return 0, sess.Queue(f, batch)
	}
	return 0, sess.QueueForm(f, batch)
}

// loss is what a socket lost in a broadcast.
type loss struct {
	s       *Socket
	packets int
}

// losses collects, under an index lock, what is told about when the walk is over.
type losses struct {
	list []loss
	full int // sockets that missed the event itself
}

// note remembers that s lost packets older than b, or b itself when err says so.
func (l *losses) note(s *Socket, older int, err error) {
	if err == ErrBufferFull {
		l.full++
		older++
	}
	if older > 0 {
		l.list = append(l.list, loss{s, older})
	}
}

// tell reports all losses.
func (l *losses) tell(srv *Server) {
	for _, e := range l.list {
		srv.dropped(e.s, e.packets)
	}
	*l = losses{}
}

// dropped counts and reports packets that s will not get because its buffer is full. No
// lock is held.
func (srv *Server) dropped(s *Socket, packets int) {
	srv.counts.dropped.Add(int64(packets))
	if fn := srv.cfg.Hooks.Drop; fn != nil {
		srv.observe("Drop", func() { fn(s, packets) })
	}
}

// flowHook returns what the engine calls when a session becomes slow or fast.
func flowHook(first func(*eio.Session, int), fn func(*Socket, int)) func(*eio.Session, int) {
	if fn == nil {
		return first
	}
	return func(sess *eio.Session, buffered int) {
		if first != nil {
			first(sess, buffered)
		}
		c := sess.Data().(*client)
		c.mu.Lock()
		all := c.socketsLocked()
		c.mu.Unlock()
		for _, s := range all {
			if s.Connected() {
				s.protect("flow hook", func() error { fn(s, buffered); return nil })
			}
		}
	}
}
