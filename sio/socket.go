package sio

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/pool"
)

// Socket is a client in one namespace. A connection has one for every namespace
// it joined. All methods are safe for concurrent use; a Socket may be kept after
// it disconnected, when its methods do nothing or return ErrClosed.
type Socket struct {
	member adapter.Member

	// immutable after the connect job has resolved the namespace
	c    *client
	ns   *Namespace
	id   string
	nsp  string    // the namespace's name
	auth *codec.In // a CONNECT packet with the payload that the client sent, else nil

	resume *resume // set by the connect job; nil without recovery

	// owned by the socket's goroutine
	begun    bool // the connect job has run
	admitted bool // it was successful

	size int32 // immutable: bytes that are kept of the CONNECT

	next *Socket // guarded by the mutex of workers

	state atomic.Uint32 // 0, connected or gone
	own   atomic.Pointer[handlerTable]

	mu sync.Mutex
	// guarded by mu
	running bool // a goroutine has the queue
	ended   bool // end was called
	leaving bool // the client has disconnected it, and its connection counts that
	head    *event
	tail    *event
	acks    map[uint64]ackWaiter
	life    *life
	reason  Reason
	data    any
}

// The states of a socket. They only move forward.
const (
	// The zero state: middlewares run. The socket may emit but receives no broadcasts.
	_ uint32 = iota
	// connected: CONNECT was answered.
	connected
	// gone: disconnected. Events that wait are still handled.
	gone
)

// life is a socket's context and what else is made when first asked for.
type life struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	store  *store // values, see Key; nil while there are none; guarded by the socket's mu
}

// newSocket makes a socket that asks for the namespace nsp, which is borrowed.
func newSocket(c *client, nsp []byte, auth *codec.In) *Socket {
	s := &Socket{c: c, running: true, auth: auth}
	if ns := c.srv.static(nsp); ns != nil {
		s.ns, s.nsp = ns, ns.name
	} else {
		s.nsp = string(nsp)
	}
	s.id = c.socketID(s.nsp)
	return s
}

// newID returns 20 url-safe characters from 15 random bytes. Adapters rely on the
// length: it tells ids from other room names in clusters with Node servers.
func newID() string {
	var b [15]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ID returns the socket's id: 20 characters, random, unique, different in each
// namespace of a connection, and known to the client. It is also the name of a
// room the socket is in. A client of Engine.IO v3 knows it beforehand: it is the id of
// its session in "/", with the namespace and "#" in front elsewhere.
func (s *Socket) ID() string { return s.id }

// Namespace returns the namespace the socket is in.
func (s *Socket) Namespace() *Namespace { return s.ns }

// Server returns the server.
func (s *Socket) Server() *Server { return s.c.srv }

// Conn returns the Engine.IO session behind the socket, which it shares with the
// connection's other namespaces. Sending on it directly breaks the protocol.
func (s *Socket) Conn() *eio.Session { return s.c.sess }

// Connected reports whether the socket is connected: false while connect
// middlewares run, and for good after the disconnect.
func (s *Socket) Connected() bool { return s.state.Load() == connected }

// Protocol returns the revision of the Socket.IO protocol that the client speaks: 5, or 4
// for a client of Engine.IO v3.
func (s *Socket) Protocol() int {
	if s.c.old() {
		return 4
	}
	return 5
}

// Reason returns why the socket disconnected; empty before.
func (s *Socket) Reason() Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// Transport returns the transport in use now.
func (s *Socket) Transport() eio.Transport { return s.c.sess.Transport() }

// Request returns the HTTP request that opened the connection, newly parsed, or
// nil after the handshake was dropped. It has no body; its context has the values of
// Config.Engine.SessionContext and never ends.
func (s *Socket) Request() *http.Request {
	h := s.c.sess.Handshake()
	if h == nil {
		return nil
	}
	return h.Request()
}

// Auth decodes what the client passed as auth into what v points to, and leaves v
// alone if that was nothing. For a client of Engine.IO v3 that is the query behind the
// namespace, "/chat?token=x", as an object of strings.
func (s *Socket) Auth(v any) error {
	if s.auth == nil {
		return nil
	}
	return s.auth.DecodeData(v)
}

// PathValue returns what a wildcard of the namespace's pattern matched: for
// Of("/tenant/{id}") and a client of /tenant/7, PathValue("id") is "7".
func (s *Socket) PathValue(name string) string {
	if s.ns == nil {
		return ""
	}
	return s.ns.values[name]
}

// Context returns the context that handlers of this socket get. It is cancelled
// at disconnect with the Reason as its cause. Its values are those of
// Config.Engine.SessionContext.
func (s *Socket) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil {
		s.life = new(life)
		s.life.ctx, s.life.cancel = context.WithCancelCause(s.c.context())
		if s.state.Load() == gone {
			s.life.cancel(s.reason)
		}
	}
	return s.life.ctx
}

