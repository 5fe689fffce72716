package sio

import (
	"errors"
	"iter"
	"time"

	"github.com/epio-go/epio/adapter"
)

// Target selects sockets and says how to send to them. It is a value: every method
// returns a changed copy, nothing is shared, and building one allocates nothing
// with up to four rooms. The methods that do something come last in a chain:
//
//	srv.To("a", "b").Except("c").Volatile().Emit("news", v)
type Target struct {
	ns      *Namespace
	only    *Socket // exactly this one, unless rooms are named
	sender  string  // left out
	rooms   roomList
	except  roomList
	flags   adapter.Flags
	full    fullChoice
	strict  bool
	timeout time.Duration
}

const fewRooms = 4

// roomList is a list of names that needs no memory of its own while it is short.
type roomList struct {
	few  [fewRooms]string
	n    int
	many []string // replaces few when set; never appended in place
}

func (l *roomList) add(names []string) {
	if l.many == nil && l.n+len(names) <= fewRooms {
		l.n += copy(l.few[l.n:], names)
		return
	}
	// A new array every time: other targets may share the old one.
	all := make([]string, 0, l.n+len(names))
	all = append(append(all, l.slice()...), names...)
	l.many, l.n = all, len(all)
}

// slice is valid as long as l is.
func (l *roomList) slice() []string {
	if l.many != nil {
		return l.many
	}
	return l.few[:l.n]
}

// To selects the sockets in at least one of rooms; more calls add more rooms. A
// socket is reached once, however many of the rooms it is in. A socket's id is a
// room.
func (t Target) To(rooms ...string) Target {
	t = t.plural()
	t.rooms.add(rooms)
	return t
}

// In is To.
func (t Target) In(rooms ...string) Target { return t.To(rooms...) }

// Within is To, with the socket that the chain began with if it is in one of rooms: To leaves
// it out.
func (t Target) Within(rooms ...string) Target {
	t.only, t.sender = nil, ""
	t.rooms.add(rooms)
	return t
}

// Except leaves out the sockets in any of rooms.
func (t Target) Except(rooms ...string) Target {
	t = t.plural()
	t.except.add(rooms)
	return t
}

// plural turns "this socket" into "everybody but this socket", as the reference
// does when rooms are named.
func (t Target) plural() Target {
	if t.only != nil {
		t.sender, t.only = t.only.id, nil
	}
	return t
}

// Broadcast selects everybody but the socket the chain began with.
func (t Target) Broadcast() Target { return t.plural() }

// Local limits the target to sockets on this server.
func (t Target) Local() Target {
	t.flags |= adapter.Local
	return t
}

// Volatile makes Emit drop the packet, whole, for every socket that cannot be
// written to at that moment: one whose connection has bytes waiting, or no poll
// parked.
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

// Timeout bounds the wait of Call and Gather for each acknowledgement. 0 means
// Config.AckTimeout.
func (t Target) Timeout(d time.Duration) Target {
	t.timeout = d
	return t
}

// Emit sends an event to every selected socket. The event is encoded once. An
// error means that it was sent to nobody (it cannot be encoded), or that a
// cluster's other servers were not reached; for a target of one socket it means
// what Socket.Emit's does, or ErrDropped. Sockets that are gone or full are not
// an error, unless Strict or ReportWhenFull makes them one.
func (t Target) Emit(event string, args ...any) error {
	if t.only != nil {
		return t.only.emitAs(event, -1, args, t.flags, t.full.policy(t.ns.srv))
	}
	return t.broadcast(event, args)
}

// Send is Emit of the event "message", as in clients.
func (t Target) Send(args ...any) error { return t.Emit("message", args...) }

// Sockets iterates over the selected sockets that are connected to this server,
// each once. The body may do anything, including join and leave.
func (t Target) Sockets() iter.Seq[*Socket] {
	return func(yield func(*Socket) bool) {
		if t.only != nil {
			if t.only.Connected() {
				yield(t.only)
			}
			return
		}
		for _, ns := range t.namespaces() {
			for r := range ns.index.Sockets(t.opts()) {
				if !yield((*Socket)(r.(*receiver))) {
					return
				}
			}
		}
	}
}

// Join makes the selected sockets, on all servers, join rooms.
func (t Target) Join(rooms ...string) error {
	return t.each(func(a adapter.Adapter, o adapter.Opts) error { return a.AddSockets(o, rooms) })
}

// Leave makes the selected sockets, on all servers, leave rooms.
func (t Target) Leave(rooms ...string) error {
	return t.each(func(a adapter.Adapter, o adapter.Opts) error { return a.DelSockets(o, rooms) })
}

// Disconnect disconnects the selected sockets, on all servers, see
// Socket.Disconnect.
func (t Target) Disconnect(close bool) error {
	return t.each(func(a adapter.Adapter, o adapter.Opts) error { return a.DisconnectSockets(o, close) })
}

func (t Target) each(fn func(adapter.Adapter, adapter.Opts) error) error {
	var errs []error // one child's trouble is not the others'
	for _, ns := range t.namespaces() {
		if err := fn(ns.connectedAdapter(), t.opts()); err != nil {
			errs = append(errs, &PublishError{Err: err})
		}
	}
	return errors.Join(errs...)
}

// namespaces returns where the target's sockets are: the namespace, or the
// children of a parent.
func (t *Target) namespaces() []*Namespace {
	if t.ns.match != nil {
		return t.ns.srv.children(t.ns)
	}
	return []*Namespace{t.ns}
}

// opts describes the selection to an adapter. The slices are t's.
func (t *Target) opts() adapter.Opts {
	o := adapter.Opts{
		Rooms:    t.rooms.slice(),
		Except:   t.except.slice(),
		ExceptID: t.sender,
		Flags:    t.flags,
		Timeout:  t.timeout,
	}
	if t.only != nil {
		o.Rooms = []string{t.only.id}
	}
	return o
}
