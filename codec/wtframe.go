package codec

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/epio-go/epio/pool"
)

// MaxWTHeader is the size of the largest header of a packet on WebTransport: 1 byte and a
// 64-bit length.
const MaxWTHeader = 9

// wtBinary in the first byte of a header tells that the packet is a binary message.
const wtBinary = 0x80

// AppendWTHeader appends the header that stands in front of a packet of n bytes on a
// WebTransport stream, in its minimal form. It is the header of a WebSocket frame
// without the byte of the opcode, and with a bit for binary where that has the mask:
//
//	05             text, 5 bytes
//	fe 01 00       binary, 256 bytes
//
// Source: https://socket.io/docs/v4/engine-io-protocol/#webtransport, and
// createPacketEncoderStream in engine.io-parser.
func AppendWTHeader(dst []byte, isBinary bool, n int) []byte {
	first := byte(0)
	if isBinary {
		first = wtBinary
	}
	switch {
	case n < 126:
		return append(dst, first|byte(n))
	case n <= 0xffff:
		return append(dst, first|126, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first|127), uint64(n))
	}
}

// WTPacket is one packet cut from a WebTransport stream.
type WTPacket struct {
	// Data is the packet: text with its type in front, or the binary message itself. It
	// aliases what it was cut from.
	Data   []byte
	Binary bool
	// Size is the length that the header tells, also when Data is not there yet.
	Size uint64
}

// NextWT cuts the first packet off p, the next bytes of a WebTransport stream. It returns
// how many bytes that took; 0 without an error means that the packet is incomplete. So it
// is called again with the same bytes and more of them; it keeps nothing in between.
//
//	 0                   1                   2
//	+-+-------------+-------------------------------+
//	|B| length (7)  | length (16 or 64, if 126/127) |
//	+-+-------------+-------------------------------+
//
// limit is the greatest size of a packet, inclusive. What is more is judged as
// soon as the header is there: then the error is ErrWTSize, and Size is set. A text packet
// without a byte is ErrPacket. A binary one is an empty message: that is how the official
// client sends one, though the reference server refuses it. Lengths need not be minimal, as
// in the reference.
//
// Source: createPacketDecoderStream in engine.io-parser.
func NextWT(p []byte, limit int) (packet WTPacket, n int, err error) {
	if len(p) == 0 {
		return packet, 0, nil
	}
	packet.Binary = p[0]&wtBinary != 0
	size, at := uint64(p[0]&^wtBinary), 1
	switch size {
	case 126:
		if at = 3; len(p) < at {
			return packet, 0, nil
		}
		size = uint64(binary.BigEndian.Uint16(p[1:]))
	case 127:
		if at = MaxWTHeader; len(p) < at {
			return packet, 0, nil
		}
		size = binary.BigEndian.Uint64(p[1:])
	}
	packet.Size = size
	switch {
	case size == 0 && !packet.Binary:
		return packet, 0, ErrPacket
	case size > uint64(limit):
		return packet, 0, ErrWTSize
	case uint64(len(p)-at) < size:
		return packet, 0, nil
	}
	n = at + int(size)
	packet.Data = p[at:n:n]
	return packet, n, nil
}

// Parse parses the packet as [ParseText] does, or as the binary message it is.
// Invalid UTF-8 is replaced by U+FFFD, as the reference does. The result aliases
// Data, which is borrowed for writing, or memory of its own.
func (p *WTPacket) Parse() (Packet, error) {
	if p.Binary {
		return Packet{Type: Message, Binary: true, Data: p.Data}, nil
	}
	packet, err := ParseText(p.Data)
	if err == nil && !packet.Binary && !utf8.Valid(packet.Data) {
		packet.Data = toValidUTF8(packet.Data)
	}
	return packet, err
}

// newWTFrame is [NewFrameIn] for FormWebTransport.
func newWTFrame(frame []byte) *pool.Frame {
	// No packet is longer there than as a WebSocket frame.
	b := pool.Get(len(frame))
	for len(frame) > 0 {
		var data []byte
		var isBinary bool
		data, isBinary, frame = NextPart(frame)
		if isBinary && len(data) == 0 {
			// The official client takes a length of 0 for an error.
			b.B = append(AppendWTHeader(b.B, false, len(prefixBase64)), prefixBase64...)
			continue
		}
		b.B = append(AppendWTHeader(b.B, isBinary, len(data)), data...)
	}
	return b.Seal(0)
}
