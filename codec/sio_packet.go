package codec

import "github.com/epio-go/epio/pool"

// Type is the type of a Socket.IO packet.
//
// Source: https://socket.io/docs/v4/socket-io-protocol/#packet-encoding
type Type uint8

// Socket.IO packet types, in the order of their digits on the wire. Decoders
// report BinaryEvent as Event and BinaryAck as Ack, with attachments.
const (
	Connect Type = iota
	Disconnect
	Event
	Ack
	ConnectError
	BinaryEvent
	BinaryAck
)

// String returns the protocol's name of t.
func (t Type) String() string {
	switch t {
	case Connect:
		return "CONNECT"
	case Disconnect:
		return "DISCONNECT"
	case Event:
		return "EVENT"
	case Ack:
		return "ACK"
	case ConnectError:
		return "CONNECT_ERROR"
	case BinaryEvent:
		return "BINARY_EVENT"
	case BinaryAck:
		return "BINARY_ACK"
	}
	return "UNKNOWN"
}

// Defaults of Limits.
const (
	DefaultMaxAttachments     = 10
	DefaultMaxAttachmentBytes = 10e6
	DefaultMaxDepth           = 128
)

// Limits bounds what one incoming packet may cost. The size of a single message
// is the transport's business. Zero means the default; the zero value works.
type Limits struct {
	// MaxAttachments is how many attachments a packet may announce, inclusive.
	// Default 10, as in the reference since socket.io-parser 4.2.6.
	MaxAttachments int
	// MaxAttachmentBytes bounds the attachments of one packet together, inclusive.
	// An attachment that several arguments refer to counts once for each of them,
	// because each decodes to a copy of its own. Default 10,000,000: ten times the
	// default size of a message. In the msgpack format it bounds the binary values
	// of a packet, of which there may be any number.
	MaxAttachmentBytes int
	// MaxDepth is how deep arrays and objects may be nested, inclusive, the array
	// of arguments being the first level. Default 128.
	MaxDepth int
	// Client makes the decoder accept what only a server sends: CONNECT_ERROR.
	Client bool
}

func (l *Limits) maxAttachments() int {
	if l == nil || l.MaxAttachments <= 0 {
		return DefaultMaxAttachments
	}
	return l.MaxAttachments
}

func (l *Limits) maxAttachmentBytes() int {
	if l == nil || l.MaxAttachmentBytes <= 0 {
		return DefaultMaxAttachmentBytes
	}
	return l.MaxAttachmentBytes
}

func (l *Limits) maxDepth() int {
	if l == nil || l.MaxDepth <= 0 {
		return DefaultMaxDepth
	}
	return l.MaxDepth
}

// Parser is one wire format of Socket.IO packets. It is immutable and safe for
// concurrent use. Namespaces are given with their leading slash; "/" is the
// default one. Every returned frame has one reference, the caller's.
type Parser interface {
	// Name identifies the format, for example "json".
	Name() string
	// EncodeConnect returns the server's answer to a CONNECT. An empty pid, the
	// private id of connection state recovery, is omitted.
	EncodeConnect(nsp, sid, pid string) *pool.Frame
	// EncodeConnectError refuses a CONNECT. data is omitted when it is nil; a typed
	// nil or json.RawMessage("null") is sent as null.
	EncodeConnectError(nsp, message string, data any) (*pool.Frame, error)
	// EncodeDisconnect says that the server leaves a namespace.
	EncodeDisconnect(nsp string) *pool.Frame
	// EncodeEvent returns an event. id asks for an acknowledgement; a negative one
	// for none. The error is ErrReservedEvent, ErrValueTooDeep, or what an argument
	// that has no encoding in this format reports; then no frame is returned.
	// Arguments are only read, and only during the call.
	EncodeEvent(nsp string, id int64, event string, args []any) (*pool.Frame, error)
	// EncodeAck answers the event that carried id. Errors as EncodeEvent.
	EncodeAck(nsp string, id uint64, args []any) (*pool.Frame, error)
	// NewDecoder returns a decoder for one connection. l is shared and must not
	// change afterwards; nil means the defaults.
	NewDecoder(l *Limits) Decoder
}

// Decoder assembles the incoming packets of one connection. Between packets it
// holds no memory but itself. It is not safe for concurrent use.
//
// Every error is a *ProtocolError and final: close the connection and the decoder.
type Decoder interface {
	// Text takes one Engine.IO text message, without its "4". It borrows p.
	// (nil, nil) means that attachments have to follow. The caller owns the packet
	// and must release it. A format without text messages refuses it.
	Text(p []byte) (*In, error)
	// Binary takes one Engine.IO binary message. It borrows p. Results as Text.
	Binary(p []byte) (*In, error)
	// Outstanding returns how many attachments are missing to complete the packet
	// that has begun, 0 when none has.
	Outstanding() int
	// Held returns the bytes of that unfinished packet, for memory accounting.
	Held() int
	// Close releases an unfinished packet. It may be called more than once.
	Close()
}

// Reserved reports whether event is one of the names that the client and server
// libraries raise themselves. Peers must not send them and applications must not
// emit them. ("error" and "connection" are ordinary names on the wire.)
func Reserved[T ~string | ~[]byte](event T) bool {
	switch string(event) {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
