package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/sio"
)

// sendBuffer is eio.Config.SendBuffer of the servers. What ordinary clients may have waiting is far below.
const sendBuffer = 1 << 20

// app is what the servers do for their clients.
type app struct {
	out        *reporter
	faulty     bool         // makes mistakes: faulty.go
	unanswered atomic.Int64 // acknowledgements of Gather that did not come in time

	mu sync.Mutex
	// guarded by mu
	rooms map[roomKey]*room
	ends  [4096]end // the last sockets that have disconnected, in a circle
	count int
	said  [8]string // the last that servers have logged of connections they close, in a circle
	lines int
}

// end is why a socket disconnected.
type end struct {
	session, nsp string
	at           time.Time
	reason       sio.Reason
	transport    eio.Transport
	err          error
}

// ended notes why a socket disconnected, for failures.
func (a *app) ended(s *sio.Socket, r sio.Reason) {
	_, err := s.Conn().Cause()
	e := end{s.Conn().ID(), s.Namespace().Name(), time.Now(), r, s.Transport(), err}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ends[a.count%len(a.ends)] = e
	a.count++
}

// logged notes what a server has logged of a connection.
func (a *app) logged(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said[a.lines%len(a.said)] = line
	a.lines++
}

// why tells how the sockets of a session ended. Of one that had none it tells what servers have logged last.
func (a *app) why(session string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, e := range a.ends {
		if e.session == session {
			all = append(all, fmt.Sprintf("%s %s at %s on %v (%v)", e.nsp, e.reason, e.at.Format("15:04:05.000"), e.transport, e.err))
		}
	}
	if all == nil {
		all = append(all, "it has not ended, or never joined; the last words of the servers:")
		for i := max(0, a.lines-len(a.said)); i < a.lines; i++ {
			all = append(all, "\n        "+a.said[i%len(a.said)])
		}
	}
	return strings.Join(all, ", ")
}

// roomKey names a room of a namespace of a server; the empty room is the whole namespace. Names are drawn from a few, so
// rooms are kept until their server goes.
type roomKey struct {
	node      int
	nsp, room string
}

// room orders what is sent to a room: events are numbered from 1.
type room struct {
	mu   sync.Mutex
	sent int
}

// state is what the server knows about a socket. Recovered sockets have that of before.
type state struct {
	mu   sync.Mutex
	sent int // events to the socket, numbered from 1
	got  int // the last event of the client
}

func newApp(out *reporter, faulty bool) *app {
	return &app{out: out, faulty: faulty, rooms: make(map[roomKey]*room)}
}

func (a *app) room(node int, nsp, name string) *room {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := roomKey{node, nsp, name}
	r := a.rooms[k]
	if r == nil {
		r = new(room)
		a.rooms[k] = r
	}
	return r
}

// drop forgets the rooms of a server that is gone.
func (a *app) drop(node int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.rooms, func(k roomKey, _ *room) bool { return k.node == node })
}

// refused is what clients of the namespace "/refused" are told.
const refused = "you shall not pass"

func (a *app) register(node int, srv *sio.Server) {
	srv.Of("/refused").Use(func(context.Context, *sio.Socket) error { return &sio.Error{Message: refused} })
	for _, ns := range []*sio.Namespace{srv.Of("/"), srv.Of("/chat"), srv.Of("/dyn/{id}")} {
		ns.Use(func(_ context.Context, s *sio.Socket) error {
			s.SetData(new(state))
			return nil
		})
		a.messages(ns)
		a.roomEvents(node, ns)
		a.calls(ns)
	}
}

// messages registers what concerns one socket.
func (a *app) messages(ns *sio.Namespace) {
	// echo(args...) answers with its arguments.
	ns.Handle("echo", sio.HandlerFunc(func(_ context.Context, _ *sio.Socket, m *sio.Message) error {
		args, err := m.Args()
		if err != nil {
			return err
		}
		return a.sent(m.Ack(args...))
	}))
	// never() is not answered.
	ns.Handle("never", sio.HandlerFunc(func(context.Context, *sio.Socket, *sio.Message) error {
		if a.faulty {
			leak()
		}
		return nil
	}))
	// seq(n) must come in order.
	sio.On(ns, "seq", func(_ context.Context, s *sio.Socket, n int) error {
		st := s.Data().(*state)
		st.mu.Lock()
		defer st.mu.Unlock()
		if n != st.got+1 {
			a.out.failf("%s of %s got event %d of its client after %d", s.ID(), s.Namespace().Name(), n, st.got)
		}
		st.got = n
		return nil
	})
	// resync(n) answers with the last number, and goes on with n.
	sio.OnAck(ns, "resync", func(_ context.Context, s *sio.Socket, n int) (int, error) {
		st := s.Data().(*state)
		st.mu.Lock()
		defer st.mu.Unlock()
		got := st.got
		st.got = n
		return got, nil
	})
	// burst(count, size, binary) sends events at once, and answers with how many.
	sio.OnAck3(ns, "burst", func(_ context.Context, s *sio.Socket, count, size int, binary bool) (int, error) {
		for i := range count {
			if err := a.tell(s, s, padding(size, binary)); err != nil {
				return i, nil // closed, or too slow: the client knows
			}
		}
		return count, nil
	})
	// later(count, gap) sends events in turn to the socket and to its room, gap milliseconds apart, also when the client
	// is away.
	sio.OnAck2(ns, "later", func(_ context.Context, s *sio.Socket, count, gap int) (int, error) {
		self := s.Namespace().To(s.ID())
		go func() {
			for i := range count {
				var to emitter = s
				if i%2 == 1 {
					to = self
				}
				if a.tell(s, to, padding(16, false)) != nil {
					// s has been away for longer than its client may be; but the client may have been back for long.
					a.tell(s, self, padding(16, false))
				}
				time.Sleep(time.Duration(gap) * time.Millisecond)
			}
		}()
		return count, nil
	})
}

