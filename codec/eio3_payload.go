package codec

import (
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// The two polling payloads of Engine.IO v3. The one made of text counts in UTF-16 code
// units, as JavaScript does:
//
//	6:4hello2:4€10:b4AQIDBA==
//
// The binary one counts in bytes. In front of each packet stand 0 for text or 1 for
// binary, the digits of the length as numbers, and 255:
//
//	00 06 ff 34 68 65 6c 6c 6f   01 05 ff 04 01 02 03 04
//
// Source: https://github.com/socketio/engine.io-protocol/tree/v3#payload
const (
	markText   = 0x00
	markBinary = 0x01
	markEnd    = 0xff
)

// maxLength bounds the lengths that are read, and maxLengthDigits the digits of those
// that are written.
const (
	maxLength       = math.MaxInt32
	maxLengthDigits = 10
)

// AppendPayloadV3 appends the packets inside the content of a plain frame to a
// payload made of text.
func AppendPayloadV3(dst, frame []byte) []byte {
	for len(frame) > 0 {
		var data []byte
		var isBinary bool
		data, isBinary, frame = NextPart(frame)
		if isBinary {
			dst = append(strconv.AppendInt(dst, int64(FormV3Base64.packetLen(len(data))), 10), ':')
			dst = FormV3Base64.appendPacket(dst, data)
		} else {
			dst = append(strconv.AppendInt(dst, int64(utf16Len(data)), 10), ':')
			dst = append(dst, data...)
		}
	}
	return dst
}

// AppendBinaryPayloadV3 appends the packets inside the content of a plain frame to a
// binary payload.
func AppendBinaryPayloadV3(dst, frame []byte) []byte {
	for len(frame) > 0 {
		var data []byte
		var isBinary bool
		data, isBinary, frame = NextPart(frame)
		if isBinary {
			dst = appendBinaryLength(dst, markBinary, FormV3.packetLen(len(data)))
			dst = FormV3.appendPacket(dst, data)
		} else {
			dst = append(appendBinaryLength(dst, markText, len(data)), data...)
		}
	}
	return dst
}

func appendBinaryLength(dst []byte, mark byte, n int) []byte {
	dst = append(dst, mark)
	at := len(dst)
	dst = strconv.AppendInt(dst, int64(n), 10)
	for i := at; i < len(dst); i++ {
		dst[i] -= '0'
	}
	return append(dst, markEnd)
}

// PayloadLenV3 returns a bound on the bytes that AppendPayloadV3 or
// AppendBinaryPayloadV3 add for the content of a frame.
func PayloadLenV3(frame []byte) int {
	n := 0
	for len(frame) > 0 {
		var data []byte
		var isBinary bool
		data, isBinary, frame = NextPart(frame)
		size := len(data)
		if isBinary {
			size = FormV3Base64.packetLen(size)
		}
		n += maxLengthDigits + 2 + size
	}
	return n
}

// utf16Len returns the length of the valid UTF-8 text p in UTF-16 code units.
func utf16Len(p []byte) int {
	n := 0
	for _, b := range p {
		if b&0xc0 != 0x80 { // the first byte of a character
			n++
		}
		if b >= 0xf0 { // of one beyond U+FFFF, which takes two units
			n++
		}
	}
	return n
}

// NewPayloadReaderV3 returns a reader over a body made of text, which is borrowed for
// writing while the reader is in use.
//
// Unlike in v4, framing errors are found as they come: the packets in front are
// delivered, as the reference does. Lengths are decimal digits and nothing else;
// a packet of length 0 is skipped. A length that cuts a surrogate pair in two leaves
// U+FFFD. An empty body is invalid.
func NewPayloadReaderV3(body []byte) PayloadReader {
	if !utf8.Valid(body) {
		body = toValidUTF8(body) // before anything is counted, as the reference's decoder does
	}
	return PayloadReader{rest: body, more: true, v3: readText}
}

// NewBinaryPayloadReaderV3 returns a reader over a binary body, which is borrowed for
// writing while the reader is in use.
//
// Text with ill-formed UTF-8 is invalid, except for encoded surrogates, which old
// clients send: each becomes U+FFFD. An empty body has no packets.
func NewBinaryPayloadReaderV3(body []byte) PayloadReader {
	return PayloadReader{rest: body, more: len(body) > 0, v3: readBinary}
}

// readerV3 tells which payload of Engine.IO v3 a PayloadReader reads, if any.
type readerV3 uint8

const (
	_ readerV3 = iota
	readText
	readBinary
)

// nextV3 is Next for Engine.IO v3.
func (r *PayloadReader) nextV3() (Packet, error) {
	if !r.more {
		return Packet{}, io.EOF
	}
	var packet Packet
	var err error
	if r.v3 == readText {
		packet, err = r.nextText()
	} else {
		packet, err = r.nextBinary()
	}
	if err != nil {
		r.rest, r.more = nil, false
	}
	return packet, err
}

func (r *PayloadReader) nextText() (Packet, error) {
	for {
		n, body, ok := cutLength(r.rest, '0', ':')
		if !ok {
			return Packet{}, ErrPacket
		}
		p, rest, ok := cutUTF16(body, n)
		if !ok {
			return Packet{}, ErrPacket
		}
		r.rest, r.more = rest, len(rest) > 0
		switch {
		case n > 0:
			return ParseTextV3(p)
		case !r.more:
			return Packet{}, io.EOF
		}
	}
}

func (r *PayloadReader) nextBinary() (Packet, error) {
	isText := r.rest[0] == markText
	n, body, ok := cutLength(r.rest[1:], 0, markEnd)
	if !ok || n > len(body) {
		return Packet{}, ErrPacket
	}
	p := body[:n:n]
	r.rest, r.more = body[n:], len(body) > n
	if !isText {
		return ParseBinaryV3(p), nil
	}
	if !utf8.Valid(p) {
		replaceSurrogates(p)
		if !utf8.Valid(p) {
			return Packet{}, ErrPacket
		}
	}
	return ParseTextV3(p)
}

// cutLength reads a length, whose digits count from zero on, and the byte end behind it.
func cutLength(p []byte, zero, end byte) (n int, rest []byte, ok bool) {
	for i, b := range p {
		switch d := b - zero; {
		case b == end:
			return n, p[i+1:], i > 0
		case d > 9 || n > (maxLength-9)/10:
			return 0, nil, false
		default:
			n = 10*n + int(d)
		}
	}
	return 0, nil, false
}

// cutUTF16 cuts n UTF-16 code units off the valid UTF-8 text p.
func cutUTF16(p []byte, n int) (head, rest []byte, ok bool) {
	if n > len(p) {
		return nil, nil, false
	}
	i := 0
	for i < len(p) && n > 0 {
		size := 1
		if p[i] >= utf8.RuneSelf {
			_, size = utf8.DecodeRune(p[i:])
		}
		n--
		if size == utf8.UTFMax { // a surrogate pair
			if n == 0 {
				// Its other half begins what follows, which therefore is no length.
				copy(p[i:], "\ufffd")
				return p[: i+3 : i+3], p[i+3:], true
			}
			n--
		}
		i += size
	}
	return p[:i:i], p[i:], n == 0
}

// replaceSurrogates overwrites every surrogate that is encoded in three bytes, which
// UTF-8 does not allow, with U+FFFD.
func replaceSurrogates(p []byte) {
	for i := 0; i+2 < len(p); i++ {
		if p[i] == 0xed && p[i+1] >= 0xa0 && p[i+1] <= 0xbf && p[i+2]&0xc0 == 0x80 {
			copy(p[i:], "\ufffd")
		}
	}
}
