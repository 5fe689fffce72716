package adapter

import (
	"context"
	"errors"
	"time"

	"github.com/epio-go/epio/pool"
)

// Connection state recovery: a client that lost its connection comes back within
// some time, gets what it missed, and is in its rooms again as if nothing had
// happened.
//
// What it needs of an adapter is a log and a store. The log holds the packets of
// the namespace in one order; a packet's place in it is its offset, which clients
// get as the packet's last argument and come back with. The store holds the
// sessions of sockets that are away, by a secret, the pid. Both are the adapter's,
// since in a cluster they are shared: a client may come back to another server.
//
// Source: the reference's adapters with recovery,
// https://socket.io/docs/v4/connection-state-recovery.

var (
	// ErrNoSession is returned by RestoreSession when there is no session with that
	// pid (any more).
	ErrNoSession = errors.New("adapter: no such session")
	// ErrOffset is returned by Replay for an offset that is unknown, or so old that
	// the log does not reach back to it any more. Packets may be missing, so the
	// client must start afresh.
	ErrOffset = errors.New("adapter: offset is not in the log")
)

// Recovery is what an [Adapter] implements, besides, to offer connection state
// recovery.
//
// Which packets go into the log: those given to Broadcast with neither [Volatile]
// nor [Local] among the flags. (Packets with acknowledgements come through
// BroadcastWithAck; they, and volatile ones, are delivered without an offset and
// not kept. [Memory] also logs local ones.) With recovery on, the events to a
// single socket come through Broadcast as well, with the socket's id as the only
// room.
//
// Order is everything here. A client reports only the last offset it has seen, and
// takes that to mean that it has everything before. Therefore:
//
//   - Every socket of this server must get the packets of the log in the order of
//     their offsets, the server's own packets among those of others. An adapter
//     that learns the offset of its own packet from the log's reply, while another
//     goroutine reads the log, must not deliver from both: the simplest way is to
//     deliver own packets when they come back from the log, too.
//   - Sockets enter that stream at one defined place, see Admit and Replay.
//
// A packet that is delivered when it comes back from the log goes through
// [RecoveryHost].BroadcastLogged. Its own Batch is then flushed by the adapter,
// before Broadcast returns, since no index does.
//
// An adapter whose log is out of reach for longer than a client should wait
// delivers to this server's sockets without an offset: they get the packet, and it
// is not repeated after a reconnect.
//
// All methods are safe for concurrent use. pids and offsets given to them may come
// from clients: any string, already bounded to [MaxOffset] bytes.
type Recovery interface {
	Adapter

	// EnableRecovery switches recovery on. It is called once, before Init, on an
	// adapter that is to offer recovery, and not at all on others, whose packets
	// then have no offsets. It does no I/O. An error says that the adapter, as it
	// is configured, cannot do it.
	EnableRecovery(h RecoveryHost, c RecoveryConfig) error

	// Admit calls f at a moment when no packet of the log is on its way to the
	// sockets of this server: packets with offsets up to the given one have been
	// delivered to all of them, later ones to none. offset is that of the last
	// packet delivered, or one that stands for "nothing yet"; Replay must
	// understand it, it is never empty. f connects a new socket to the index; it
	// has the duties of [Receiver].Deliver: not to block, to run no user code, and
	// not to call the adapter, other than Index.
	Admit(f func(offset string))

	// PersistSession stores s under its pid, replacing an older one, for
	// RecoveryConfig.MaxDisconnection. It keeps s. It is called when the socket has
	// disconnected, before it leaves the index, also during shutdown (before
	// Close).
	PersistSession(ctx context.Context, s *Session) error

	// RestoreSession removes the session with this pid from the store and returns
	// it, or ErrNoSession. Each stored session is returned once, whoever asks, on
	// whichever server. The caller follows up with a Replay that succeeds, with
	// PersistSession or with DropSession.
	//
	// In a cluster the session may not be stored yet, because another server has
	// not noticed that the client's old connection is dead. An adapter that can
	// should ask the other servers to give it up, see RecoveryHost.Evict, and then
	// look again.
	RestoreSession(ctx context.Context, pid string) (*Session, error)

	// Replay calls accept like Admit, at a moment when no packet of the log is on
	// its way, with the packets after offset that were meant for the session, in
	// order, up to the last one delivered on this server. A packet is meant for the
	// session when it went to everybody or to one of s.Rooms, and not to any of its
	// exceptions (ExceptID being one), as it was with the rooms of s. It returns
	// what accept returned, or ErrOffset, or why the log cannot be read, without
	// calling accept.
	//
	// accept connects the socket to the index: what is delivered after it came in
	// reaches the socket by way of the index, and nothing in between may be lost or
	// come twice. An adapter that reads a remote log first reads without holding up
	// deliveries, then stops them, drops what it has read beyond the last packet
	// delivered (it is going to be delivered), or reads again what is missing up to
	// there, and calls accept. accept has the same duties as f of Admit. The slice
	// and what is in it are borrowed.
	//
	// The offset may be ahead of what this server has delivered, because the client
	// got it from another one: then accept is called, without missed packets, only
	// once this server has caught up, or the client would get packets twice.
	//
	// A replay of more than RecoveryConfig's LogPackets or LogBytes fails with
	// ErrOffset, wherever the log is.
	Replay(ctx context.Context, s *Session, offset string, accept func(missed []Missed) error) error

	// DropSession says that a session taken with RestoreSession is given up.
	DropSession(s *Session)
}

