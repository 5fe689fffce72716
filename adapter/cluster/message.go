package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
)

// Type says what a message is about. The numbers up to 13 are those of the reference,
// the enumeration MessageType of its package socket.io-adapter.
type Type uint8

const (
	// InitialHeartbeat is sent by a server that starts; the others answer with
	// Heartbeat.
	InitialHeartbeat Type = iota + 1
	// Heartbeat says that the sender is alive.
	Heartbeat
	// Broadcast is a packet for Opts. With a RequestID it asks for
	// acknowledgements: one BroadcastClientCount, then as many BroadcastAck.
	Broadcast
	// SocketsJoin makes the sockets of Opts join Rooms.
	SocketsJoin
	// SocketsLeave makes them leave.
	SocketsLeave
	// DisconnectSockets disconnects them; Close closes their connections, too.
	DisconnectSockets
	// FetchSockets asks for descriptions of the sockets of Opts.
	FetchSockets
	// FetchSocketsResponse answers with Sockets.
	FetchSocketsResponse
	// ServerSideEmit is an event for the servers. With a RequestID each answers.
	ServerSideEmit
	// ServerSideEmitResponse answers with one value.
	ServerSideEmitResponse
	// BroadcastClientCount answers with Count, the number of receivers, 0 included.
	BroadcastClientCount
	// BroadcastAck answers with one client's acknowledgement.
	BroadcastAck
	// AdapterClose says that the sender leaves.
	AdapterClose

	// AllRooms asks for the names of all rooms. It and its answer are not part of
	// the reference's family, so it is used only by drivers that ask for it, see
	// [Config.RoomRequests].
	AllRooms
	// AllRoomsResponse answers with Rooms.
	AllRoomsResponse
	// Evict asks for the session with the id PID: the server that holds its
	// connection ends it and stores the session. It and its answer are not the
	// reference's either, whose servers ignore them.
	Evict
	// EvictResponse answers with Found.
	EvictResponse
)

// mayHoldBinary reports whether the reference looks for binary in messages of type t.
func (t Type) mayHoldBinary() bool {
	switch t {
	case Broadcast, FetchSocketsResponse, ServerSideEmit, ServerSideEmitResponse, BroadcastAck:
		return true
	}
	return false
}

// Emitter is the uid of programs that only send. They are not counted as servers.
const Emitter = "emitter"

// Message is one message between servers. Which fields matter depends on Type.
//
// Going out, Event, Args and Arg are the application's values, borrowed. Coming in these
// and Sockets are empty, since most servers drop most messages without looking at them:
// Payload, Answer and Descriptions decode what came.
type Message struct {
	Type Type
	// UID is the sender's.
	UID string
	// To is the uid of the server a response goes to; it is not on the wire.
	To string
	// Namespace is the name with its leading slash.
	Namespace string
	// RequestID relates answers to requests; empty when none is asked for.
	RequestID string

	// Opts selects sockets. Of an incoming message, ExceptID is part of Except, and
	// Batch is nil.
	Opts  adapter.Opts
	Rooms []string
	Close bool
	Count int
	PID   string
	Found bool

	Event   string
	Args    []any
	Arg     any
	Sockets []adapter.SocketInfo

	// raw is what came in place of Event and Args, Arg, or Sockets.
	raw codec.Value
}

// Payload decodes the event of an incoming Broadcast or ServerSideEmit. The values
// belong to the caller.
func (m *Message) Payload() (event string, args []any, err error) {
	args, err = m.raw.AnyList()
	if err != nil {
		return "", nil, err
	}
	// The name was looked at when the message was decoded; 1 is one, too, as in the
	// reference.
	for v := range m.raw.Elements() {
		event, _ = v.Name()
		break
	}
	return event, args[1:], nil
}

// Size returns the number of bytes of the payload of an incoming message.
func (m *Message) Size() int { return m.raw.Len() }

// Answer decodes the value of an incoming ServerSideEmitResponse or BroadcastAck.
func (m *Message) Answer() (any, error) { return m.raw.Any() }

// NewID returns a random id in the form of the reference's uids and request ids in
// this family: 16 hexadecimal digits.
func NewID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// maxTimeout bounds what a message may say about time.
const maxTimeout = 24 * time.Hour