// SetData stores a value with the socket, replacing an earlier one.
func (s *Socket) SetData(v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = v
}

// Data returns what SetData stored, nil at first.
func (s *Socket) Data() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data
}

// DataOf returns the socket's data if it has the type T.
func DataOf[T any](s *Socket) (v T, ok bool) {
	v, ok = s.Data().(T)
	return v, ok
}

// Join puts the socket into rooms. It may be called from a connect middleware;
// broadcasts reach the socket once it is connected. It returns ErrClosed after
// the disconnect, and ErrTooManyRooms when Config.MaxRooms would be exceeded; then it
// has joined none of them.
func (s *Socket) Join(rooms ...string) error {
	if s.state.Load() == gone {
		return ErrClosed
	}
	switch s.index().Join(&s.member, rooms...) {
	case nil:
		return nil
	case adapter.ErrTooManyRooms:
		return ErrTooManyRooms
	}
	return ErrClosed
}

// Leave takes the socket out of rooms.
func (s *Socket) Leave(rooms ...string) { s.index().Leave(&s.member, rooms...) }

// LeaveAll takes the socket out of all rooms but its own, so that its id still finds it.
func (s *Socket) LeaveAll() {
	for _, room := range s.Rooms() {
		if room != s.id {
			s.Leave(room)
		}
	}
}

// Rooms returns the rooms the socket is in, its own-id room among them, in no
// particular order.
func (s *Socket) Rooms() []string { return s.index().Rooms(&s.member) }

func (s *Socket) index() *adapter.Index { return s.ns.index }

// Emit sends an event with any number of arguments. []byte, at any depth, travels
// as binary. It never blocks; see the package comment for what errors mean.
func (s *Socket) Emit(event string, args ...any) error {
	return s.emit(event, -1, args, 0)
}

// Send is Emit of the event "message", as in clients; Node servers call it write, too.
func (s *Socket) Send(args ...any) error { return s.Emit("message", args...) }

// Volatile returns a target for this socket whose packets are dropped when they
// cannot leave at once.
func (s *Socket) Volatile() Target { return Target{ns: s.ns, only: s, flags: adapter.Volatile} }

// Timeout returns a target for this socket that bounds Call and Gather.
func (s *Socket) Timeout(d time.Duration) Target { return Target{ns: s.ns, only: s, timeout: d} }

// Compress returns a target for this socket; see Target.Compress.
func (s *Socket) Compress(on bool) Target { return Target{ns: s.ns, only: s}.Compress(on) }

// To selects the sockets in at least one of rooms, without this one.
func (s *Socket) To(rooms ...string) Target { return s.Broadcast().To(rooms...) }

// In is To.
func (s *Socket) In(rooms ...string) Target { return s.To(rooms...) }

// Within selects the sockets in at least one of rooms, this one included if it is in one.
func (s *Socket) Within(rooms ...string) Target { return Target{ns: s.ns}.To(rooms...) }

// Except selects all sockets of the namespace but this one and those in rooms.
func (s *Socket) Except(rooms ...string) Target { return s.Broadcast().Except(rooms...) }

// Broadcast selects all sockets of the namespace but this one.
func (s *Socket) Broadcast() Target { return Target{ns: s.ns, sender: s.id} }

