package codec

import (
	"encoding/base64"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/pool"
)

// Form is how the binary messages inside a frame travel. Text packets are the same
// bytes in every form but FormWebTransport.
type Form uint8

const (
	// FormPlain is Engine.IO v4: a binary frame is the message itself. Every frame
	// this package encodes is in this form.
	FormPlain Form = iota
	// FormBase64 is Engine.IO v4 on a connection with the query b64: "b" and base64, as text.
	FormBase64
	// FormV3 is Engine.IO v3: a binary frame begins with the packet type, as the number 4.
	FormV3
	// FormV3Base64 is Engine.IO v3 with the query b64: "b4" and base64, as text.
	FormV3Base64
)

// FormWebTransport is Engine.IO v4 on a WebTransport stream, where every packet has a
// header of another kind, see [AppendWTHeader].
const FormWebTransport = FormDeflated << 1

// V3 reports whether f is a form of Engine.IO v3.
func (f Form) V3() bool { return f == FormV3 || f == FormV3Base64 }

// Base64 reports whether f has no binary frames.
func (f Form) Base64() bool { return f == FormBase64 || f == FormV3Base64 }

// prefixes stand in front of the base64 of a binary message.
const (
	prefixBase64   = "b"
	prefixBase64V3 = "b4"
)

// typeV3 is the packet type in front of a binary message in Engine.IO v3.
const typeV3 = byte(Message - '0')

// packetLen returns the size of a binary message of n bytes in the form f.
func (f Form) packetLen(n int) int {
	switch f {
	case FormBase64:
		return len(prefixBase64) + base64.StdEncoding.EncodedLen(n)
	case FormV3:
		return 1 + n
	case FormV3Base64:
		return len(prefixBase64V3) + base64.StdEncoding.EncodedLen(n)
	}
	return n
}

// appendPacket appends the binary message data in the form f.
func (f Form) appendPacket(dst, data []byte) []byte {
	switch f {
	case FormBase64:
		return base64.StdEncoding.AppendEncode(append(dst, prefixBase64...), data)
	case FormV3:
		return append(append(dst, typeV3), data...)
	case FormV3Base64:
		return base64.StdEncoding.AppendEncode(append(dst, prefixBase64V3...), data)
	}
	return append(dst, data...)
}

// HasBinary reports whether there is a binary frame in the content of a frame. If
// not, the frame is the same in every form but FormWebTransport.
func HasBinary(frame []byte) bool {
	for len(frame) > 0 {
		var isBinary bool
		if _, isBinary, frame = NextPart(frame); isBinary {
			return true
		}
	}
	return false
}

// NewFrameIn returns the content of a plain frame in the form f. The caller owns the
// one reference.
func NewFrameIn(f Form, frame []byte) *pool.Frame {
	if f == FormWebTransport {
		return newWTFrame(frame)
	}
	op := ws.OpBinary
	if f.Base64() {
		op = ws.OpText
	}
	n := 0
	for rest := frame; len(rest) > 0; {
		var data []byte
		data, _, rest = NextPart(rest)
		n += MaxWSHeader + f.packetLen(len(data))
	}
	b := pool.Get(n)
	for rest := frame; len(rest) > 0; {
		var data []byte
		var isBinary bool
		data, isBinary, rest = NextPart(rest)
		if isBinary {
			b.B = AppendWSHeader(b.B, op, f.packetLen(len(data)))
			b.B = f.appendPacket(b.B, data)
		} else {
			b.B = append(AppendWSHeader(b.B, ws.OpText, len(data)), data...)
		}
	}
	return b.Seal(0)
}

// ParseTextV3 is [ParseText] for Engine.IO v3, where the type stands behind a "b":
//
//	b4AQID    the binary message 1 2 3
//
// Source: https://github.com/socketio/engine.io-protocol/tree/v3#packet
func ParseTextV3(p []byte) (Packet, error) {
	if len(p) > 0 && p[0] == 'b' {
		if len(p) == 1 {
			return Packet{Binary: true}, nil
		}
		return Packet{Type: typeOf(p[1] - '0'), Binary: true, Data: decodeBase64(p[2:])}, nil
	}
	return ParseText(p)
}

// ParseBinaryV3 parses the payload of a WebSocket binary frame of Engine.IO v3:
//
//	04 01 02 03    the binary message 1 2 3
//
// A binary packet of unknown type, or without one, has the type 0, which is none.
// It is not an error, because the reference ignores it. The result aliases p.
func ParseBinaryV3(p []byte) Packet {
	if len(p) == 0 {
		return Packet{Binary: true}
	}
	return Packet{Type: typeOf(p[0]), Binary: true, Data: p[1:]}
}

// typeOf returns the type with the number n, or 0.
func typeOf(n byte) PacketType {
	if n > byte(Noop-'0') {
		return 0
	}
	return Open + PacketType(n)
}
