// Package memconn provides buffered in-memory connections for tests. Unlike
// net.Pipe a write does not wait for its reader, as long as it fits the buffer,
// and the two directions can be closed one by one. Blocking calls are durable in
// a testing/synctest bubble.
package memconn

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// DefaultBuffer is the number of bytes each direction of a Pipe holds.
const DefaultBuffer = 256 << 10

// Conn is one end of an in-memory connection.
type Conn struct {
	in, out *half
	name    string
}

// Pipe returns the two ends of a connection with DefaultBuffer bytes of room in
// each direction.
func Pipe() (client, server *Conn) { return PipeSize(DefaultBuffer) }

// PipeSize is Pipe with room for size bytes in each direction.
func PipeSize(size int) (client, server *Conn) {
	up, down := newHalf(size), newHalf(size)
	return &Conn{in: down, out: up, name: "client"}, &Conn{in: up, out: down, name: "server"}
}

// half is one direction.
type half struct {
	mu       sync.Mutex
	cond     sync.Cond
	buf      []byte
	size     int
	eof      bool // the writer is done
	broken   bool // the reader is gone
	deadline [2]time.Time
	timers   [2]*time.Timer
}

const (
	reading = iota
	writing
)

func newHalf(size int) *half {
	h := &half{size: size}
	h.cond.L = &h.mu
	return h
}

func (h *half) expired(side int) bool {
	d := h.deadline[side]
	return !d.IsZero() && !time.Now().Before(d)
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.broken:
			return 0, net.ErrClosed
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[n:]
			h.cond.Broadcast()
			return n, nil
		case h.eof:
			return 0, io.EOF
		case h.expired(reading):
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		}
		h.cond.Wait()
	}
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(p) > 0 {
		switch room := h.size - len(h.buf); {
		case h.eof:
			return n, net.ErrClosed
		case h.broken:
			return n, io.ErrClosedPipe
		case h.expired(writing):
			return n, os.ErrDeadlineExceeded
		case room > 0:
			k := min(room, len(p))
			h.buf = append(h.buf, p[:k]...)
			p, n = p[k:], n+k
			h.cond.Broadcast()
			continue
		}
		h.cond.Wait()
	}
	return n, nil
}

func (h *half) end(reader bool) {
	h.mu.Lock()
	if reader {
		h.broken = true
		h.buf = nil
	} else {
		h.eof = true
	}
	h.cond.Broadcast()
	h.mu.Unlock()
}

func (h *half) setDeadline(side int, t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deadline[side] = t
	if h.timers[side] != nil {
		h.timers[side].Stop()
		h.timers[side] = nil
	}
	if !t.IsZero() {
		h.timers[side] = time.AfterFunc(time.Until(t), func() {
			h.mu.Lock()
			h.cond.Broadcast()
			h.mu.Unlock()
		})
	}
	h.cond.Broadcast()
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write implements net.Conn. It blocks while the buffer is full.
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close ends both directions. The peer reads what was written before.
func (c *Conn) Close() error {
	c.out.end(false)
	c.in.end(true)
	c.SetDeadline(time.Time{})
	return nil
}

// CloseWrite ends the sending direction.
func (c *Conn) CloseWrite() error {
	c.out.end(false)
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return addr(c.name) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr {
	if c.name == "client" {
		return addr("server")
	}
	return addr("client")
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(reading, t)
	c.out.setDeadline(writing, t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(reading, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(writing, t)
	return nil
}

type addr string

func (addr) Network() string  { return "memory" }
func (a addr) String() string { return string(a) }

// Listener hands the server ends of dialled pipes to Accept.
type Listener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

// Listen returns a listener in memory.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Dial connects to l.
func (l *Listener) Dial() (net.Conn, error) {
	client, server := Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return addr("listener") }
