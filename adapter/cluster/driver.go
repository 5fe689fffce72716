package cluster

import "context"

// Driver carries messages between the servers of a cluster: the part of a networked
// adapter that knows a broker. The README says how to write one.
//
// A driver works for one namespace on one server. It may share connections with the
// drivers of other namespaces.
type Driver interface {
	// Open connects and subscribes. When it returns, everything that other servers
	// send is handed to [Adapter.Receive], from one goroutine at a time, in order. It
	// is called once. From then on the driver keeps its subscriptions: when a
	// connection breaks it makes another one, by itself.
	//
	// An error means that the subscriptions are not in place yet, because the broker
	// cannot be reached, say. The driver goes on trying.
	Open(ctx context.Context, a *Adapter) error

	// Encode makes a message ready to be sent. It runs on the goroutine that sends,
	// concurrently with itself, and must not wait or keep anything of m. Its errors
	// reach the application.
	Encode(m *Message) (Parcel, error)

	// Publish sends parcels in their order and returns when the broker has them, or
	// has refused, or ctx ended. It is called by one goroutine at a time, the queue's,
	// and borrows ps.
	//
	// With an error, settled is how many of ps, from the first one, are done with, and
	// lost how many of these may not have been sent. The others are tried again until
	// they are too old; so what may have been sent should be settled, unless receivers
	// can do with messages that come twice. The caller logs what got lost.
	Publish(ctx context.Context, ps []Parcel) (settled, lost int, err error)

	// Close unsubscribes, so that other servers stop counting this one, and waits,
	// within ctx, for the driver's goroutines. It is called once, after Open returned.
	Close(ctx context.Context) error
}

// Parcel is an encoded message on its way to the broker.
type Parcel struct {
	Type Type
	// Dest is the driver's name for where it goes: a channel, a subject, a stream.
	Dest string
	// Data belongs to the parcel and is not changed any more.
	Data []byte
	// Format is what Data is in, for drivers that must know.
	Format Format
}

// size is what a parcel counts for in the queue.
func (p *Parcel) size() int { return 128 + len(p.Dest) + len(p.Data) }

// Counter is a [Driver] whose broker knows how many servers listen. Without it,
// servers know each other by their heartbeats.
type Counter interface {
	// ServerCount returns how many servers have subscribed to what is sent to all,
	// this one included. It may be called concurrently.
	ServerCount(ctx context.Context) (int, error)
}

// RoomSubscriber is a [Driver] with a channel for each room, so that servers without
// members need not look at what is sent to it.
//
// Subscriptions follow the rooms of the index in the background, from one goroutine.
type RoomSubscriber interface {
	// HasChannel reports whether the room has a channel of its own. The answer is
	// always the same.
	HasChannel(room string) bool
	// Rooms subscribes to the channels of some rooms and unsubscribes from those of
	// others. When it returns an error it is called again with the same rooms, and
	// perhaps more.
	Rooms(ctx context.Context, subscribe, unsubscribe []string) error
}
