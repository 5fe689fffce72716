package engine

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/epio-go/epio/pool"
	"golang.org/x/sys/unix"
)

// epoller runs connections on epoll itself. It has a few loops, each of them one
// goroutine with one epoll set and one read buffer for all its connections, so a
// connection that is idle keeps no buffer at all.
//
// The set is itself watched by the runtime's poller: the goroutine sleeps there
// like one that reads a socket. Waking it needs no thread of its own, and the
// thread that finds the event runs the loop, and often the handler after it.
//
// Data runs on the loop. It must not block, which its contract says anyway. How
// much a connection is shown at once follows the time Data takes for it, so that
// one with a thousand small requests in a segment does not keep the others waiting.
type epoller struct {
	e    *Engine
	next atomic.Uint32

	mu     sync.Mutex
	loops  []*epollLoop // made on first use
	closed bool
}

const (
	// turn is how long Data should take for what is shown at once.
	turn = time.Millisecond

	// Shifts of readChunk, the most that is shown at once.
	firstShown = 4 // 4 KiB, of a connection of which nothing is known
	leastShown = 6 // 1 KiB
)

// epollLoop is one set and its goroutine.
type epollLoop struct {
	epfd  int
	file  *os.File // epfd, for the runtime's poller
	ended chan struct{}

	// owned by run
	buf    []byte
	served *epollConn // whose event is being handled

	mu    sync.Mutex
	conns map[int32]*epollConn // guarded by mu; by descriptor
}

// epollConn is a connection on a loop.
//
// Two parties use the descriptor: who has the reading side (reading is set: the
// loop while it handles an event, or a goroutine that resumes), and who writes
// (flagWriting). The last one to leave a closed connection closes the descriptor.
type epollConn struct {
	fdConn
	loop  *epollLoop
	shift uint8 // readChunk >> shift bytes are shown at once; owned by the loop

	// guarded by mu
	reading bool
	done    bool   // the end has begun: closing the descriptor, or handing it over
	watched bool   // in the set
	events  uint32 // what the set reports; 0 with watched means errors only
}

func newEpoller(e *Engine) *epoller { return &epoller{e: e} }

// pick returns the loop for the next connection.
func (r *epoller) pick() (*epollLoop, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	for n := runtime.GOMAXPROCS(0); len(r.loops) < n; {
		l, err := newEpollLoop()
		if err != nil {
			return nil, err
		}
		r.loops = append(r.loops, l)
	}
	return r.loops[r.next.Add(1)%uint32(len(r.loops))], nil
}

func (r *epoller) close() {
	r.mu.Lock()
	r.closed = true
	loops := r.loops
	r.mu.Unlock()
	for _, l := range loops {
		l.file.Close()
		<-l.ended
	}
}

func (r *epoller) start(fd int, remote netip.AddrPort, carry []byte, accept func(*Conn) Handler) (*Conn, error) {
	loop, err := r.pick()
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	c := &epollConn{loop: loop, shift: firstShown, reading: true}
	c.e, c.link, c.fd, c.remote = r.e, c, fd, remote
	if err := r.e.register(&c.Conn); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if c.h = accept(&c.Conn); c.h == nil {
		c.gone(ErrClosed)
		c.settle()
		c.mu.Lock()
		c.done = true
		c.unwatchLocked() // accept may have sent something
		c.mu.Unlock()
		unix.Close(fd)
		c.forget()
		return nil, nil
	}
	defer c.release() // also when Data calls runtime.Goexit
	if len(carry) > 0 {
		c.kept = pool.Copy(carry)
		c.redeliver()
	}
	return &c.Conn, nil
}

func newEpollLoop() (*epollLoop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("engine: epoll_create: %w", err)
	}
	// A non-blocking file is watched by the runtime's poller.
	if err := unix.SetNonblock(epfd, true); err != nil {
		unix.Close(epfd)
		return nil, fmt.Errorf("engine: epoll set: %w", err)
	}
	l := &epollLoop{
		epfd:  epfd,
		file:  os.NewFile(uintptr(epfd), "epoll"),
		ended: make(chan struct{}),
		buf:   make([]byte, readChunk),
		conns: make(map[int32]*epollConn),
	}
	go l.run()
	return l, nil
}

// exited is deferred by run: if Data has called runtime.Goexit (as testing.T.FailNow does), it
// ends that connection, which is closed already, and has another goroutine go on with the rest.
func (l *epollLoop) exited() {
	c := l.served
	if c == nil {
		close(l.ended)
		return
	}
	l.served = nil
	c.release()
	go l.run() // events that were not handled are reported again
}

// run is the loop's goroutine. It ends when the set is closed.
func (l *epollLoop) run() {
	defer l.exited()
	raw, err := l.file.SyscallConn()
	if err != nil {
		return // closed already
	}
	var events [256]unix.EpollEvent
	var conns [len(events)]*epollConn
	n := 0
	wait := func(fd uintptr) bool {
		n, err = epollReady(int(fd), events[:])
		return n > 0 || err != nil
	}
	for {
		if raw.Read(wait) != nil || err != nil {
			return
		}
		l.mu.Lock()
		for i, ev := range events[:n] {
			conns[i] = l.conns[ev.Fd]
		}
		l.mu.Unlock()
		for i, c := range conns[:n] {
			// An event may be older than the connection that has the
			// descriptor now: then it finds nothing to do.
			if c != nil {
				l.served = c
				c.ready(events[i].Events)
				l.served = nil
				conns[i] = nil
			}
		}
	}
}

