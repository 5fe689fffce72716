package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/epio-go/epio/bench/internal/ws"
	"golang.org/x/sys/unix"
)

// stream is a socket with what is incomplete in either direction.
type stream struct {
	l    *load
	fd   int
	in   []byte // begins with an incomplete message; nil most of the time
	out  []byte // what the socket did not take yet, from sent on
	sent int
}

// conn is one client on a WebSocket.
type conn struct {
	stream
	i        int  // index in load.conns
	head     bool // the answer to the handshake has come
	attached bool // the next frame is an attachment
	probe    bool // it continues a polling session
	// ended is called when the server closes the connection; nil makes that an error.
	ended func() error

	// for the work under way
	next    uint64          // number of the broadcast expected next
	want    uint64          // number of the answer expected
	at      int64           // when the call under way was due
	last    [senders]uint64 // by sender, one more than the number that came last
	churner churner
}

// sources is how many loopback addresses the clients use. One has 28,232 ports by
// default, and a port rests a while after its connection.
const sources = 32

// dial connects from one of the source addresses. receive bounds the socket's receive
// buffer; 0 leaves it alone.
func (l *load) dial(receive int) (stream, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return stream{}, err
	}
	s := stream{l: l, fd: fd}
	if err := s.setup(receive); err != nil {
		unix.Close(fd)
		return stream{}, fmt.Errorf("connect: %w", err)
	}
	return s, nil
}

func (s *stream) setup(receive int) error {
	s.l.opened++
	if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + s.l.opened%sources)}}
	if err := unix.Bind(s.fd, from); err != nil {
		return err
	}
	if receive > 0 {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receive); err != nil {
			return err
		}
	}
	// On loopback this waits for nothing but room in the accept queue.
	if err := unix.Connect(s.fd, s.l.addr); err != nil {
		return err
	}
	if err := unix.SetNonblock(s.fd, true); err != nil {
		return err
	}
	return unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

// open connects one client and sends its handshake.
func (l *load) open(sid string, receive int) (*conn, error) {
	s, err := l.dial(receive)
	if err != nil {
		return nil, err
	}
	c := &conn{stream: s}
	if err := l.add(c.fd, c); err != nil {
		unix.Close(c.fd)
		return nil, err
	}
	if err := c.write([]byte(ws.Handshake(l.wire.target("websocket", sid)))); err != nil {
		l.remove(c.fd)
		return nil, err
	}
	return c, nil
}

// write sends p, keeping what the socket does not take.
func (s *stream) write(p []byte) error {
	if s.sent < len(s.out) {
		s.out = append(s.out, p...)
		return nil
	}
	n, err := s.push(p)
	if err != nil || n == len(p) {
		return err
	}
	s.out, s.sent = append(s.out[:0], p[n:]...), 0
	return s.l.watch(s.fd, unix.EPOLLIN|unix.EPOLLOUT)
}

// flush sends what was kept.
func (s *stream) flush() error {
	n, err := s.push(s.out[s.sent:])
	if err != nil {
		return err
	}
	if s.sent += n; s.sent < len(s.out) {
		// Moved when that is cheap compared with what has been sent since.
		if s.sent > len(s.out)/2 {
			s.out, s.sent = append(s.out[:0], s.out[s.sent:]...), 0
		}
		return nil
	}
	s.out, s.sent = s.out[:0], 0
	return s.l.watch(s.fd, unix.EPOLLIN)
}

// push writes as much of p as the socket takes.
func (s *stream) push(p []byte) (n int, err error) {
	for n < len(p) {
		w, err := rawWrite(s.fd, p[n:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return n, nil
		case err != nil:
			return n, fmt.Errorf("a connection failed: %w", err)
		}
		n += w
	}
	return n, nil
}

// input reads what has come and returns it behind what was left over. The caller gives the
// rest to keep.
func (s *stream) input(events uint32) ([]byte, error) {
	if events&unix.EPOLLOUT != 0 {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	n, err := s.l.read(s.fd)
	if err != nil || n == 0 {
		return nil, err
	}
	if len(s.in) == 0 {
		return s.l.buf[:n], nil
	}
	s.in = append(s.in, s.l.buf[:n]...)
	return s.in, nil
}

// keep holds the incomplete end of the input. rest is a part of what input returned. One
// client in many is in the middle of a message, so that buffers pass from hand to hand.
func (s *stream) keep(rest []byte) {
	l := s.l
	switch {
	case len(rest) > 0 && s.in == nil && len(l.spare) > 0:
		s.in = append(l.spare[len(l.spare)-1], rest...)
		l.spare = l.spare[:len(l.spare)-1]
	case len(rest) > 0:
		s.in = append(s.in[:0], rest...)
	case s.in != nil:
		l.spare = append(l.spare, s.in[:0])
		s.in = nil
	}
}

func (c *conn) ready(events uint32) error {
	p, err := c.input(events)
	if errors.Is(err, errClosed) && c.ended != nil {
		return c.ended()
	}
	if err != nil || len(p) == 0 {
		return err
	}
	if !c.head {
		i := bytes.Index(p, []byte("\r\n\r\n"))
		if i < 0 {
			c.keep(p)
			return nil
		}
		if !bytes.HasPrefix(p, []byte("HTTP/1.1 101 ")) {
			return fmt.Errorf("handshake answered with %s", quote(p))
		}
		c.head = true
		p = p[i+4:]
		switch {
		case c.probe:
			err = c.send([]byte("2probe"), ws.Text)
		case c.l.wire == plain:
			err = c.l.got(c, connected, 0)
		}
		if err != nil {
			return err
		}
	}
	for len(p) > 0 {
		m, op, n, err := ws.Next(p)
		if err == ws.ErrClosed && c.ended != nil {
			return c.ended()
		}
		if err == ws.ErrClosed {
			return fmt.Errorf("%w: close frame %s", errClosed, quote(m))
		}
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		p = p[n:]
		switch op {
		case ws.Text, ws.Binary:
			err = c.l.message(c, m, op)
		case ws.Ping:
			err = c.send(m, ws.Pong)
		}
		if err != nil {
			return err
		}
	}
	c.keep(p)
	return nil
}

// send sends one frame.
func (c *conn) send(m []byte, op byte) error {
	c.l.wrap = ws.Append(c.l.wrap[:0], op, true, m)
	return c.write(c.l.wrap)
}

// broadcast sends a broadcast to a room.
func (c *conn) broadcast(room []byte, seq uint64, binary bool) error {
	l := c.l
	payload := l.text.number(seq)
	if binary {
		payload = l.bin.number(seq)
	}
	l.out = l.wire.broadcast(l.out[:0], room, payload, binary)
	l.wrap = ws.Append(l.wrap[:0], l.wire.op(binary), true, l.out)
	if binary && l.wire == socketio {
		l.wrap = ws.Append(l.wrap, ws.Binary, true, payload)
	}
	return c.write(l.wrap)
}

// echo sends a call whose answer has the number seq.
func (c *conn) echo(seq uint64) error {
	c.want = seq
	c.l.out = c.l.wire.echo(c.l.out[:0], c.l.text.number(seq))
	return c.send(c.l.out, c.l.wire.op(false))
}

// member sends a join or leave.
func (c *conn) member(join bool, room []byte) error {
	c.l.out = c.l.wire.member(c.l.out[:0], join, room)
	return c.send(c.l.out, c.l.wire.op(false))
}
