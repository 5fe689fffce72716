package sio

import (
	"context"
	"errors"
	"time"
)

// Hooks observe what the server does, for metrics and tracing. Each may be nil, which costs
// nothing. They run where the thing observed happens: on the goroutine of a socket or of
// whoever sends, never on the one that reads connections and never under a lock. So they
// may block, but that delays what they observe. A panic in one is logged and costs nothing else.
//
// What happens per connection and on goroutines that must not be held up (connections opened and closed by reason, upgrades,
// refused handshakes by code, bytes) is counted: see Server.Stats. Refused handshakes with their details go to
// Engine.OnConnectionError, slow connections to Config.OnSlow.
type Hooks struct {
	// Connect ends an attempt to join a namespace: err is nil when the socket has
	// connected, before the connect handlers run. took is the time since
	// the middlewares, or the look-up of a pattern, began. s.Namespace() is nil when there is no such namespace.
	Connect func(s *Socket, took time.Duration, err error)
	// Recover ends an attempt to recover a client that was away, see Config.Recovery, before
	// Connect is told of the same socket. err is nil if it has got its old socket back, and missed
	// events with it; otherwise it says why the client starts afresh or is refused. Not told when
	// the client went away again meanwhile.
	Recover func(s *Socket, missed int, took time.Duration, err error)
	// Disconnect begins the end of a socket that had connected, before the disconnect
	// handlers.
	Disconnect func(s *Socket, r Reason)

	// EventStart begins the handling of an event. Catch-alls, wraps and handler get
	// the context it returns, which must be derived from ctx: a span, say.
	EventStart func(ctx context.Context, s *Socket, m *Message) context.Context
	// EventEnd ends it, with the context of EventStart. err is that of the last handler
	// that failed: a *PanicError, a *Error the client was told, or any other.
	EventEnd func(ctx context.Context, s *Socket, m *Message, took time.Duration, err error)

	// Emit is told of an event sent to one socket, with its size on the wire in bytes and the
	// error of Emit. For Call the size counts, not the answer. With Config.Recovery and an adapter whose
	// log is elsewhere, events without acknowledgement go to one socket as to a selection.
	Emit func(s *Socket, event string, bytes int, err error)
	// Broadcast is told of an event sent to a selection, also of those that come from
	// other servers: how many sockets here get it and the size for each. err is the
	// failure of the adapter to reach the other servers. With Config.Recovery and an adapter whose log is
	// elsewhere, events come from there, also our own: they are told when published, too, then without receivers.
	Broadcast func(n *Namespace, event string, receivers, bytes int, err error)
	// Ack is told of an answer to Call or Gather: the socket's id, empty if unknown, the time
	// since the question, and what was wrong with it, as Gather has it.
	Ack func(id, event string, took time.Duration, err error)

	// Drop is told of packets that a socket does not get because its send buffer is full.
	Drop func(s *Socket, packets int)
	// Throttle is told of events that were dropped because of Config.Rates.
	Throttle func(s *Socket, events int)

	// Panic is told of every panic in user code that a socket had run: where is "handler",
	// "connect middleware", "connect handler", "disconnect handler", "outgoing handler", "error hook", "flow hook", or "socket" for
	// code that should have none, that of an adapter for example.
	Panic func(s *Socket, where string, err *PanicError)
}

// observe runs a hook.
func (srv *Server) observe(name string, fn func()) {
	if err := protected(func() error { fn(); return nil }); err != nil {
		srv.log.Error("sio: hook failed", withStack(err, "hook", name)...)
	}
}

// observed runs the handlers of an event between EventStart and EventEnd.
func (s *Socket) observed(ctx context.Context, m *Message, h *Hooks) {
	srv := s.c.srv
	if h.EventStart != nil {
		srv.observe("EventStart", func() {
			if c := h.EventStart(ctx, s, m); c != nil {
				ctx = c
			}
		})
	}
	start := time.Now()
	var err error
	done := false
	defer func() {
		if !done {
			err = exited()
		}
		if h.EventEnd != nil {
			took := time.Since(start)
			srv.observe("EventEnd", func() { h.EventEnd(ctx, s, m, took, err) })
		}
	}()
	err = s.run(ctx, m)
	done = true
}

