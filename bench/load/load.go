package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// sink is what a descriptor of the epoll set belongs to.
type sink interface {
	// ready handles epoll events. An error ends the work.
	ready(events uint32) error
}

// load drives all clients from one epoll set, on one thread. Nothing in it is safe for
// concurrent use.
type load struct {
	o    options
	wire protocol
	addr *unix.SockaddrInet4

	epfd   int
	table  []sink // by descriptor
	events [512]unix.EpollEvent
	timer  *timer
	buf    []byte   // all input is read into it first
	spare  [][]byte // for incomplete input
	start  time.Time
	now    int64 // when the latest input was read, in nanoseconds since start

	conns  []*conn
	broken error  // why there are no clients, after connecting has failed
	times  int    // clients have been disconnected
	opened int    // connections opened so far, which spreads them over source addresses
	before int    // resident memory of the server before the first client
	calls  uint64 // made so far
	spent  int    // allocations of the server per reading of their number

	// what the work under way expects
	form layout
	text content // of payloads in text, and
	bin  content // of binary ones
	got  func(c *conn, k kind, seq uint64) error
	out  []byte // message being built
	wrap []byte // frame being built
}

func newLoad(o options) (*load, error) {
	tcp, err := net.ResolveTCPAddr("tcp4", o.addr)
	if err != nil {
		return nil, err
	}
	l := &load{
		o: o, wire: o.protocol, addr: &unix.SockaddrInet4{Port: tcp.Port}, buf: make([]byte, 256<<10), start: time.Now(),
		text: newContent(o.payload, 'x'), bin: newContent(o.payload, 0xfe),
	}
	copy(l.addr.Addr[:], tcp.IP.To4())
	if l.addr.Addr[0] != 127 {
		return nil, fmt.Errorf("%s is not a loopback address", o.addr)
	}
	if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if l.timer, err = newTimer(l); err != nil {
		return nil, err
	}
	if l.before, err = l.resident(); err != nil {
		return nil, err
	}
	return l, l.calibrate()
}

func (l *load) close() {
	l.disconnect()
	unix.Close(l.timer.fd)
	unix.Close(l.epfd)
}

// disconnect closes all clients.
func (l *load) disconnect() {
	for _, c := range l.conns {
		l.remove(c.fd)
	}
	if l.conns != nil {
		l.times++
	}
	l.conns = nil
}

// clock returns nanoseconds since the start.
func (l *load) clock() int64 { return int64(time.Since(l.start)) }

// add puts a descriptor into the epoll set.
func (l *load) add(fd int, s sink) error {
	for len(l.table) <= fd {
		l.table = append(l.table, nil)
	}
	l.table[fd] = s
	return unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// watch changes what a descriptor waits for.
func (l *load) watch(fd int, events uint32) error {
	return unix.EpollCtl(l.epfd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// remove closes a descriptor, which takes it out of the epoll set.
func (l *load) remove(fd int) {
	l.table[fd] = nil
	unix.Close(fd)
}

// errStall tells that nothing happened for too long.
var errStall = errors.New("the server does not answer, or a message was lost")

// step waits for something to happen and handles it.
func (l *load) step() error {
	n, err := unix.EpollWait(l.epfd, l.events[:], int(l.o.stall/time.Millisecond))
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("%w: nothing came for %v", errStall, l.o.stall)
	}
	for i := range n {
		ev := &l.events[i]
		// nil when an earlier event has closed it
		if s := l.table[ev.Fd]; s != nil {
			if err := s.ready(ev.Events); err != nil {
				return err
			}
		}
	}
	return nil
}

// until steps until done reports true.
func (l *load) until(done func() bool) error {
	for !done() {
		if err := l.step(); err != nil {
			return err
		}
	}
	return nil
}

// run steps for the length of a work.
func (l *load) run() error {
	end := l.clock() + int64(l.o.time)
	return l.until(func() bool { return l.clock() >= end })
}

// read reads once from a socket that does not block. It goes around the scheduler, which
// a single thread does not need. n is 0 when there is nothing to read, and the end of
// input is an error.
func (l *load) read(fd int) (n int, err error) {
	n, err = rawRead(fd, l.buf)
	l.now = l.clock()
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("a connection failed: %w", err)
	case n == 0:
		return 0, errClosed
	}
	return n, nil
}

var errClosed = errors.New("the server closed a connection")