// epollReady takes what is ready without waiting.
func epollReady(epfd int, events []unix.EpollEvent) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// ready handles an event, on the loop.
func (c *epollConn) ready(events uint32) {
	if events&unix.EPOLLOUT != 0 {
		c.onWritable()
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	c.mu.Lock()
	if c.done || c.reading || c.flags.has(flagClosed|flagDetached|flagPaused) {
		if c.flags.has(flagPaused) && !c.done && !c.reading && hungUp(c.fd) {
			// The peer is gone, which epoll reports whether asked or not. What it
			// has sent is still owed to the handler: stay silent until Resume.
			// (Asked again, since the event may concern an earlier connection with
			// this descriptor, and this one's queue may wait for the set.)
			c.unwatchLocked()
		}
		c.mu.Unlock()
		return
	}
	c.reading = true
	c.mu.Unlock()
	buf := c.loop.buf[:readChunk>>c.shift]
	switch n, errno := read(c.fd, buf); {
	case errno == unix.EAGAIN || errno == unix.EINTR:
	case errno != 0:
		c.gone(fmt.Errorf("engine: read: %w", errno))
	case n == 0:
		c.gone(io.EOF)
	case n < readChunk>>leastShown: // it could not be shown less
		c.deliver(buf[:n])
	default:
		start := time.Now()
		c.deliver(buf[:n])
		c.shift = nextShift(c.shift, n, time.Since(start))
	}
	c.release()
}

// nextShift returns the shift of a connection whose handler took d for n bytes.
func nextShift(shift uint8, n int, d time.Duration) uint8 {
	switch {
	case d > turn:
		for shift < leastShown && (readChunk>>shift)*d > time.Duration(n)*turn {
			shift++
		}
	case d < turn/4 && n == readChunk>>shift && shift > 0:
		shift--
	}
	return shift
}

// release gives up the reading side.
func (c *epollConn) release() {
	for {
		stop := c.stopLocked()
		switch {
		case stop.has(flagDetached):
			c.done = true
			c.unwatchLocked()
			c.mu.Unlock()
			c.handOver()
			return
		case stop.has(flagClosed):
			c.reading = false
			c.endLocked()
			return
		}
		want := uint32(unix.EPOLLIN | unix.EPOLLRDHUP)
		if stop.has(flagPaused) {
			want = 0
		}
		if c.flags.has(flagWaiting) {
			want |= unix.EPOLLOUT
		}
		err := c.watchLocked(want)
		if err == nil {
			c.reading = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.gone(err)
	}
}

// watchLocked sets what the loop reports.
func (c *epollConn) watchLocked(want uint32) error {
	if c.watched && c.events == want {
		return nil
	}
	op := unix.EPOLL_CTL_MOD
	if !c.watched {
		op = unix.EPOLL_CTL_ADD
		c.loop.mu.Lock()
		c.loop.conns[int32(c.fd)] = c
		c.loop.mu.Unlock()
	}
	if err := unix.EpollCtl(c.loop.epfd, op, c.fd, &unix.EpollEvent{Events: want, Fd: int32(c.fd)}); err != nil {
		return fmt.Errorf("engine: epoll_ctl: %w", err)
	}
	c.watched, c.events = true, want
	return nil
}

// unwatchLocked takes the descriptor out of the set.
func (c *epollConn) unwatchLocked() {
	c.loop.mu.Lock()
	if c.loop.conns[int32(c.fd)] == c {
		delete(c.loop.conns, int32(c.fd))
	}
	c.loop.mu.Unlock()
	if c.watched {
		// The descriptor is open and in the set, so this cannot fail.
		_ = unix.EpollCtl(c.loop.epfd, unix.EPOLL_CTL_DEL, c.fd, nil)
		c.watched = false
	}
}

func (c *epollConn) awaitWritableLocked() error {
	if !c.watched {
		return c.watchLocked(unix.EPOLLOUT)
	}
	return c.watchLocked(c.events | unix.EPOLLOUT)
}

// onWritable goes on with the queue after the socket was full.
func (c *epollConn) onWritable() {
	c.mu.Lock()
	if c.done || !c.flags.has(flagWaiting) {
		c.mu.Unlock()
		return
	}
	if err := c.watchLocked(c.events &^ unix.EPOLLOUT); err != nil {
		c.failLocked(err)
	}
	if c.flags.has(flagClosed) {
		c.flags &^= flagWaiting
		c.endLocked()
		return
	}
	c.writableLocked()
}

func (c *epollConn) resume() {
	c.mu.Lock()
	if c.reading || c.done {
		c.mu.Unlock()
		return // whoever reads sees flagReshow
	}
	c.reading = true
	c.mu.Unlock()
	go func() {
		done := false
		defer func() {
			if !done { // Data has called runtime.Goexit: the connection is closed by now
				c.release()
			}
		}()
		c.release() // shows what is kept
		done = true
	}()
}

func (c *epollConn) close() {
	c.mu.Lock()
	c.endLocked()
}

// endLocked ends a closed connection, unless somebody still uses the descriptor,
// who will call it again. It unlocks mu.
func (c *epollConn) endLocked() {
	if c.done || c.reading || c.flags.has(flagWriting) {
		c.mu.Unlock()
		return
	}
	c.done = true
	c.unwatchLocked()
	c.mu.Unlock()
	unix.Close(c.fd)
	go c.finish() // its callers may hold locks
}

// hungUp reports whether the connection has ended in both directions or failed.
func hungUp(fd int) bool {
	p := [1]unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(p[:], 0)
	return err == nil && n == 1
}

func read(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}

var (
	_ link   = (*epollConn)(nil)
	_ waiter = (*epollConn)(nil)
)
