package engine

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errPeerClosed is what netpoll's hang-up tells us: nothing more.
var errPeerClosed = io.EOF

// maxIov is the most frames one writev takes. More gains nothing measurable.
const maxIov = 64

// maxWrites is the most system calls one caller makes for what others queue.
const maxWrites = 16

// fdConn is what connections have in common that write to a descriptor.
type fdConn struct {
	Conn
	fd       int       // valid until settle has returned on a closed connection
	handover *detached // set by detach, owned by the reading side
}

// flushLocked writes the queue without blocking. It is called with mu held and
// flagWriting set by the caller, and unlocks mu. The lock is not held during the
// system call: frames queued meanwhile leave with the next one. While others
// queue as fast as the socket takes it, a goroutine goes on after a while: the
// caller may be a sender, or serve many connections.
func (c *fdConn) flushLocked() {
	for range maxWrites {
		var n int
		var errno syscall.Errno
		if c.queue.more == nil {
			p := c.queue.lend()
			c.mu.Unlock()
			n, errno = write(c.fd, p)
		} else {
			n, errno = c.writevUnlocked()
		}
		c.mu.Lock()
		switch errno {
		case 0, unix.EINTR:
		case unix.EAGAIN:
			if c.waitLocked() {
				c.mu.Unlock()
				return
			}
		default:
			c.failLocked(errno)
		}
		more, shut := c.wroteLocked(max(n, 0))
		if more {
			continue
		}
		closed := c.flags.has(flagClosed)
		c.mu.Unlock()
		if shut {
			c.shutdown()
		}
		if closed {
			c.link.close()
		}
		return
	}
	c.mu.Unlock()
	go func() {
		c.mu.Lock()
		c.flushLocked()
	}()
}

// waitLocked parks the queue until the socket is writable. It returns false when
// the connection is closed, or when waiting is impossible, which closes it.
func (c *fdConn) waitLocked() bool {
	if c.flags.has(flagClosed) {
		return false
	}
	c.flags = c.flags&^flagWriting | flagWaiting
	c.queue.lent = 0
	c.overLocked()
	err := c.link.(waiter).awaitWritableLocked()
	if err == nil {
		return true
	}
	c.flags = c.flags&^flagWaiting | flagWriting
	c.failLocked(err)
	return false
}

// waiter is the link of a connection on a descriptor.
type waiter interface {
	// awaitWritableLocked has onWritable called once when the socket has room.
	// flagWaiting is set.
	awaitWritableLocked() error
}

// failLocked closes the connection after a failed write. The writer, who calls it,
// tells the link in the end.
func (c *fdConn) failLocked(err error) {
	if c.flags.has(flagClosed | flagDetached) {
		return
	}
	c.flags |= flagClosed
	c.closeErr = fmt.Errorf("engine: write: %w", err)
}

// writableLocked goes on with the queue after the socket was full. It unlocks mu.
func (c *fdConn) writableLocked() {
	c.flags &^= flagWaiting
	if c.flags.has(flagClosed|flagWriting) || c.queue.empty() {
		c.mu.Unlock()
		return
	}
	c.flags |= flagWriting
	c.flushLocked()
}

// writevUnlocked is called with mu held and unlocks it.
//
//go:noinline
func (c *fdConn) writevUnlocked() (int, syscall.Errno) {
	var bufs [maxIov][]byte
	n := c.queue.gather(bufs[:])
	c.mu.Unlock()
	var iov [maxIov]unix.Iovec
	for i, b := range bufs[:n] {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	w, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(c.fd), uintptr(unsafe.Pointer(&iov)), uintptr(n))
	return int(w), errno
}

func write(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}

func (c *fdConn) detach() (net.Conn, error) {
	c.handover = newDetached(sockName(c.fd), c.RemoteAddr())
	return c.handover, nil
}

// handOver completes Detach.
func (c *fdConn) handOver() {
	c.settle()
	var rest []byte
	if c.kept != nil {
		rest = append(rest, c.kept.B...)
		c.dropKept()
	}
	f := os.NewFile(uintptr(c.fd), "")
	nc, err := net.FileConn(f) // duplicates
	f.Close()
	c.forget()
	c.handover.ready(nc, rest, err)
}

func (c *fdConn) shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.flags.has(flagClosed | flagDetached) {
		// Fails only when the peer is gone, which the poller will tell.
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	}
}

func (c *fdConn) localAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags.has(flagClosed | flagDetached) {
		return unknownAddr{}
	}
	return sockName(c.fd)
}

func sockName(fd int) net.Addr {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return unknownAddr{}
	}
	if ap := sockaddrPort(sa); ap.IsValid() {
		return net.TCPAddrFromAddrPort(ap)
	}
	if u, ok := sa.(*unix.SockaddrUnix); ok {
		return &net.UnixAddr{Name: u.Name, Net: "unix"}
	}
	return unknownAddr{}
}

// remoteAddr is asked only for connections that are not TCP.
func (c *fdConn) remoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }
