package adapter

import (
	"context"
	"log/slog"
)

// Adapter spreads packets over the sockets of one namespace, on this server and
// on every other server of the cluster.
//
// Each adapter owns one [Index], which knows the sockets and rooms of this
// server. Joining, leaving and reading rooms is local by nature and done on the
// index; the methods below reach the whole cluster unless Opts carries [Local].
//
// All methods may be called from any goroutine, never with an index lock held
// (so not from [Receiver.Deliver]). None of them keeps a slice of its arguments
// after it returned. Those without a context do not wait for other servers: a
// networked adapter hands the message to its own queue, and an error means that
// it could not. A publish failure never suppresses the delivery on this server.
//
// Source: the adapter contract of the reference server, package
// socket.io-adapter, https://github.com/socketio/socket.io/tree/main/packages/socket.io-adapter.
type Adapter interface {
	// Index returns the sockets and rooms of this server. It is the same
	// pointer for the life of the adapter, valid before Init.
	Index() *Index

	// Init connects the adapter; it returns when subscriptions are in place.
	// It is called once, before the first socket is attached.
	Init(ctx context.Context) error

	// Close says goodbye to the other servers and waits, within ctx, for the
	// adapter's goroutines. The index stays usable. Later calls do nothing. What
	// would send to other servers afterwards returns an error that is net.ErrClosed,
	// and has its effect on this one; without others there is nothing to report.
	Close(ctx context.Context) error

	// ServerCount returns how many servers the cluster has, this one included.
	ServerCount(ctx context.Context) (int, error)

	// Broadcast delivers p to every socket o selects, each once. It borrows p.
	// Two broadcasts from one goroutine reach every receiver in that order.
	Broadcast(p Packet, o Opts) error

	// BroadcastWithAck is Broadcast for a packet whose receivers answer. It
	// calls acks.Count once per server, this one included, and acks.Ack for
	// every answer from another server; answers of this server's sockets reach
	// the collector through p itself. It returns how many calls of Count there
	// will be in total; some may already have happened.
	// After o.Timeout the adapter forgets the request.
	BroadcastWithAck(p Packet, o Opts, acks Acks) (servers int, err error)

	// FetchSockets describes every connected socket o selects, in no
	// particular order. When a server does not answer in time the error says
	// so and the result holds what there is.
	FetchSockets(ctx context.Context, o Opts) ([]SocketInfo, error)

	// AllRooms returns the name of every room in the cluster once, own-id rooms
	// included, in no particular order. Errors are those of FetchSockets.
	AllRooms(ctx context.Context) ([]string, error)

	// AddSockets makes every connected socket o selects join rooms.
	AddSockets(o Opts, rooms []string) error

	// DelSockets makes every connected socket o selects leave rooms.
	DelSockets(o Opts, rooms []string) error

	// DisconnectSockets disconnects every connected socket o selects from the
	// namespace, or, with close, closes its whole connection.
	DisconnectSockets(o Opts, close bool) error

	// ServerSideEmit hands an event to all other servers of the cluster, never
	// to this one. Without other servers it does nothing.
	ServerSideEmit(event string, args []any) error

	// ServerSideCall is ServerSideEmit with one answer from each other server.
	// Without other servers it returns no answers and no error. If ctx ends
	// first, it returns ctx's error and the answers there are.
	ServerSideCall(ctx context.Context, event string, args []any) ([]any, error)
}

// Factory makes the adapter of one namespace. It does no I/O, since it runs under a
// lock of the server; Init does.
type Factory func(Host) Adapter

// Host is the namespace an adapter works for, as far as messages from other
// servers concern it. The in-memory adapter needs none of it.
//
// All methods are safe for concurrent use and must be called without an index
// lock held.
type Host interface {
	// Namespace returns the name, for example "/" or "/chat".
	Namespace() string

	// BroadcastLocal builds a packet from what another server published and
	// delivers it through the index, in the order of the calls of one
	// goroutine. It takes args and returns the number of receivers, 0 when the
	// packet cannot be encoded. With a non-nil ack the packet asks for an
	// acknowledgement and ack gets the first argument of every answer within
	// o.Timeout, from any goroutine.
	BroadcastLocal(event string, args []any, o Opts, ack func(id string, arg any)) int

	// ServerEvent runs the listeners for an event another server sent with
	// ServerSideEmit or, when ack is not nil, with ServerSideCall. Only the
	// first call of ack counts.
	ServerEvent(event string, args []any, ack func(arg any))

	// Logger is where the adapter reports what it survives: lost connections,
	// malformed messages. Never nil.
	Logger() *slog.Logger
}

// Packet is an event on its way to several sockets. The index passes it through
// untouched; networked adapters put Event and Args on their wire.
//
// Both methods are safe for concurrent use.
type Packet interface {
	// Event returns the name of the event.
	Event() string
	// Args returns the arguments after the name. The slice and what it refers
	// to are shared: read only, valid while the call that got the packet runs.
	Args() []any
}

// Batch collects the connections that got packets during one broadcast, so that
// each is written to once. The index passes it from Opts to every
// [Receiver.Deliver] and calls Flush exactly once, when the last receiver is
// served and no lock is held, also when there was no receiver at all.
type Batch interface{ Flush() }

// Receiver is the end of one socket of one namespace on this server. The socket
// type embeds a [Member] and implements Receiver.
type Receiver interface {
	// ID returns the socket's id, which is also the name of its own room. It is
	// constant, not empty, and unique in the cluster. It may be called under
	// an index lock.
	ID() string

	// Connected reports whether the socket is to be found. It is false from the
	// moment its disconnect begins, while it is still in its rooms. No lock is held.
	Connected() bool

	// Deliver queues p for the client and reports whether it did; false means
	// that no answer can be expected (closed, buffer full, a volatile packet
	// dropped). b is Opts.Batch, possibly nil: then the packet must leave
	// without a Flush.
	//
	// It is called with an index lock held, so calls for one socket are serial
	// and in the order of the broadcasts. It must not block, run user code or
	// call the adapter or the index. It borrows p and b.
	Deliver(p Packet, b Batch) bool

	// Disconnect takes the socket out of its namespace or, with close, closes
	// the connection. No lock is held. Disconnecting twice does nothing.
	Disconnect(close bool)

	// Info describes the socket for a server that asks for it with
	// FetchSockets. No lock is held. The result belongs to the caller.
	Info() SocketInfo
}

// Acks collects the answers to a broadcast that asks for acknowledgements. All
// is in when Count was called for every server and as many answers came as the
// counts add up to, less those lost. Implementations must be safe for concurrent
// use and must not block.
type Acks interface {
	// Count says that one more server delivered the packet, to n sockets. A
	// server that left the cluster before it could say so counts with n = 0.
	Count(n int)
	// Ack brings one answer from another server: the first argument of the
	// client's acknowledgement, nil if it had none. id is the socket's id, or
	// empty where the adapter's wire format does not carry it.
	Ack(id string, arg any)
	// Lost says that n of the sockets counted before will not answer, because
	// their server left the cluster.
	Lost(n int)
}