// MaxOffset is the length, in bytes, of the longest pid or offset that is looked
// at; what clients send beyond that is not passed on. Offsets that an adapter makes
// must be valid UTF-8 and not longer.
const MaxOffset = 128

// RecoveryConfig says how much an adapter keeps.
type RecoveryConfig struct {
	// MaxDisconnection is how long a session is kept. Positive.
	MaxDisconnection time.Duration
	// LogAge is how far the log reaches back, unless a limit below makes it
	// shorter: MaxDisconnection, and the time in which a dead connection is
	// noticed, since a client may miss packets before its session is stored.
	LogAge time.Duration
	// LogPackets and LogBytes limit the log of a namespace where it is in this
	// process, and one replay everywhere. Positive.
	LogPackets int
	LogBytes   int
	// Sessions limits the sessions stored for a namespace where they are in this
	// process: the oldest make room. Positive.
	Sessions int
}

// Session is what is left of a socket while its client is away.
type Session struct {
	// SID is the socket's id, which it keeps.
	SID string
	// PID is the secret that the client comes back with.
	PID string
	// Rooms are the socket's rooms, its own-id room among them if it was in it.
	Rooms []string
	// Data is the application's data of the socket. A networked adapter carries
	// what its format can.
	Data any
	// Since is where the client's knowledge of the log begins. Replay treats older
	// offsets like this one: a client is not told what was said before it came.
	// Empty in a session that another implementation has stored.
	Since string
	// State is what the namespace has to remember, an opaque string of at most a
	// few KiB. An adapter stores it as it is, under the name "epio" where its
	// format has names. It is empty for a session that another implementation has
	// stored.
	State []byte
}

// Missed is a packet that a client has missed: its frame, or else what it is made
// of.
type Missed struct {
	// Frame is the packet as it was delivered, offset included, if the adapter has
	// kept it; else nil.
	Frame *pool.Frame

	Event string
	Args  []any // without the offset
	// Offset is the packet's place in the log.
	Offset string
}

// RecoveryHost is the namespace as an adapter with recovery sees it.
type RecoveryHost interface {
	Host

	// BroadcastLogged is BroadcastLocal for a packet of the log, this server's own
	// or another's: it appends offset to args, encodes, and delivers through the
	// index. It takes args.
	BroadcastLogged(event string, args []any, o Opts, offset string) int

	// Evict ends the connection of the socket with this pid on this server, if
	// there is one, because its client has come back elsewhere. When it returns
	// true the session has been handed to PersistSession. It waits, within ctx, for
	// the socket's handlers.
	Evict(ctx context.Context, pid string) bool
}

// LocalLog is a [Recovery] whose log is in this process, as [Memory]'s is. It keeps
// the packets as they were encoded for the first time, and delivers them with their
// offsets, without a way over RecoveryHost.
type LocalLog interface {
	Recovery

	// Send logs p for the socket with this id and pid alone, and delivers it, if it
	// is attached to the index. b is flushed. It reports false, and does neither,
	// when the socket is gone for good. Errors are those of Encode.
	Send(p Loggable, id, pid string, b Batch) (bool, error)
}

// Loggable is a [Packet] that can go into the log of [Memory], which keeps encoded
// packets, not the values of the application they were made of. Packets that are
// not Loggable, volatile ones say, are delivered without an offset.
type Loggable interface {
	Packet

	// Encode makes the packet ready, with room as its last argument: any offset, to
	// be replaced by the right one of the same length. It may run user code; no
	// lock is held. Encoding twice does nothing.
	Encode(room string) error

	// Stamp puts the offset in the place of room. It is called once, after Encode,
	// before the first Deliver.
	Stamp(offset string)

	// Share returns one more reference to the encoded packet.
	Share() *pool.Frame
}
