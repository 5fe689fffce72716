// Package ws holds the few bytes of WebSocket, Engine.IO and Socket.IO that the load
// generator and the floor server need. It is no use against a peer that is not trusted.
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

// headers are those a browser sends with every request.
const headers = "Host: localhost:3000\r\nConnection: %\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Origin: http://localhost:3000\r\nAccept-Language: en-US,en;q=0.9\r\n"

// Handshake is the request of a browser that opens a WebSocket at target, a path
// with its query.
func Handshake(target string) string {
	return "GET " + target + " HTTP/1.1\r\n" + connection("Upgrade") +
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Sec-WebSocket-Key: " + Key + "\r\n\r\n"
}

// Get is the head of a browser's polling request. It does not ask for compression.
func Get(target string) string {
	return "GET " + target + " HTTP/1.1\r\n" + connection("keep-alive") + "Accept: */*\r\n\r\n"
}

// Post is the head of a browser's polling request up to the length of its body, which
// the caller appends, with an empty line and the body.
func Post(target string) string {
	return "POST " + target + " HTTP/1.1\r\n" + connection("keep-alive") +
		"Accept: */*\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: "
}

func connection(value string) string {
	for i := range len(headers) {
		if headers[i] == '%' {
			return headers[:i] + value + headers[i+1:]
		}
	}
	return headers
}

// Opcodes of RFC 6455, section 11.8.
const (
	Text   = 1
	Binary = 2
	Close  = 8
	Ping   = 9
	Pong   = 10
)

// mask is the key of every client frame. Any key but zero will do: zero would spare
// servers that look for it the unmasking.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// Append appends a frame to dst. Clients mask theirs.
func Append(dst []byte, op byte, client bool, payload []byte) []byte {
	bit := byte(0)
	if client {
		bit = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|op, bit|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|op, bit|126, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|op, bit|127), uint64(n))
	}
	if !client {
		return append(dst, payload...)
	}
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	xor(dst[start:], mask)
	return dst
}

// xor masks or unmasks p.
func xor(p []byte, key [4]byte) {
	k := uint64(binary.LittleEndian.Uint32(key[:]))
	k |= k << 32
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^k)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= key[i&3]
	}
}

// ErrClosed says that the peer sent a close frame, ErrFrame that it sent one that does
// not belong here: a fragment, a compressed one, or one beyond 1 GiB.
var (
	ErrClosed = errors.New("ws: closed by the peer")
	ErrFrame  = errors.New("ws: unexpected frame")
)

// Next cuts the first frame from p and unmasks it in place. n is its size, 0 while it is
// incomplete. The payload is a part of p. With ErrClosed it is what the close frame held.
func Next(p []byte) (payload []byte, op byte, n int, err error) {
	if len(p) < 2 {
		return nil, 0, 0, nil
	}
	if p[0]&0xf0 != 0x80 {
		return nil, 0, 0, ErrFrame
	}
	size, head := uint64(p[1]&0x7f), 2
	switch size {
	case 126:
		if len(p) < 4 {
			return nil, 0, 0, nil
		}
		size, head = uint64(binary.BigEndian.Uint16(p[2:])), 4
	case 127:
		if len(p) < 10 {
			return nil, 0, 0, nil
		}
		size, head = binary.BigEndian.Uint64(p[2:]), 10
		if size > 1<<30 {
			return nil, 0, 0, ErrFrame
		}
	}
	masked := p[1]&0x80 != 0
	if masked {
		head += 4
	}
	end := head + int(size)
	if len(p) < end {
		return nil, 0, 0, nil
	}
	payload = p[head:end:end]
	if masked {
		xor(payload, [4]byte(p[head-4:]))
	}
	op = p[0] & 0xf
	if op == Close {
		return payload, op, end, ErrClosed
	}
	return payload, op, end, nil
}
