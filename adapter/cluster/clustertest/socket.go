package clustertest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// Socket is a receiver that takes everything.
type Socket struct {
	adapter.Member
	id           string
	delivered    atomic.Int64
	disconnected atomic.Bool
}

// ID implements [adapter.Receiver].
func (s *Socket) ID() string { return s.id }

// Connected implements [adapter.Receiver].
func (s *Socket) Connected() bool { return true }

// Info implements [adapter.Receiver].
func (s *Socket) Info() adapter.SocketInfo { return adapter.SocketInfo{ID: s.id} }

// Disconnect implements [adapter.Receiver].
func (s *Socket) Disconnect(bool) { s.disconnected.Store(true) }

// Deliver implements [adapter.Receiver].
func (s *Socket) Deliver(adapter.Packet, adapter.Batch) bool {
	s.delivered.Add(1)
	return true
}

// Delivered returns how many packets of its own server the socket got. Those of others
// are with the Host.
func (s *Socket) Delivered() int { return int(s.delivered.Load()) }

// Disconnected reports whether somebody disconnected the socket.
func (s *Socket) Disconnected() bool { return s.disconnected.Load() }

// Connect connects a socket to a server, and waits a moment for its rooms to be known.
func Connect(t testing.TB, a *cluster.Adapter, id string, rooms ...string) *Socket {
	t.Helper()
	s := &Socket{id: id}
	x := a.Index()
	for _, err := range []error{x.Attach(&s.Member, s), x.Connect(&s.Member, nil), x.Join(&s.Member, rooms...)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = a.Synced(ctx) // in vain while the broker is away
	return s
}

// Packet is a packet without arguments.
type Packet string

// Event implements [adapter.Packet].
func (p Packet) Event() string { return string(p) }

// Args implements [adapter.Packet].
func (p Packet) Args() []any { return nil }

// Event is a packet with arguments.
func Event(name string, args ...any) adapter.Packet { return &event{name, args} }

type event struct {
	name string
	args []any
}

func (e *event) Event() string { return e.name }
func (e *event) Args() []any   { return e.args }

// NoAcks is an adapter.Acks that wants to know nothing.
type NoAcks struct{}

// Count implements [adapter.Acks].
func (NoAcks) Count(int) {}

// Ack implements [adapter.Acks].
func (NoAcks) Ack(string, any) {}

// Lost implements [adapter.Acks].
func (NoAcks) Lost(int) {}
