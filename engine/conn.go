package engine

import (
	"net"
	"net/netip"
	"sync"
	"unsafe"

	"github.com/epio-go/epio/pool"
)

// Conn is one connection. Exactly one goroutine at a time runs its handler's
// Data; everything else may be called from anywhere unless it says otherwise.
type Conn struct {
	mu sync.Mutex

	// immutable after start
	e      *Engine
	link   link
	remote netip.AddrPort // zero for Unix sockets and in-memory connections

	// owned by whoever runs Data: one goroutine at a time
	h    Handler   // written under mu, so that flow can read it
	kept *pool.Buf // received, not consumed; nil when empty

	// guarded by mu
	queue    frameQueue
	flags    flags
	closeErr error
	linger   *lingering // set by CloseAfterFlush

	// guarded by the registry's lock
	prev, next *Conn
}

type flags uint16

const (
	// flagWriting: a goroutine is writing the queue; it looks at the queue again
	// before it stops, so others need only enqueue.
	flagWriting flags = 1 << iota
	// flagWaiting: the socket is full; the queue goes on when it is writable.
	flagWaiting
	// flagDirty: in a Batch that was not flushed yet.
	flagDirty
	// flagPaused: no Data until Resume.
	flagPaused
	// flagClosing: CloseAfterFlush was called; the peer is still read.
	flagClosing
	// flagShut: our side of the stream has been shut down after the last frame.
	flagShut
	// flagClosed: Close was called or the peer is gone.
	flagClosed
	// flagDetached: Detach was called; the connection belongs to somebody else.
	flagDetached
	// flagReshow: Resume came before the pause took effect; what is kept must
	// be shown again.
	flagReshow
	// flagSlow: the queue has been over Options.HighWater and not under LowWater since.
	flagSlow
)

func (f flags) has(m flags) bool { return f&m != 0 }

// link is what differs between the reactor and the portable engine. Methods are
// called without Conn.mu, except where the name says otherwise.
type link interface {
	// flushLocked writes the queue. It is called with Conn.mu held and unlocks
	// it. The caller has set flagWriting.
	flushLocked()
	// resume starts delivering again after a pause: first what is kept. The
	// caller has cleared flagPaused and set flagReshow.
	resume()
	// shutdown closes the sending half of the stream.
	shutdown()
	// close ends the connection. Conn.finish follows from another goroutine.
	close()
	// detach hands the connection over once the running Data has returned.
	detach() (net.Conn, error)
	localAddr() net.Addr
	remoteAddr() net.Addr
}

func (c *Conn) registry() *registry {
	return &c.e.reg[uintptr(unsafe.Pointer(c))>>9%uintptr(len(c.e.reg))]
}

// SetHandler replaces the handler. It may be called only from inside Data.
func (c *Conn) SetHandler(h Handler) {
	c.mu.Lock()
	c.h = h
	c.mu.Unlock()
}

// Engine returns the engine that owns c.
func (c *Conn) Engine() *Engine { return c.e }

// RemoteAddr returns the peer's address. It never returns nil.
func (c *Conn) RemoteAddr() net.Addr {
	if c.remote.IsValid() {
		return net.TCPAddrFromAddrPort(c.remote)
	}
	return c.link.remoteAddr()
}

// LocalAddr returns the local address. It never returns nil.
func (c *Conn) LocalAddr() net.Addr { return c.link.localAddr() }

// unknownAddr stands in where the system tells no address.
type unknownAddr struct{}

func (unknownAddr) Network() string { return "unknown" }
func (unknownAddr) String() string  { return "" }

func addrOr(a net.Addr) net.Addr {
	if a == nil {
		return unknownAddr{}
	}
	return a
}
