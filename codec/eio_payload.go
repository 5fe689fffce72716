package codec

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// Separator stands between the packets of a polling payload.
//
// Source: https://socket.io/docs/v4/engine-io-protocol/#http-long-polling-1
const Separator = 0x1e

// AppendPayload appends the packets inside the content of a frame to a polling
// payload, with separators between them and, when dst is not empty, in front:
//
//	4hello 0x1e bAQID
func AppendPayload(dst, frame []byte) []byte {
	for len(frame) > 0 {
		var data []byte
		var isBinary bool
		data, isBinary, frame = NextPart(frame)
		if len(dst) > 0 {
			dst = append(dst, Separator)
		}
		if isBinary {
			dst = FormBase64.appendPacket(dst, data)
		} else {
			dst = append(dst, data...)
		}
	}
	return dst
}

// PayloadLen returns how many bytes AppendPayload adds to an empty dst for the
// content of a frame. Each further frame needs one more byte, the separator.
func PayloadLen(frame []byte) int {
	n := -1
	for len(frame) > 0 {
		var data []byte
		var isBinary bool
		data, isBinary, frame = NextPart(frame)
		if isBinary {
			n += 1 + FormBase64.packetLen(len(data))
		} else {
			n += 1 + len(data)
		}
	}
	return max(n, 0)
}

// PayloadReader cuts the body of a polling POST into packets. The zero value is
// an empty reader that reports io.EOF; NewPayloadReader makes one for a body of
// Engine.IO v4, NewPayloadReaderV3 and NewBinaryPayloadReaderV3 for one of v3.
// It holds no resources. It is not safe for concurrent use.
type PayloadReader struct {
	rest []byte
	more bool
	v3   readerV3
}

// NewPayloadReader returns a reader over body, which is borrowed for writing
// while the reader is in use: base64 is decoded in place.
func NewPayloadReader(body []byte) PayloadReader {
	return PayloadReader{rest: body, more: true}
}

// Next returns the next packet. Its Data is valid until the body is reused.
// The error is io.EOF after the last packet, or ErrPacket when the next one is
// invalid; everything behind an invalid packet is given up, so a following call
// returns io.EOF. An empty body is one invalid packet.
//
// Base64 is decoded leniently and invalid UTF-8 is replaced by U+FFFD, both as
// the reference does.
func (r *PayloadReader) Next() (Packet, error) {
	if r.v3 != 0 {
		return r.nextV3()
	}
	if !r.more {
		return Packet{}, io.EOF
	}
	p := r.rest
	if i := bytes.IndexByte(p, Separator); i >= 0 {
		p, r.rest = p[:i:i], p[i+1:]
	} else {
		r.rest, r.more = nil, false
	}
	packet, err := ParseText(p)
	if err != nil {
		r.rest, r.more = nil, false
		return Packet{}, err
	}
	if !packet.Binary && !utf8.Valid(packet.Data) {
		packet.Data = toValidUTF8(packet.Data)
	}
	return packet, nil
}
