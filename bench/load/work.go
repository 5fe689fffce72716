package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/epio-go/epio/bench/internal/ws"
	"golang.org/x/sys/unix"
)

// connectAhead is how many handshakes are under way at once.
const connectAhead = 64

// connect opens the clients and joins all of them to one room.
func (l *load) connect() (result, error) {
	m := l.meter()
	ready := 0
	l.got = func(c *conn, msg []byte) error {
		switch {
		case msg[0] == '0':
			return c.send([]byte("40"))
		case bytes.HasPrefix(msg, []byte("40")):
			ready++
			return nil
		}
		return fmt.Errorf("unexpected %q", msg)
	}
	for len(l.conns) < l.o.clients {
		if err := l.open(); err != nil {
			return result{}, err
		}
		if err := l.until(func() bool { return len(l.conns)-ready < connectAhead }); err != nil {
			return result{}, err
		}
	}
	if err := l.until(func() bool { return ready == len(l.conns) }); err != nil {
		return result{}, err
	}
	r := m.result(len(l.conns))
	return r, l.join("all", l.conns)
}

// open connects one client and sends its handshake.
func (l *load) open() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, l.addr); err != nil {
		return err
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if _, err := unix.Write(fd, []byte(ws.Request)); err != nil {
		return err
	}
	// The answer's head is read here, with what may follow it.
	n, err := unix.Read(fd, l.buf)
	if err != nil {
		return err
	}
	i := bytes.Index(l.buf[:n], []byte("\r\n\r\n"))
	if i < 0 || !bytes.HasPrefix(l.buf, []byte("HTTP/1.1 101")) {
		return fmt.Errorf("handshake answered with %q", l.buf[:n])
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	c := &conn{fd: fd}
	l.conns = append(l.conns, c)
	l.byFD[int32(fd)] = c
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		return err
	}
	if rest := l.buf[i+4 : n]; len(rest) > 0 {
		msg, _, _, err := ws.Next(rest)
		if err != nil || msg == nil {
			return fmt.Errorf("handshake followed by %q", rest)
		}
		return l.got(c, msg)
	}
	return nil
}

// join puts clients into a room.
func (l *load) join(room string, conns []*conn) error {
	acked := 0
	l.got = func(_ *conn, m []byte) error {
		if !bytes.HasPrefix(m, []byte("431[")) {
			return fmt.Errorf("unexpected %q", m)
		}
		acked++
		return nil
	}
	for i, c := range conns {
		if err := c.send([]byte(`421["join","` + room + `"]`)); err != nil {
			return err
		}
		if err := l.until(func() bool { return i+1-acked < connectAhead }); err != nil {
			return err
		}
	}
	return l.until(func() bool { return acked == len(conns) })
}

// idle waits for the server to calm down and reports its memory.
func (l *load) idle() (result, error) {
	first := l.resident()
	<-time.After(l.o.time)
	return result{Bytes: (min(first, l.resident()) - l.before) / max(len(l.conns), 1)}, nil
}

// payload returns a JSON string of the wanted size that begins with a number.
func (l *load) payload(dst []byte, seq uint64) []byte {
	start := len(dst)
	dst = append(dst, '"')
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, ' ')
	for len(dst)-start < l.o.payload+1 {
		dst = append(dst, 'x')
	}
	return append(dst, '"')
}

// sequence reads the number a payload begins with.
func sequence(p []byte) (uint64, error) {
	i := bytes.IndexByte(p, ' ')
	if i < 1 || p[0] != '"' {
		return 0, fmt.Errorf("unexpected payload %q", p)
	}
	return strconv.ParseUint(string(p[1:i]), 10, 64)
}

// broadcast keeps inflight broadcasts to all clients under way.
func (l *load) broadcast(inflight int) (result, error) {
	for _, c := range l.conns {
		c.next = 0
	}
	prefix := []byte(`42["msg",`)
	left := make(map[uint64]int) // receivers missing, by broadcast
	sent := make(map[uint64]time.Time)
	var lat latencies
	var seq uint64
	units := 0
	l.got = func(c *conn, m []byte) error {
		rest, ok := bytes.CutPrefix(m, prefix)
		if !ok {
			return fmt.Errorf("unexpected %q", m)
		}
		got, err := sequence(rest)
		if err != nil {
			return err
		}
		if got != c.next {
			return fmt.Errorf("broadcast %d arrived where %d was due: lost, doubled or reordered", got, c.next)
		}
		c.next++
		units++
		if left[got]--; left[got] == 0 {
			lat = append(lat, time.Since(sent[got]))
			delete(left, got)
			delete(sent, got)
		}
		return nil
	}
	m := l.meter()
	var msg []byte
	sender := l.conns[0]
	for time.Since(m.start) < l.o.time {
		for len(left) < inflight {
			left[seq], sent[seq] = len(l.conns), time.Now()
			msg = append(l.payload(append(msg[:0], `42["bcast","all",`...), seq), ']')
			if err := sender.send(msg); err != nil {
				return result{}, err
			}
			seq++
		}
		if err := l.step(int(stall / time.Millisecond)); err != nil {
			return result{}, err
		}
	}
	if err := l.until(func() bool { return len(left) == 0 }); err != nil {
		return result{}, err
	}
	r := m.result(units)
	lat.fill(&r)
	return r, nil
}

// echo keeps one call under way on each of n clients.
func (l *load) echo(n int) (result, error) {
	n = min(n, len(l.conns))
	prefix := []byte("439[")
	sent := make(map[*conn]time.Time, n)
	var lat latencies
	units := 0
	var msg []byte
	over := false
	call := func(c *conn) error {
		msg = append(l.payload(append(msg[:0], `429["echo",`...), c.next), ']')
		sent[c] = time.Now()
		return c.send(msg)
	}
	waiting := 0
	l.got = func(c *conn, m []byte) error {
		rest, ok := bytes.CutPrefix(m, prefix)
		if !ok {
			return fmt.Errorf("unexpected %q", m)
		}
		if got, err := sequence(rest); err != nil || got != c.next {
			return fmt.Errorf("echo %d where %d was due: %v", got, c.next, err)
		}
		c.next++
		units++
		lat = append(lat, time.Since(sent[c]))
		if over {
			waiting--
			return nil
		}
		return call(c)
	}
	m := l.meter()
	// Spread over the clients, whose memory is not all in the cache.
	step := len(l.conns) / n
	for i := range n {
		c := l.conns[i*step]
		c.next = 0
		waiting++
		if err := call(c); err != nil {
			return result{}, err
		}
	}
	for time.Since(m.start) < l.o.time {
		if err := l.step(int(stall / time.Millisecond)); err != nil {
			return result{}, err
		}
	}
	over = true
	if err := l.until(func() bool { return waiting == 0 }); err != nil {
		return result{}, err
	}
	r := m.result(units)
	lat.fill(&r)
	return r, nil
}
