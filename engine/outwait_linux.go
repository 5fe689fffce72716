package engine

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// outWait is an epoll set of its own for the descriptors whose socket buffer is
// full. netpoll offers no notice of writability that does not block a goroutine
// per connection. One goroutine serves all of them; it exists from the first
// slow client on and sleeps in the runtime's poller, so it holds no thread.
type outWait struct {
	mu    sync.Mutex
	epfd  int // -1 until the first add
	file  *os.File
	conns map[int32]*netpollConn
	done  bool
	ended chan struct{}
}

var errEngineClosed = errors.New("engine closed")

// add waits for c to become writable once. It is called with c.mu held.
func (o *outWait) add(c *netpollConn) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return errEngineClosed
	}
	if o.epfd < 0 {
		if err := o.open(); err != nil {
			return err
		}
	}
	o.conns[int32(c.fd)] = c
	ev := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(c.fd)}
	if err := unix.EpollCtl(o.epfd, unix.EPOLL_CTL_ADD, c.fd, &ev); err != nil {
		delete(o.conns, int32(c.fd))
		return fmt.Errorf("wait for writability: %w", err)
	}
	return nil
}

// remove forgets c. It must be called before the descriptor is closed.
func (o *outWait) remove(c *netpollConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conns[int32(c.fd)] == c {
		o.drop(int32(c.fd))
	}
}

// waiting returns how many connections wait.
func (o *outWait) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.conns)
}

func (o *outWait) drop(fd int32) {
	delete(o.conns, fd)
	// The descriptor is open and in the set, so this cannot fail.
	_ = unix.EpollCtl(o.epfd, unix.EPOLL_CTL_DEL, int(fd), nil)
}

func (o *outWait) open() error {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll_create: %w", err)
	}
	// A non-blocking file is watched by the runtime's poller.
	if err := unix.SetNonblock(epfd, true); err != nil {
		unix.Close(epfd)
		return fmt.Errorf("epoll set: %w", err)
	}
	o.epfd = epfd
	o.file = os.NewFile(uintptr(epfd), "epoll")
	o.conns = make(map[int32]*netpollConn)
	o.ended = make(chan struct{})
	go o.run(o.file)
	return nil
}

func (o *outWait) run(f *os.File) {
	defer close(o.ended)
	raw, err := f.SyscallConn()
	if err != nil {
		return // closed already
	}
	var events [128]unix.EpollEvent
	var ready [len(events)]*netpollConn
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, err = unix.EpollWait(int(fd), events[:], 0)
			return n > 0 || (err != nil && err != unix.EINTR)
		})
		if err != nil || n <= 0 {
			return // closed
		}
		o.mu.Lock()
		k := 0
		for _, ev := range events[:n] {
			if c := o.conns[ev.Fd]; c != nil {
				o.drop(ev.Fd)
				ready[k] = c
				k++
			}
		}
		o.mu.Unlock()
		for i, c := range ready[:k] {
			c.onWritable()
			ready[i] = nil
		}
	}
}

func (o *outWait) close() {
	o.mu.Lock()
	o.done = true
	f, ended := o.file, o.ended
	o.mu.Unlock()
	if f != nil {
		f.Close()
		<-ended
	}
}
