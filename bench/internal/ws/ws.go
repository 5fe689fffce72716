// Package ws holds the few bytes of WebSocket and Socket.IO that the load
// generator and the floor server need.
package ws

import (
	"encoding/binary"
	"errors"
)

// Key is the Sec-WebSocket-Key of every client, and Accept its answer.
const (
	Key    = "dGhlIHNhbXBsZSBub25jZQ=="
	Accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// Request is the handshake of a browser, with the host left out of it.
const Request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" +
	"Host: localhost\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\nOrigin: http://localhost:3000\r\nSec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n" +
	"Sec-WebSocket-Key: " + Key + "\r\n\r\n"

// AppendText appends a text frame. Clients must mask; the key is zero, which
// leaves the payload as it is.
func AppendText(dst []byte, client bool, payload []byte) []byte {
	mask := byte(0)
	if client {
		mask = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x81, mask|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x81, mask|126, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x81, mask|127), uint64(n))
	}
	if client {
		dst = append(dst, 0, 0, 0, 0)
	}
	return append(dst, payload...)
}

var errControl = errors.New("ws: unexpected frame")

// Next cuts the first frame from p. n is its size, 0 while it is incomplete.
func Next(p []byte) (payload []byte, op byte, n int, err error) {
	if len(p) < 2 {
		return nil, 0, 0, nil
	}
	size, head := int(p[1]&0x7f), 2
	switch size {
	case 126:
		if len(p) < 4 {
			return nil, 0, 0, nil
		}
		size, head = int(binary.BigEndian.Uint16(p[2:])), 4
	case 127:
		if len(p) < 10 {
			return nil, 0, 0, nil
		}
		size, head = int(binary.BigEndian.Uint64(p[2:])), 10
	}
	masked := p[1]&0x80 != 0
	var key [4]byte
	if masked {
		if len(p) < head+4 {
			return nil, 0, 0, nil
		}
		key = [4]byte(p[head:])
		head += 4
	}
	if len(p) < head+size {
		return nil, 0, 0, nil
	}
	payload = p[head : head+size]
	if masked && key != [4]byte{} {
		for i := range payload {
			payload[i] ^= key[i&3]
		}
	}
	if p[0]&0xf == 8 {
		return payload, 8, head + size, errControl
	}
	return payload, p[0] & 0xf, head + size, nil
}
