package sio

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/internal/invariants"
)

// event is an incoming event in its socket's queue.
type event struct {
	Message
	next *event
	size int
}

var events = sync.Pool{New: func() any { return new(event) }}

// recycle releases the packet; the Message is invalid afterwards.
func (e *event) recycle() {
	e.in.Release()
	if invariants.Enabled {
		e.in = nil // a handler that kept its Message crashes instead of reading another's
		return
	}
	*e = event{}
	events.Put(e)
}

// push queues an event. It takes in. It is called by whoever delivers the
// connection's messages.
func (s *Socket) push(in *codec.In) {
	e := events.Get().(*event)
	e.s, e.in, e.size = s, in, in.Size()
	if !s.c.accept(e.size) {
		e.recycle()
		return
	}
	s.mu.Lock()
	if s.ended { // looked up just before it was disconnected
		s.mu.Unlock()
		size := e.size
		e.recycle()
		s.c.handled(size)
		return
	}
	if s.tail == nil {
		s.head = e
	} else {
		s.tail.next = e
	}
	s.tail = e
	start := !s.running
	s.running = true
	s.mu.Unlock()
	if start {
		s.c.srv.resume(s)
	}
}

// turn is how many events a socket handles before it lets the others that wait go first.
const turn = 64

// serve runs the connect job, the first time, and then events. The caller has set
// running and counted the socket as busy. It reports whether the socket wants
// another turn; otherwise there was nothing left to do.
func (s *Socket) serve() (more bool) {
	var e *event // being handled
	done := false
	defer func() {
		if !done {
			s.interrupted(e, recover())
		} else if !more {
			s.c.srv.busy.done()
		}
	}()
	more = s.serveTurn(&e)
	done = true
	return more
}

// serveTurn is serve, which is told of the event that is being handled.
func (s *Socket) serveTurn(handling **event) (more bool) {
	if !s.begun {
		s.begun = true
		s.connect()
	}
	for range turn {
		s.mu.Lock()
		e := s.head
		if e == nil {
			if s.state.Load() == gone && !s.ended {
				s.ended = true
				leaving := s.leaving
				s.mu.Unlock()
				s.end(leaving)
				continue
			}
			s.running = false
			s.mu.Unlock()
			return false
		}
		if s.head = e.next; s.head == nil {
			s.tail = nil
		}
		s.mu.Unlock()
		*handling = e
		s.dispatch(e)
		*handling = nil
		size := e.size
		e.recycle()
		s.c.handled(size)
	}
	return true
}

// dispatch runs the handlers for one event.
func (s *Socket) dispatch(e *event) {
	m := &e.Message
	if !s.admitted {
		return // sent before the answer to CONNECT, which was a refusal
	}
	ctx := s.Context()
	if h := &s.c.srv.cfg.Hooks; h.EventStart != nil || h.EventEnd != nil {
		s.observed(ctx, m, h)
		return
	}
	s.run(ctx, m)
}

// run runs the handlers for one event and returns the error of the last that failed.
func (s *Socket) run(ctx context.Context, m *Message) (err error) {
	shared := s.ns.tbl.load()
	for _, h := range shared.any.fns {
		if e := s.handle(ctx, h, m); e != nil {
			err = e
		}
	}
	for _, h := range s.ownHandlers().any.fns {
		if e := s.handle(ctx, h, m); e != nil {
			err = e
		}
	}
	if !m.in.HasPayload {
		return err // an event without even a name is for catch-all handlers only
	}
	if e := s.handle(ctx, s.find(shared, m.in.Event()), m); e != nil {
		err = e
	}
	return err
}

// handle calls h and deals with its failure.
func (s *Socket) handle(ctx context.Context, h Handler, m *Message) error {
	err := call(ctx, h, s, m)
	if err != nil {
		s.failed(ctx, m, err)
	}
	return err
}

// failed deals with the failure of a handler.
func (s *Socket) failed(ctx context.Context, m *Message, err error) {
	attrs := []any{"event", brief(string(m.in.Event())), "namespace", brief(s.nsp), "id", s.id, "err", briefErr(err)}
	level := slog.LevelWarn
	if p, ok := errors.AsType[*PanicError](err); ok {
		level = slog.LevelError
		s.panicked("handler", p)
		attrs = append(attrs, "stack", string(p.Stack))
	} else if _, ok := errors.AsType[*Error](err); ok {
		level = slog.LevelDebug // an answer, not a failure
	}
	s.c.logger(level).Log(ctx, level, "sio: handler failed", attrs...)
	if m.HasAck() {
		a := newAckError(err)
		ackErr := m.Ack(a)
		if ackErr != nil && a.Error.Data != nil {
			a.Error.Data = nil // maybe it cannot be encoded
			ackErr = m.Ack(a)
		}
		if ackErr != nil {
			s.c.srv.log.Debug("sio: failure not acknowledged", "id", s.id, "err", ackErr)
		}
	}
	s.report(&EventError{Event: m.Event(), Err: err})
}

// call runs h and turns a panic into an error.
func call(ctx context.Context, h Handler, s *Socket, m *Message) (err error) {
	defer recovered(&err)
	if err = h.Handle(ctx, s, m); err != nil {
		examine(err)
	}
	return err
}

// protect runs user code and logs its failure.
func (s *Socket) protect(what string, fn func() error) error {
	err := protected(fn)
	if err != nil {
		s.faulted(what, err)
	}
	return err
}

// faulted counts and logs the failure of user code.
func (s *Socket) faulted(what string, err error) {
	attrs := []any{"namespace", brief(s.nsp), "id", s.id, "err", briefErr(err)}
	if p, ok := errors.AsType[*PanicError](err); ok {
		s.panicked(what, p)
		attrs = append(attrs, "stack", string(p.Stack))
	}
	s.c.logger(slog.LevelError).Error("sio: "+what+" failed", attrs...)
}

func protected(fn func() error) (err error) {
	defer recovered(&err)
	if err = fn(); err != nil {
		examine(err)
	}
	return err
}

// recovered turns a panic into a PanicError in *err.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = &PanicError{Value: r, Stack: debug.Stack()}
	}
}