type emitter interface {
	Emit(event string, args ...any) error
}

// tell sends the next event of a socket. An error means that it was not sent.
func (a *app) tell(s *sio.Socket, to emitter, pad any) error {
	st := s.Data().(*state)
	st.mu.Lock()
	defer st.mu.Unlock()
	if a.faulty && rand.IntN(300) == 0 {
		st.sent++ // lost
	}
	err := to.Emit("msg", pad, st.sent+1)
	if err == nil {
		st.sent++
	}
	return a.sent(err)
}

// sent passes on the errors of Emit, and reports those that it must not have.
func (a *app) sent(err error) error {
	if err != nil && !errors.Is(err, sio.ErrClosed) && !errors.Is(err, sio.ErrBufferFull) {
		a.out.failf("emit: %v", err)
	}
	return err
}

// padding is something to send: text that can be compressed, or bytes.
func padding(size int, binary bool) any {
	if binary {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i * 7)
		}
		return b
	}
	return strings.Repeat("lorem ipsum ", size/12+1)[:size]
}

// roomEvents registers what concerns rooms.
func (a *app) roomEvents(node int, ns *sio.Namespace) {
	of := func(s *sio.Socket, name string) *room { return a.room(node, s.Namespace().Name(), name) }

	// join(room) and leave(room) answer with the number of the room's last event: the socket gets the next ones, or has got
	// those up to it.
	sio.OnAck(ns, "join", func(_ context.Context, s *sio.Socket, name string) (int, error) {
		r := of(s, name)
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.sent, a.sent(s.Join(name))
	})
	sio.OnAck(ns, "leave", func(_ context.Context, s *sio.Socket, name string) (int, error) {
		r := of(s, name)
		r.mu.Lock()
		defer r.mu.Unlock()
		s.Leave(name)
		return r.sent, nil
	})
	// bcast(room, size, binary, how) sends the next event of the room; "others" is to all but the sender, who gets it by
	// itself, "all" is to the whole namespace, "volatile" may get lost.
	sio.On4(ns, "bcast", func(_ context.Context, s *sio.Socket, name string, size int, binary bool, how string) error {
		pad := padding(size, binary)
		if how == "volatile" {
			return a.sent(s.Namespace().To(name).Volatile().Emit("volatile", pad, 0))
		}
		if how == "all" {
			name = ""
		}
		r := of(s, name)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sent++
		switch how {
		case "all":
			return a.sent(s.Namespace().Emit("all", pad, r.sent))
		case "others":
			if slices.Contains(s.Rooms(), name) {
				a.sent(s.Emit("room", name, pad, r.sent)) // its own errors are the client's to notice
			}
			return a.sent(s.To(name).Emit("room", name, pad, r.sent))
		}
		return a.sent(s.Namespace().To(name).Emit("room", name, pad, r.sent))
	})
	// evict(room, close) disconnects the sockets in a room.
	sio.OnAck2(ns, "evict", func(_ context.Context, s *sio.Socket, name string, close bool) (int, error) {
		return 0, s.Namespace().To(name).Except(s.ID()).Disconnect(close)
	})
}

// calls registers what makes the server ask.
func (a *app) calls(ns *sio.Namespace) {
	// askme(x, how) asks the client, who answers x with a mark, or does not ("never"), or too late ("late").
	sio.OnAck2(ns, "askme", func(ctx context.Context, s *sio.Socket, x, how string) (string, error) {
		wait := 30 * time.Second
		if how != "now" {
			wait = 100 * time.Millisecond
		}
		got, err := sio.Call[string](ctx, s.Timeout(wait), "ask", x, how, 0)
		switch {
		case errors.Is(err, sio.ErrClosed):
			return "", err
		case how != "now" && errors.Is(err, sio.ErrAckTimeout):
		case how == "never" || err != nil || got != answer(x): // on a busy machine a late answer may still be in time
			a.out.failf("call of %q that is answered %s: %q, %v", x, how, got, err)
		}
		return "asked", nil
	})
	// gather(room, x) asks a room, and answers with the number of those who answered.
	sio.OnAck2(ns, "gather", func(ctx context.Context, s *sio.Socket, name, x string) (int, error) {
		seen := make(map[string]bool)
		n := 0
		for got, err := range sio.Gather[string](ctx, s.Namespace().To(name).Timeout(2*time.Second), "ask", x, "now", 0) {
			if seen[got.ID] {
				a.out.failf("gather: %s twice", got.ID)
			}
			seen[got.ID] = true
			switch {
			case err == nil && got.Value != answer(x):
				a.out.failf("gather of %q: %q", x, got.Value)
			case err == nil:
				n++
			case errors.Is(err, sio.ErrAckTimeout):
				a.unanswered.Add(1)
			case !errors.Is(err, sio.ErrClosed) && ctx.Err() == nil:
				a.out.failf("gather: %v", err)
			}
		}
		return n, nil
	})
}

// answer is what clients answer when they are asked x.
func answer(x string) string { return fmt.Sprintf("%s, says the client", x) }
