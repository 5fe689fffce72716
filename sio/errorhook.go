package sio

import "fmt"

// EventError is what error hooks get when a handler failed, see Namespace.OnError.
type EventError struct {
	// Event is the name of the event; "connect" or "disconnect" for the handlers of
	// OnConnect and OnDisconnect.
	Event string
	// Err is what the handler returned, a *codec.DecodeError when the arguments did not
	// fit and it was not called, or a *PanicError.
	Err error
}

// Error implements error.
func (e *EventError) Error() string { return fmt.Sprintf("sio: handler of %q: %v", e.Event, e.Err) }

// Unwrap returns Err.
func (e *EventError) Unwrap() error { return e.Err }

// ViolationError is what error hooks get when a client broke the protocol, see
// Namespace.OnError. Its connection is closed for that.
type ViolationError struct {
	// Err says which rule it was: a *codec.ProtocolError, or one of this package.
	Err error
}

// Error implements error.
func (e *ViolationError) Error() string { return fmt.Sprintf("sio: protocol violation: %v", e.Err) }

// Unwrap returns Err.
func (e *ViolationError) Unwrap() error { return e.Err }

// report calls the error hooks, on the socket's goroutine.
func (s *Socket) report(err error) {
	for _, h := range [...]*handlers{s.ns.tbl.load(), s.ownHandlers()} {
		for _, fn := range h.errors.fns {
			s.protect("error hook", func() error { fn(s, err); return nil })
		}
	}
}

// reportViolation tells the error hooks if it was a violation that ended the connection.
func (s *Socket) reportViolation() {
	s.c.mu.Lock()
	v := s.c.broken
	s.c.mu.Unlock()
	if v != nil {
		s.report(v)
	}
}
