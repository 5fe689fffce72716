package codec

import (
	"encoding/binary"
	"iter"
	"math"

	"github.com/gobwas/ws"
)

// MaxWSHeader is the size of the largest server-side WebSocket header: 2 bytes
// and a 64-bit length.
const MaxWSHeader = 10

const finBit = 0x80

// AppendWSHeader appends the header of an unmasked, final frame with n bytes of
// payload, in its minimal form.
//
//	81 05            text, 5 bytes
//	82 7e 01 00      binary, 256 bytes
//
// Source: RFC 6455 section 5.2.
func AppendWSHeader(dst []byte, op ws.OpCode, n int) []byte {
	switch {
	case n < 126:
		return append(dst, finBit|byte(op), byte(n))
	case n <= 0xffff:
		return append(dst, finBit|byte(op), 126, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, finBit|byte(op), 127), uint64(n))
	}
}

// wsHeaderLen returns the size of the minimal header for n bytes of payload.
func wsHeaderLen(n int) int {
	switch {
	case n < 126:
		return 2
	case n <= 0xffff:
		return 4
	default:
		return MaxWSHeader
	}
}

// NextPart cuts the first WebSocket frame off b, which must be (the rest of) a
// frame made by this package: anything else is a programming error and panics.
// It returns the payload, whether the frame is binary, and what follows.
// The results alias b.
func NextPart(b []byte) (data []byte, isBinary bool, rest []byte) {
	isBinary = b[0] == finBit|byte(ws.OpBinary)
	if !isBinary && b[0] != finBit|byte(ws.OpText) {
		panic("codec: not a data frame")
	}
	n, at := int(b[1]), 2
	switch n {
	case 126:
		n, at = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		n, at = int(binary.BigEndian.Uint64(b[2:])), MaxWSHeader
	}
	return b[at : at+n : at+n], isBinary, b[at+n:]
}

// Parts iterates over the WebSocket frames inside the content of a pool.Frame:
// for each, whether it is binary, and its payload (an alias of b).
// The per-packet paths use [NextPart].
func Parts(b []byte) iter.Seq2[bool, []byte] {
	return func(yield func(bool, []byte) bool) {
		for len(b) > 0 {
			var data []byte
			var isBinary bool
			data, isBinary, b = NextPart(b)
			if !yield(isBinary, data) {
				return
			}
		}
	}
}

// AttachmentsIn returns how many attachments the Socket.IO packet at the start of a frame's content
// announces: 2 for "452-[…]" and 0 for whatever has none, msgpack included.
func AttachmentsIn(frame []byte) int {
	if len(frame) < 2 || frame[0] != finBit|byte(ws.OpText) {
		return 0
	}
	p, _, _ := NextPart(frame)
	if len(p) < 3 || p[0] != byte(Message) || p[1] != '0'+byte(BinaryEvent) && p[1] != '0'+byte(BinaryAck) {
		return 0
	}
	end := scanDigits(p, 2)
	n, ok := atoi(p[2:end])
	if !ok || end == len(p) || p[end] != '-' {
		return 0
	}
	return int(min(n, math.MaxInt32))
}
