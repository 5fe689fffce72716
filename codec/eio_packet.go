package codec

import (
	"github.com/gobwas/ws"

	"github.com/epio-go/epio/pool"
)

// PacketType is the type of an Engine.IO packet, the digit it begins with.
//
// Source: https://socket.io/docs/v4/engine-io-protocol/#protocol
type PacketType byte

// Engine.IO packet types, as they stand on the wire.
const (
	Open    PacketType = '0'
	Close   PacketType = '1'
	Ping    PacketType = '2'
	Pong    PacketType = '3'
	Message PacketType = '4'
	Upgrade PacketType = '5'
	Noop    PacketType = '6'
)

// String returns the protocol's name of t.
func (t PacketType) String() string {
	switch t {
	case Open:
		return "open"
	case Close:
		return "close"
	case Ping:
		return "ping"
	case Pong:
		return "pong"
	case Message:
		return "message"
	case Upgrade:
		return "upgrade"
	case Noop:
		return "noop"
	}
	return "unknown"
}

// Packets that never change, as shared frames. They need no release, and
// releasing them does no harm.
var (
	CloseFrame = staticText("1")
	PingFrame  = staticText("2")
	// PongFrame answers a client's ping (Engine.IO v3).
	PongFrame = staticText("3")
	// ProbeFrame answers "2probe" on an upgrade candidate.
	ProbeFrame = staticText("3probe")
	NoopFrame  = staticText("6")
)

func staticText(packet string) *pool.Frame {
	return pool.Static(append(AppendWSHeader(nil, ws.OpText, len(packet)), packet...))
}

// Packet is one received Engine.IO packet.
type Packet struct {
	Type PacketType
	// Binary tells a binary message from a text one; Type is then Message.
	Binary bool
	// Data is the packet without its type digit. It aliases the memory the packet
	// was parsed from.
	Data []byte
}

// NewTextFrame returns the packet t with data as one text frame, for example
// "4hello". The caller owns the one reference. data must be valid UTF-8.
func NewTextFrame[T ~string | ~[]byte](t PacketType, data T) *pool.Frame {
	b := pool.Get(MaxWSHeader + 1 + len(data))
	b.B = append(AppendWSHeader(b.B, ws.OpText, 1+len(data)), byte(t))
	b.B = append(b.B, data...)
	return b.Seal(0)
}

// NewBinaryFrame returns a binary message as one binary frame, a copy of data.
// The caller owns the one reference.
func NewBinaryFrame(data []byte) *pool.Frame {
	b := pool.Get(MaxWSHeader + len(data))
	b.B = append(AppendWSHeader(b.B, ws.OpBinary, len(data)), data...)
	return b.Seal(0)
}

// ParseText parses the payload of one WebSocket text frame. A "b" followed by
// base64 is accepted and is a binary message, as the reference does; it is
// decoded in place, so p is borrowed for writing. p must be valid UTF-8.
//
// The error is always ErrPacket: the frame was empty or of unknown type.
func ParseText(p []byte) (Packet, error) {
	if len(p) == 0 {
		return Packet{}, ErrPacket
	}
	t := p[0]
	if t >= byte(Open) && t <= byte(Noop) {
		return Packet{Type: PacketType(t), Data: p[1:]}, nil
	}
	if t == 'b' {
		return Packet{Type: Message, Binary: true, Data: decodeBase64(p[1:])}, nil
	}
	return Packet{}, ErrPacket
}
