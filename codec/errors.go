package codec

import (
	"errors"
	"reflect"
	"strconv"
)

// ProtocolError is a violation of the protocol by the peer. The values are
// prebuilt: compare with errors.Is against the Err variables of this package, or
// match the family with errors.AsType[*ProtocolError]. The only answer to any of
// them is to close the connection with the reason "parse error".
type ProtocolError struct {
	// Rule says what the peer broke. It is for logs and never sent to the peer.
	Rule string
}

// Error implements error.
func (e *ProtocolError) Error() string { return "codec: " + e.Rule }

// Violations of Engine.IO.
var (
	// ErrPacket is an empty packet or one of unknown type.
	ErrPacket = &ProtocolError{"empty Engine.IO packet or unknown type"}
	// ErrWTSize is a packet on WebTransport that is larger than the limit.
	ErrWTSize = &ProtocolError{"packet too large for the limit"}
)

// Violations of Socket.IO.
var (
	// ErrType is an empty packet or one whose type is not a digit from 0 to 6.
	ErrType = &ProtocolError{"unknown Socket.IO packet type"}
	// ErrConnectError is a CONNECT_ERROR sent by a client.
	ErrConnectError = &ProtocolError{"CONNECT_ERROR from a client"}
	// ErrID is an acknowledgement id that is no unsigned integer of 64 bits.
	ErrID = &ProtocolError{"acknowledgement id out of range"}
	// ErrPayload is a payload that is malformed or not of the form its type asks
	// for. In the msgpack format it also stands for anything else that is wrong with
	// the packet's map.
	ErrPayload = &ProtocolError{"invalid payload"}
	// ErrDepth is a payload nested deeper than Limits.MaxDepth.
	ErrDepth = &ProtocolError{"payload nested too deeply"}
	// ErrReservedName is an event named like one the library emits itself.
	ErrReservedName = &ProtocolError{"invalid payload: reserved event name"}
	// ErrIllegalAttachments is a bad attachment count or a placeholder that refers
	// to no attachment.
	ErrIllegalAttachments = &ProtocolError{"illegal attachments"}
	// ErrTooManyAttachments is a packet with more than Limits.MaxAttachments.
	ErrTooManyAttachments = &ProtocolError{"too many attachments"}
	// ErrAttachmentBytes is a packet whose attachments, or binary values in the
	// msgpack format, exceed Limits.MaxAttachmentBytes.
	ErrAttachmentBytes = &ProtocolError{"attachments too large"}
	// ErrUnexpectedText is a text message while attachments are outstanding, or any
	// in the msgpack format.
	ErrUnexpectedText = &ProtocolError{"text message instead of a binary one"}
	// ErrUnexpectedBinary is a binary message that belongs to no packet.
	ErrUnexpectedBinary = &ProtocolError{"binary message without a packet"}
	// ErrTooLarge is a packet beyond what any limit could mean (2 GiB).
	ErrTooLarge = &ProtocolError{"packet too large"}
)

// ErrReservedEvent is returned when the application emits an event with one of
// the names the client library raises itself, see [Reserved].
var ErrReservedEvent = errors.New("codec: reserved event name")

// Errors of [Inflate].
var (
	// ErrInflate reports data that is not what a compressor makes.
	ErrInflate = errors.New("codec: invalid compressed message")
	// ErrInflatedSize reports a message that is larger than the limit once it is
	// decompressed.
	ErrInflatedSize = errors.New("codec: compressed message too large")
)

// ErrValueTooDeep is returned when a value to be encoded is nested deeper than
// any receiver would accept, in practice because it refers to itself.
var ErrValueTooDeep = errors.New("codec: value nested too deeply or cyclic")

// DecodeError says that an argument does not fit the Go value it was decoded
// into. It holds no part of the packet.
type DecodeError struct {
	// Arg is the position of the argument after the event name, from 0; -1 for the
	// payload of a CONNECT or CONNECT_ERROR.
	Arg int
	// Type is the type that was asked for.
	Type reflect.Type
	// Err is what the value's own UnmarshalJSON or UnmarshalText reported, or a
	// description of the mismatch.
	Err error
}

// Error implements error.
func (e *DecodeError) Error() string {
	what := "payload"
	if e.Arg >= 0 {
		what = "argument " + strconv.Itoa(e.Arg)
	}
	typ := "nil"
	if e.Type != nil {
		typ = e.Type.String()
	}
	return "codec: " + what + " into " + typ + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }
