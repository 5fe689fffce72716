package emitter

import (
	"context"
	"slices"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// Target selects sockets on all servers and says how to send to them. It is a value: every
// method returns a changed copy, and nothing is shared. The methods that do something come
// last in a chain:
//
//	e.To("a", "b").Except("c").Volatile().Emit(ctx, "news", v)
type Target struct {
	e      *Emitter
	rooms  []string // never changed in place, as other targets may share it
	except []string // the same
	flags  adapter.Flags
}

// To selects the sockets in at least one of rooms; more calls add more rooms. A socket is
// reached once, however many of the rooms it is in. A socket's id is a room, which is how
// to reach one socket.
func (t Target) To(rooms ...string) Target {
	t.rooms = with(t.rooms, rooms)
	return t
}

// In is To.
func (t Target) In(rooms ...string) Target { return t.To(rooms...) }

// Except leaves out the sockets in any of rooms.
func (t Target) Except(rooms ...string) Target {
	t.except = with(t.except, rooms)
	return t
}

// with returns list with those names that are not in it yet, in an array of its own.
func with(list, names []string) []string {
	all := append(make([]string, 0, len(list)+len(names)), list...)
	for _, n := range names {
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// Volatile makes Emit drop the packet, whole, for every socket that cannot be written to
// at the moment it reaches the socket's server.
func (t Target) Volatile() Target {
	t.flags |= adapter.Volatile
	return t
}

// Compress says whether transports may compress the packet. The default is true.
func (t Target) Compress(on bool) Target {
	if on {
		t.flags &^= adapter.NoCompress
	} else {
		t.flags |= adapter.NoCompress
	}
	return t
}

// Emit sends an event to every selected socket. It borrows args. A []byte, at any depth,
// reaches clients as binary. Errors wrap [ErrEncode] or [ErrPublish].
func (t Target) Emit(ctx context.Context, event string, args ...any) error {
	if err := checkEvent(event); err != nil {
		return err
	}
	return t.send(ctx, &cluster.Message{Type: cluster.Broadcast, Event: event, Args: args})
}

// Join makes the selected sockets join rooms. Errors wrap [ErrPublish], as those of the
// following methods do.
func (t Target) Join(ctx context.Context, rooms ...string) error {
	return t.change(ctx, cluster.SocketsJoin, rooms)
}

// Leave makes the selected sockets leave rooms.
func (t Target) Leave(ctx context.Context, rooms ...string) error {
	return t.change(ctx, cluster.SocketsLeave, rooms)
}

func (t Target) change(ctx context.Context, typ cluster.Type, rooms []string) error {
	if len(rooms) == 0 {
		return nil
	}
	return t.send(ctx, &cluster.Message{Type: typ, Rooms: rooms})
}

// Disconnect takes the selected sockets out of the namespace or, with close, closes their
// connections.
func (t Target) Disconnect(ctx context.Context, close bool) error {
	return t.send(ctx, &cluster.Message{Type: cluster.DisconnectSockets, Close: close})
}

func (t Target) send(ctx context.Context, m *cluster.Message) error {
	m.Opts = adapter.Opts{Rooms: t.rooms, Except: t.except, Flags: t.flags}
	return t.e.send(ctx, m)
}
