package eio

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// wsReader cuts the byte stream of a WebSocket client into messages. It holds
// memory only while a fragmented message is incomplete. The zero value is ready.
//
// It does no I/O. It is owned by whoever runs Data of the connection.
type wsReader struct {
	frag    *fragments
	deflate bool // immutable: compressed messages have been negotiated
}

// fragments is an incomplete message.
type fragments struct {
	buf      *pool.Buf
	binary   bool
	deflated bool
	valid    int // bytes of a plain text known to be valid UTF-8
}

// wsMessage is a complete data message or a control frame.
type wsMessage struct {
	op   ws.OpCode // OpText, OpBinary, OpPing, OpPong, OpClose; OpContinuation: nothing complete yet
	data []byte
	buf  *pool.Buf // memory of data when the message was fragmented or compressed; the caller releases it
}

func (m *wsMessage) release() {
	if m.buf != nil {
		m.buf.Release()
	}
}

// next takes the first frame of p. It returns how many bytes of p it consumed; 0
// without an error means that the frame is incomplete. It unmasks in place, and only
// what it consumes. The message aliases p, or m.buf. limit bounds the bytes of a
// message, over all its fragments, and is enforced as soon as a header declares more;
// for a compressed message it counts what comes out, as soon as it does.
//
//	 0                   1                   2                   3
//	+-+-+-+-+-------+-+-------------+-------------------------------+
//	|F|R|R|R| opcode|M| length (7)  | length (16 or 64, if 126/127) |
//	|I|S|S|S|  (4)  |A|             +-------------------------------+
//	|N|V|V|V|       |S|             | masking key (32)              |
//	|N|1|2|3|       |K|             +-------------------------------+
//
// Errors match ErrWebSocketProtocol, ErrWebSocketUTF8, ErrWebSocketDeflate or
// ErrMessageTooBig. After an error the reader must not be used, except for release.
//
// Source: RFC 6455 section 5, RFC 7692 section 6.
func (r *wsReader) next(p []byte, limit int) (m wsMessage, n int, err error) {
	h, head, err := parseWSHead(p)
	if err != nil {
		return m, 0, err
	}
	state := ws.StateServerSide
	if r.frag != nil {
		state = state.Set(ws.StateFragmented)
	}
	if len(p) < 2 {
		return m, 0, nil
	}
	deflated := false
	if r.deflate && h.Rsv == rsv1 && (h.OpCode == ws.OpText || h.OpCode == ws.OpBinary) {
		h.Rsv, deflated = 0, true // on any other frame the bit is an error
	}
	// Judged by what is there already: a peer that breaks the rules is not
	// worth waiting for.
	if err := checkWSHead(h, state); err != nil {
		return m, 0, err
	}
	if !h.OpCode.IsControl() {
		have, most := r.room(deflated, limit)
		if h.Length > int64(most-have) {
			return m, 0, &SizeError{Size: int64(min(uint64(have)+uint64(h.Length), math.MaxInt64)), Limit: limit}
		}
	}
	if head == 0 {
		return m, 0, nil
	}
	size := int(h.Length)
	if len(p)-head < size {
		return m, 0, nil
	}
	n = head + size
	data := p[head:n:n]
	ws.Cipher(data, h.Mask, 0)

	switch {
	case h.OpCode.IsControl():
		m = wsMessage{op: h.OpCode, data: data}
	case h.OpCode != ws.OpContinuation && h.Fin && deflated:
		m, err = inflate(h.OpCode, data, limit)
		return m, n, err
	case h.OpCode != ws.OpContinuation && h.Fin:
		if h.OpCode == ws.OpText && !utf8.Valid(data) {
			return m, n, ErrWebSocketUTF8
		}
		m = wsMessage{op: h.OpCode, data: data}
	case h.OpCode != ws.OpContinuation:
		r.frag = &fragments{buf: pool.Get(len(data)), binary: h.OpCode == ws.OpBinary, deflated: deflated}
		fallthrough
	default:
		m, err = r.fragment(data, h.Fin, limit)
		return m, n, err
	}
	return m, n, nil
}

// room returns how many bytes of the message in progress, or of a message that begins now,
// are there, and how many it may have on the wire.
func (r *wsReader) room(deflated bool, limit int) (have, most int) {
	if r.frag != nil {
		deflated, have = r.frag.deflated, len(r.frag.buf.B)
	}
	if deflated {
		limit = codec.MaxDeflated(limit)
	}
	return have, limit
}

