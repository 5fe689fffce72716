package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epio-go/epio/bench/internal/ws"
	"golang.org/x/sys/unix"
)

// conn is one client.
type conn struct {
	fd   int
	in   []byte // incomplete input
	next uint64 // sequence number expected next
}

// load drives all clients from one epoll set.
type load struct {
	o      options
	epfd   int
	addr   *unix.SockaddrInet4
	conns  []*conn
	byFD   map[int32]*conn
	buf    []byte
	before int // resident memory of the server before the first client

	// got is called for every text message
	got func(c *conn, m []byte) error
}

func newLoad(o options) (*load, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", o.addr)
	if err != nil {
		return nil, err
	}
	l := &load{o: o, addr: &unix.SockaddrInet4{Port: tcp.Port}, byFD: make(map[int32]*conn), buf: make([]byte, 256<<10)}
	copy(l.addr.Addr[:], tcp.IP.To4())
	if l.addr.Addr[0] != 127 {
		return nil, fmt.Errorf("%s is not a loopback address", o.addr)
	}
	l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	l.before = l.resident()
	return l, err
}

func (l *load) close() {
	for _, c := range l.conns {
		unix.Close(c.fd)
	}
	unix.Close(l.epfd)
}

// cpu returns the CPU time the server has used.
func (l *load) cpu() time.Duration {
	if l.o.pid == 0 {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.o.pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
	user, _ := strconv.Atoi(f[11])
	sys, _ := strconv.Atoi(f[12])
	return time.Duration(user+sys) * 10 * time.Millisecond // USER_HZ is 100
}

// resident returns the server's resident memory in bytes.
func (l *load) resident() int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", l.o.pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return pages * os.Getpagesize()
}

// stall bounds how long nothing may happen.
const stall = 20 * time.Second

// step waits for input once and handles it.
func (l *load) step(wait int) error {
	var events [256]unix.EpollEvent
	n, err := unix.EpollWait(l.epfd, events[:], wait)
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return err
	}
	if n == 0 && wait > 0 {
		return errors.New("the server does not answer: a message was lost")
	}
	for _, ev := range events[:max(n, 0)] {
		if err := l.read(l.byFD[ev.Fd]); err != nil {
			return err
		}
	}
	return nil
}

// until steps until done reports true.
func (l *load) until(done func() bool) error {
	for !done() {
		if err := l.step(int(stall / time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) read(c *conn) error {
	n, err := unix.Read(c.fd, l.buf)
	if err == unix.EAGAIN || err == unix.EINTR {
		return nil
	}
	if n <= 0 {
		return fmt.Errorf("the server closed a connection: %v", err)
	}
	p := l.buf[:n]
	if c.in != nil {
		p = append(c.in, p...)
		c.in = nil
	}
	for len(p) > 0 {
		m, op, n, err := ws.Next(p)
		if err != nil {
			return fmt.Errorf("the server closed a connection: %q", m)
		}
		if n == 0 {
			c.in = slices.Clone(p)
			return nil
		}
		p = p[n:]
		switch {
		case op == 9:
			continue
		case len(m) == 1 && m[0] == '2':
			if err := c.send([]byte("3")); err != nil {
				return err
			}
		default:
			if err := l.got(c, m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *conn) send(m []byte) error {
	f := ws.AppendText(nil, true, m)
	for len(f) > 0 {
		n, err := unix.Write(c.fd, f)
		if err == unix.EAGAIN {
			continue // small messages on loopback: it has room at once
		}
		if err != nil {
			return err
		}
		f = f[n:]
	}
	return nil
}

// latencies collects samples.
type latencies []time.Duration

func (s latencies) fill(r *result) {
	if len(s) == 0 {
		return
	}
	slices.Sort(s)
	us := func(d time.Duration) float64 { return float64(d) / 1e3 }
	r.P50, r.P99, r.Max = us(s[len(s)/2]), us(s[len(s)*99/100]), us(s[len(s)-1])
}

// meter measures one work.
type meter struct {
	l     *load
	cpu   time.Duration
	start time.Time
}

func (l *load) meter() meter { return meter{l, l.cpu(), time.Now()} }

func (m meter) result(units int) result {
	wall := time.Since(m.start)
	return result{
		Units: units,
		CPU:   float64(m.l.cpu()-m.cpu) / 1e3 / float64(max(units, 1)),
		Rate:  float64(units) / wall.Seconds(),
	}
}
