package engine

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// openFDs returns how many descriptors the process has.
func openFDs() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(names)
}

// untilParked waits until a paused connection is not read any more.
func untilParked(t *testing.T, c *Conn) {
	t.Helper()
	eventually(t, "the connection is parked", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch l := c.link.(type) {
		case *netpollConn:
			return l.mode == parked
		case *epollConn:
			return !l.reading && l.events&unix.EPOLLIN == 0
		}
		return true
	})
}

// descriptor returns the descriptor of a connection on a reactor.
func descriptor(c *Conn) (fd int, ok bool) {
	switch l := c.link.(type) {
	case *netpollConn:
		return l.fd, true
	case *epollConn:
		return l.fd, true
	}
	return -1, false
}

// shrinkSendBuffer makes the kernel take little from c before it says full.
func shrinkSendBuffer(t testing.TB, c *Conn) {
	t.Helper()
	fd, ok := descriptor(c)
	if !ok {
		shrinkNetConn(c)
		return
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4096); err != nil {
		t.Fatal(err)
	}
}