// Local is Broadcast on this server only.
func (s *Socket) Local() Target { return s.Broadcast().Local() }

// Disconnect makes the socket leave its namespace; the client is told and does
// not reconnect by itself. With close, all sockets of the connection leave, and it
// is closed once everything sent before is delivered.
func (s *Socket) Disconnect(close bool) {
	if !close {
		s.kick(ServerDisconnect)
		return
	}
	if s.state.Load() == gone {
		return // others may use the connection
	}
	s.c.mu.Lock()
	all := s.c.socketsLocked()
	s.c.mu.Unlock()
	for _, o := range all {
		o.kick(ServerDisconnect)
	}
	s.c.sess.Close(eio.ForcedClose)
}

// kick leaves and tells the client.
func (s *Socket) kick(r Reason) {
	s.c.remove(s) // being told may bring the next attempt to join
	s.depart(r, true)
}

// name returns the namespace's name for the wire.
func (s *Socket) name() string { return s.nsp }

// send hands a frame to the connection. It takes f.
func (s *Socket) send(f *pool.Frame) error {
	return s.sendFull(f, s.c.srv.cfg.WhenFull)
}

// sent translates the session's answer and applies the policy for full buffers.
func (s *Socket) sent(err error) error { return s.sentAs(err, s.c.srv.cfg.WhenFull) }

// leave is the disconnect: no more packets in either direction, the context ends,
// acknowledgements fail. Events that wait are still handled, then the disconnect
// handlers run, on the socket's own goroutine.
func (s *Socket) leave(r Reason) { s.depart(r, false) }

// depart is leave; with tell, a client that was told of its CONNECT is told of
// this, too.
func (s *Socket) depart(r Reason, tell bool) {
	s.mu.Lock()
	was := s.state.Load()
	if was == gone {
		s.mu.Unlock()
		return
	}
	s.state.Store(gone)
	s.reason = r
	if s.resume != nil {
		s.resume.goneAt = time.Now()
	}
	acks, life := s.acks, s.life
	s.acks = nil
	start := !s.running
	s.running = true
	s.mu.Unlock()
	if tell && was == connected {
		// When this does not fit any more, the full connection ends anyway.
		_ = s.sent(s.c.sess.Send(s.c.srv.cfg.Parser.EncodeDisconnect(s.nsp)))
	}
	if life != nil {
		life.cancel(r)
	}
	if len(acks) > 0 {
		s.c.calling(-len(acks))
	}
	for _, w := range acks {
		w.failed(s, r)
	}
	if start {
		s.c.srv.resume(s)
	}
}

// end runs once, when a disconnected socket has handled its last event. leaving says that the
// connection counts that, see client.leaving.
func (s *Socket) end(leaving bool) {
	if leaving {
		defer s.c.handled(0)
	}
	if !s.admitted {
		return // the connect job has cleaned up
	}
	s.mu.Lock()
	r := s.reason
	s.mu.Unlock()
	attempt(func() error {
		s.disconnected(r)
		if r == ForcedClose {
			s.reportViolation()
		}
		s.disconnectHandlers(r)
		return nil
	}, func(err error) {
		if err != nil {
			s.faulted("disconnect handler", err)
		}
		defer s.vacate()
		if s.resume != nil {
			s.ns.rec.retire(s, r)
		}
	})
}

// vacate gives up the socket's place in its namespace, which it must have, also when a room hook
// or an adapter panics meanwhile.
func (s *Socket) vacate() {
	defer s.c.srv.releaseNamespace(s.ns)
	s.detach()
	if s.resume != nil {
		s.ns.rec.free(s, s.resume.pid)
	}
}

func (s *Socket) disconnectHandlers(r Reason) {
	for _, h := range [...]*handlers{s.ns.tbl.load(), s.ownHandlers()} {
		for _, fn := range h.disconnect.fns {
			if err := s.protect("disconnect handler", func() error { fn(s, r); return nil }); err != nil {
				s.report(&EventError{Event: "disconnect", Err: err})
			}
		}
	}
}
