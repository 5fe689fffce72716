package sio

import (
	"errors"
	"fmt"
)

// EncodeError says that an event or an acknowledgement was sent to nobody, because its
// arguments cannot be encoded.
type EncodeError struct {
	// Event is the event's name; empty for an acknowledgement.
	Event string
	// Err is what the encoder reported: ErrReservedEvent, codec.ErrValueTooDeep, an error
	// of an argument's own MarshalJSON, a *codec.PanicError if that panicked, and so on.
	Err error
}

// Error implements error.
func (e *EncodeError) Error() string {
	if e.Event == "" {
		return fmt.Sprintf("sio: encode acknowledgement: %v", e.Err)
	}
	return fmt.Sprintf("sio: encode %q: %v", e.Event, e.Err)
}

// Unwrap returns Err.
func (e *EncodeError) Unwrap() error { return e.Err }

// PublishError says that the adapter could not reach the other servers of the cluster. The
// sockets of this server got the event all the same.
type PublishError struct {
	// Event is the event's name; empty for operations that are none, such as Join.
	Event string
	// Err is the adapter's error.
	Err error
}

// Error implements error.
func (e *PublishError) Error() string {
	if e.Event == "" {
		return fmt.Sprintf("sio: publish: %v", e.Err)
	}
	return fmt.Sprintf("sio: publish %q: %v", e.Event, e.Err)
}

// Unwrap returns Err.
func (e *PublishError) Unwrap() error { return e.Err }

// SocketError says why one socket of a broadcast got nothing.
type SocketError struct {
	// ID is the socket's id.
	ID string
	// Err is ErrClosed, ErrBufferFull, or, for volatile packets, ErrDropped.
	Err error
}

// Error implements error.
func (e *SocketError) Error() string { return fmt.Sprintf("sio: socket %s: %v", e.ID, e.Err) }

// Unwrap returns Err.
func (e *SocketError) Unwrap() error { return e.Err }

// BroadcastError is the error of Emit with [Target.Strict] for the sockets of this server
// that got nothing. All others did. errors.Is finds the reasons in it.
type BroadcastError struct {
	// Event is the event's name.
	Event string
	// Sockets has one entry for each socket that got nothing.
	Sockets []*SocketError
	// Publish is set when other servers were not reached either.
	Publish *PublishError
}

// Error implements error.
func (e *BroadcastError) Error() string {
	text := fmt.Sprintf("sio: broadcast %q: %d sockets got nothing", e.Event, len(e.Sockets))
	if len(e.Sockets) > 0 {
		text += ", the first: " + e.Sockets[0].Error()
	}
	if e.Publish != nil {
		text += "; " + e.Publish.Error()
	}
	return text
}

// Unwrap returns all errors in it.
func (e *BroadcastError) Unwrap() []error {
	all := make([]error, 0, len(e.Sockets)+1)
	for _, s := range e.Sockets {
		all = append(all, s)
	}
	if e.Publish != nil {
		all = append(all, e.Publish)
	}
	return all
}

// Strict makes Emit return a *[BroadcastError] when sockets of this server could not take the
// packet, because their buffers are full or, if it is volatile, were not empty. Without it
// that is no error: who sends to many seldom cares about one.
func (t Target) Strict() Target {
	t.strict = true
	return t
}

// undelivered returns what Strict wants to know, given the adapter's error.
func (b *broadcast) undelivered(err error) error {
	if len(b.failed) == 0 {
		return err
	}
	e := &BroadcastError{Event: b.event, Sockets: b.failed}
	e.Publish, _ = errors.AsType[*PublishError](err)
	return e
}
