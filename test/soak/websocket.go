package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// wsConn is the client's end of a WebSocket.
type wsConn struct {
	nc      net.Conn
	br      *bufio.Reader
	deflate bool // negotiated
	v3      bool // packets of Engine.IO v3

	mu sync.Mutex // guards writing
}

var (
	errWSClosed = errors.New("the server closed the WebSocket")
	errFrame    = errors.New("ill-formed frame")
)

// refusedError is an answer that is no 101.
type refusedError struct {
	status int
	body   string
}

func (e *refusedError) Error() string { return fmt.Sprintf("HTTP %d %s", e.status, e.body) }

const dialTime = 120 * time.Second

// dialWS opens a WebSocket at an address.
func dialWS(addr, target string, deflate bool) (*wsConn, error) {
	nc, err := net.DialTimeout("tcp", addr, dialTime)
	if err != nil {
		return nil, err
	}
	c := &wsConn{nc: nc, br: bufio.NewReaderSize(nc, 1<<10)}
	nc.SetDeadline(time.Now().Add(dialTime))
	head := "GET " + target + " HTTP/1.1\r\nHost: " + addr + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if deflate {
		head += "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
	}
	if _, err := io.WriteString(nc, head+"\r\n"); err != nil {
		nc.Close()
		return nil, err
	}
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		nc.Close()
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		nc.Close()
		return nil, &refusedError{resp.StatusCode, string(body)}
	}
	c.deflate = strings.Contains(resp.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	nc.SetDeadline(time.Time{})
	return c, nil
}

// writeTime bounds one write. A server that does not read for so long is stuck.
const writeTime = 120 * time.Second

// write sends frames in one piece.
func (c *wsConn) write(frames []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := c.nc.Write(frames)
	return err
}

// compressors are large.
var compressors = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, 1)
	return w
}}

// frame appends a message. It is cut into fragments and compressed at random.
func (c *wsConn) frame(dst []byte, binaryMessage bool, data []byte) []byte {
	op, rsv := byte(1), byte(0)
	if binaryMessage {
		op = 2
	}
	if c.deflate && rand.IntN(2) == 0 {
		var b bytes.Buffer
		w := compressors.Get().(*flate.Writer)
		w.Reset(&b)
		w.Write(data)
		w.Flush()
		compressors.Put(w)
		data, rsv = b.Bytes()[:b.Len()-4], 0x40
	}
	if len(data) > 1 && rand.IntN(8) == 0 {
		n := 1 + rand.IntN(len(data)-1)
		dst = appendFrame(dst, op|rsv, data[:n])
		return appendFrame(dst, 0x80, data[n:])
	}
	return appendFrame(dst, 0x80|op|rsv, data)
}

// appendFrame appends a masked frame with its first byte.
func appendFrame(dst []byte, first byte, data []byte) []byte {
	switch n := len(data); {
	case n < 126:
		dst = append(dst, first, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, first, 0x80|126, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, 0x80|127), uint64(n))
	}
	var mask [4]byte
	binary.LittleEndian.PutUint32(mask[:], rand.Uint32())
	dst = append(dst, mask[:]...)
	for i, b := range data {
		dst = append(dst, b^mask[i&3])
	}
	return dst
}

// read returns the next message. Servers send no fragments.
func (c *wsConn) read() (message, error) {
	var head [14]byte
	if _, err := io.ReadFull(c.br, head[:2]); err != nil {
		return message{}, err
	}
	n, more := uint64(head[1]), 0
	switch n {
	case 126:
		more = 2
	case 127:
		more = 8
	}
	if _, err := io.ReadFull(c.br, head[2:2+more]); err != nil {
		return message{}, err
	}
	switch more {
	case 2:
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case 8:
		n = binary.BigEndian.Uint64(head[2:])
	}
	op, rsv := head[0]&0xf, head[0]&0x70
	if head[0]&0x80 == 0 || head[1]&0x80 != 0 || n > 1<<24 || rsv != 0 && (rsv != 0x40 || !c.deflate) {
		return message{}, fmt.Errorf("%w: % x", errFrame, head[:2+more])
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(c.br, data); err != nil {
		return message{}, err
	}
	switch {
	case op == 8:
		return message{}, errWSClosed
	case op != 1 && op != 2:
		return message{}, fmt.Errorf("%w: opcode %d", errFrame, op)
	case rsv != 0:
		tail := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")
		r := flate.NewReader(io.MultiReader(bytes.NewReader(data), tail))
		plain, err := io.ReadAll(io.LimitReader(r, 1<<24))
		if err != nil {
			return message{}, fmt.Errorf("%w: %v", errFrame, err)
		}
		data = plain
	}
	return message{op == 2, data}, nil
}

// abort closes the connection so that the peer gets a reset.
func (c *wsConn) abort() {
	if tc, ok := c.nc.(*net.TCPConn); ok {
		tc.SetLinger(0)
	}
	c.nc.Close()
}