// connectStart returns when an attempt to join began, if that matters.
func (srv *Server) connectStart() time.Time {
	if srv.cfg.Hooks.Connect == nil {
		return time.Time{}
	}
	return time.Now()
}

// connectEnd counts and reports an attempt to join.
func (s *Socket) connectEnd(start time.Time, err error) {
	srv := s.c.srv
	if err == nil {
		srv.counts.connected.Add(1)
	} else {
		srv.counts.refused.Add(1)
	}
	if fn := srv.cfg.Hooks.Connect; fn != nil {
		took := time.Since(start)
		srv.observe("Connect", func() { fn(s, took, err) })
	}
}

// recoverStart returns when an attempt to recover began, if that matters.
func (srv *Server) recoverStart() time.Time {
	if srv.cfg.Hooks.Recover == nil {
		return time.Time{}
	}
	return time.Now()
}

// recoverEnd counts and reports an attempt to recover.
func (s *Socket) recoverEnd(start time.Time, missed int, err error) {
	srv := s.c.srv
	switch {
	case err == nil:
		srv.counts.recovered.Add(1)
	case errors.Is(err, ErrClosed):
		return
	default:
		srv.counts.unrecovered.Add(1)
	}
	if fn := srv.cfg.Hooks.Recover; fn != nil {
		took := time.Since(start)
		srv.observe("Recover", func() { fn(s, missed, took, err) })
	}
}

// disconnected counts and reports the end of a socket.
func (s *Socket) disconnected(r Reason) {
	srv := s.c.srv
	srv.counts.disconnected.Add(1)
	if fn := srv.cfg.Hooks.Disconnect; fn != nil {
		srv.observe("Disconnect", func() { fn(s, r) })
	}
}

// emitted reports an event sent to this socket.
func (s *Socket) emitted(event string, bytes int, err error) {
	s.c.srv.observe("Emit", func() { s.c.srv.cfg.Hooks.Emit(s, event, bytes, err) })
}

// panicked counts and reports a panic of user code.
func (s *Socket) panicked(where string, err *PanicError) {
	srv := s.c.srv
	srv.counts.panics.Add(1)
	if fn := srv.cfg.Hooks.Panic; fn != nil {
		srv.observe("Panic", func() { fn(s, where, err) })
	}
}

// observe counts and reports a broadcast whose walk is over. err is the adapter's.
func (b *broadcast) observe(err error) {
	srv := b.target.ns.srv
	if err != nil {
		srv.counts.publishErrors.Add(1)
	}
	bytes := 0
	if f := b.forms.plain(); f != nil {
		bytes = f.Len()
	}
	srv.traffic.sent(nil, b.receivers, b.receivers*bytes)
	if fn := srv.cfg.Hooks.Broadcast; fn != nil {
		ns, event, n := b.target.ns, b.event, b.receivers
		srv.observe("Broadcast", func() { fn(ns, event, n, bytes, err) })
	}
}

// ackObserver reports the answers to one event.
type ackObserver struct {
	srv   *Server // nil: nobody wants to know
	event string
	start time.Time
}

func observeAcks(srv *Server, event string) ackObserver {
	if srv.cfg.Hooks.Ack == nil {
		return ackObserver{}
	}
	return ackObserver{srv, event, time.Now()}
}

func (o *ackObserver) answer(id string, err error) {
	if o.srv != nil {
		o.tell(id, err)
	}
}

func (o *ackObserver) tell(id string, err error) {
	took := time.Since(o.start)
	o.srv.observe("Ack", func() { o.srv.cfg.Hooks.Ack(id, o.event, took, err) })
}
