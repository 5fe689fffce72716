package emitter

import (
	"context"
	"errors"
	"fmt"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/codec"
)

var (
	// ErrEncode is wrapped by errors about what was to be sent: values that cannot be
	// encoded, reserved event names. The error of the encoder is wrapped, too.
	ErrEncode = errors.New("emitter: cannot encode")
	// ErrPublish is wrapped by errors of the broker, whose own error is wrapped, too.
	// The message may have arrived nevertheless, when only the answer got lost.
	ErrPublish = errors.New("emitter: cannot publish")
)

// Driver carries messages to the servers of a cluster. Its methods are safe for concurrent
// use.
type Driver interface {
	// Encode makes a message ready to be sent. It borrows m.
	Encode(m *cluster.Message) (cluster.Parcel, error)
	// Publish sends what Encode made of m, and returns when the broker has it.
	Publish(ctx context.Context, m *cluster.Message, p cluster.Parcel) error
}

// PublishFunc sends data to a channel of a broker: PUBLISH or SPUBLISH of Redis. data
// belongs to it. It must be safe for concurrent use.
type PublishFunc func(ctx context.Context, channel string, data []byte) error

// Emitter sends to one namespace of a cluster. It holds nothing that would have to be
// closed; the client it was made from stays the application's. All methods are safe for
// concurrent use, as are those of a [Target]. They block until the broker has the message
// or ctx ends, as far as the client heeds that.
//
// What one goroutine sends arrives in its order, as far as the broker keeps it.
type Emitter struct {
	d   Driver
	nsp string
}

// New returns an emitter for the namespace "/". It panics if d is nil.
func New(d Driver) *Emitter {
	if d == nil {
		panic("emitter: no driver")
	}
	return &Emitter{d: d, nsp: "/"}
}

// Of returns an emitter for another namespace, with or without its leading slash.
func (e *Emitter) Of(namespace string) *Emitter {
	if namespace == "" || namespace[0] != '/' {
		namespace = "/" + namespace
	}
	return &Emitter{d: e.d, nsp: namespace}
}

// Namespace returns the name, with its leading slash.
func (e *Emitter) Namespace() string { return e.nsp }

// All selects all sockets of the namespace.
func (e *Emitter) All() Target { return Target{e: e} }

// To selects the sockets in at least one of rooms. A socket's id is a room.
func (e *Emitter) To(rooms ...string) Target { return e.All().To(rooms...) }

// In is To.
func (e *Emitter) In(rooms ...string) Target { return e.All().To(rooms...) }

// Except selects the sockets in none of rooms.
func (e *Emitter) Except(rooms ...string) Target { return e.All().Except(rooms...) }

// Volatile selects all sockets, see [Target.Volatile].
func (e *Emitter) Volatile() Target { return e.All().Volatile() }

// Compress selects all sockets, see [Target.Compress].
func (e *Emitter) Compress(on bool) Target { return e.All().Compress(on) }

// Emit sends an event to all sockets of the namespace.
func (e *Emitter) Emit(ctx context.Context, event string, args ...any) error {
	t := e.All()
	return t.Emit(ctx, event, args...)
}

// Join makes all sockets of the namespace join rooms.
func (e *Emitter) Join(ctx context.Context, rooms ...string) error {
	return e.All().Join(ctx, rooms...)
}

// Leave makes all sockets of the namespace leave rooms.
func (e *Emitter) Leave(ctx context.Context, rooms ...string) error {
	return e.All().Leave(ctx, rooms...)
}

// Disconnect disconnects all sockets of the namespace, see [Target.Disconnect].
func (e *Emitter) Disconnect(ctx context.Context, close bool) error {
	return e.All().Disconnect(ctx, close)
}

// ServerSideEmit sends an event to the servers, not to their clients. Any name will do
// that is not reserved.
func (e *Emitter) ServerSideEmit(ctx context.Context, event string, args ...any) error {
	if err := checkEvent(event); err != nil {
		return err
	}
	return e.send(ctx, &cluster.Message{Type: cluster.ServerSideEmit, Event: event, Args: args})
}

func checkEvent(event string) error {
	if codec.Reserved(event) {
		return fmt.Errorf("%w %q: %w", ErrEncode, event, codec.ErrReservedEvent)
	}
	return nil
}

// send completes m and sends it.
func (e *Emitter) send(ctx context.Context, m *cluster.Message) error {
	m.UID, m.Namespace = cluster.Emitter, e.nsp
	p, err := e.d.Encode(m)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEncode, err)
	}
	p.Type = m.Type
	if err := e.d.Publish(ctx, m, p); err != nil {
		return fmt.Errorf("%w: %w", ErrPublish, err)
	}
	return nil
}