// fragment adds data to the message in progress.
func (r *wsReader) fragment(data []byte, fin bool, limit int) (m wsMessage, err error) {
	f := r.frag
	f.buf.Grow(len(data))
	f.buf.B = append(f.buf.B, data...)
	if !f.binary && !f.deflated {
		valid, ok := validUTF8Prefix(f.buf.B[f.valid:])
		f.valid += valid
		if !ok || (fin && f.valid < len(f.buf.B)) {
			return m, ErrWebSocketUTF8
		}
	}
	if !fin {
		return wsMessage{op: ws.OpContinuation}, nil
	}
	r.frag = nil
	m = wsMessage{op: ws.OpText, data: f.buf.B, buf: f.buf}
	if f.binary {
		m.op = ws.OpBinary
	}
	if f.deflated {
		defer f.buf.Release()
		return inflate(m.op, m.data, limit)
	}
	return m, nil
}

// release frees an incomplete message.
func (r *wsReader) release() {
	if r.frag != nil {
		r.frag.buf.Release()
		r.frag = nil
	}
}

// parseWSHead parses the header of a frame. head is its size, or 0 when it is
// incomplete; then h holds what is known, and Length is the least it can become.
// A data frame whose length has a longer form than it needs is accepted: RFC 6455
// forbids sending it (section 5.2) and does not ask for its refusal; there are clients
// that are off by one at the limits, and the reference takes it too.
func parseWSHead(p []byte) (h ws.Header, head int, err error) {
	if len(p) < 2 {
		return h, 0, nil
	}
	h.Fin = p[0]&0x80 != 0
	h.Rsv = p[0] >> 4 & 0x7
	h.OpCode = ws.OpCode(p[0] & 0xf)
	h.Masked = p[1]&0x80 != 0
	length := uint64(p[1] & 0x7f)
	head = 2
	if length > 125 && h.OpCode.IsControl() {
		// Whatever the longer form says: its use alone is wrong.
		return h, 0, fmt.Errorf("%w: %w", ErrWebSocketProtocol, ws.ErrProtocolControlPayloadOverflow)
	}
	switch length {
	case 126:
		if len(p) < 4 {
			return h, 0, nil
		}
		length, head = uint64(binary.BigEndian.Uint16(p[2:])), 4
	case 127:
		if len(p) < 10 {
			return h, 0, nil
		}
		length, head = binary.BigEndian.Uint64(p[2:]), 10
		if length>>63 != 0 {
			return h, 0, fmt.Errorf("%w: length with the top bit set", ErrWebSocketProtocol)
		}
	}
	h.Length = int64(length)
	if h.Masked {
		if len(p) < head+4 {
			return h, 0, nil
		}
		h.Mask = [4]byte(p[head:])
		head += 4
	}
	return h, head, nil
}

func checkWSHead(h ws.Header, s ws.State) error {
	if err := ws.CheckHeader(h, s); err != nil {
		return fmt.Errorf("%w: %w", ErrWebSocketProtocol, err)
	}
	return nil
}

// validUTF8Prefix returns how many bytes of p are complete, valid runes, and
// whether what follows, up to three bytes, can still become one.
func validUTF8Prefix(p []byte) (n int, ok bool) {
	if utf8.Valid(p) {
		return len(p), true
	}
	for back := 1; back <= min(3, len(p)); back++ {
		n = len(p) - back
		if utf8.RuneStart(p[n]) {
			return n, !utf8.FullRune(p[n:]) && utf8.Valid(p[:n])
		}
	}
	return 0, false
}

// parseClose checks the payload of a CLOSE frame and returns what it says.
//
// Source: RFC 6455 section 5.5.1 and 7.4.
func parseClose(data []byte) (*CloseError, error) {
	if len(data) == 0 {
		return &CloseError{Code: uint16(ws.StatusNoStatusRcvd)}, nil
	}
	if len(data) == 1 {
		return nil, fmt.Errorf("%w: close frame with one byte", ErrWebSocketProtocol)
	}
	code, text := binary.BigEndian.Uint16(data), data[2:]
	switch {
	case !validCloseCode(code):
		return nil, fmt.Errorf("%w: close frame with status %d", ErrWebSocketProtocol, code)
	case !utf8.Valid(text):
		return nil, ErrWebSocketUTF8
	}
	return &CloseError{Code: code, Text: string(text)}, nil
}

// validCloseCode reports whether a close frame may carry code: one that is registered
// and meant for the wire, or one for libraries (3000) and applications (4000).
//
// Source: RFC 6455 section 7.4 and
// https://www.iana.org/assignments/websocket/websocket.xml#close-code-number
func validCloseCode(code uint16) bool {
	switch {
	case code >= 1004 && code <= 1006: // 1004 has no meaning, the others say that there was no frame
		return false
	case code >= 1000 && code <= 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}
