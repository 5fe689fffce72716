package sio

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/epio-go/epio/codec"
)

// Code of the application that panics is recovered where it is called, see protected. What is
// here is for the rest: runtime.Goexit, which nobody can stop and which testing.T.FailNow uses,
// and code that nobody expects to panic.

// errGoexit stands for the panic of code that has called runtime.Goexit.
var errGoexit = errors.New("runtime.Goexit called")

// exited is the failure of code that has called runtime.Goexit. It is called while that unwinds
// the goroutine.
func exited() *PanicError { return &PanicError{Value: errGoexit, Stack: debug.Stack()} }

// examine calls the methods of an application's error once, where a panic of theirs is recovered:
// the typed nil pointer that was not meant to be an error has methods that do.
func examine(err error) {
	_ = err.Error()
	_ = errors.Is(err, ErrClosed)
	_, _ = errors.AsType[*Error](err)
}

// attempt runs fn, and then after with its error: also when fn panics, or ends the goroutine.
func attempt(fn func() error, after func(err error)) {
	var err error
	done := false
	defer func() {
		if !done {
			err = exited()
		}
		after(err)
	}()
	err = protected(fn)
	done = true
}

// interrupted goes on with the socket on another goroutine, after a panic v that nobody has
// recovered or, without one, runtime.Goexit. e is the event that was being handled, or nil.
func (s *Socket) interrupted(e *event, v any) {
	defer s.c.srv.workers.run(s) // it stays busy
	p := &PanicError{Value: v, Stack: debug.Stack()}
	if v == nil {
		p.Value = errGoexit
	}
	if e == nil {
		s.panicked("socket", p)
		s.c.srv.log.Error("sio: panic", "namespace", brief(s.nsp), "id", s.id, "panic", p.Value, "stack", string(p.Stack))
		return
	}
	defer func() {
		size := e.size
		e.recycle()
		s.c.handled(size)
	}()
	s.failed(s.Context(), &e.Message, p)
}

// withStack adds err, and its stack if it is a panic, to the attributes of a log line.
func withStack(err error, attrs ...any) []any {
	attrs = append(attrs, "err", err)
	if p, ok := errors.AsType[*PanicError](err); ok {
		attrs = append(attrs, "stack", string(p.Stack))
	}
	return attrs
}

// unencoded counts and logs an error of the encoder if it is a panic of a value's own method.
func (srv *Server) unencoded(what, namespace string, err error) {
	if p, ok := errors.AsType[*codec.PanicError](err); ok {
		srv.counts.panics.Add(1)
		srv.log.Error("sio: value panicked", "namespace", namespace, "event", what, "panic", fmt.Sprint(p.Value), "stack", string(p.Stack))
	}
}
