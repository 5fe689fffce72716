package engine

import (
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync/atomic"

	"github.com/epio-go/epio/pool"
)

// netConn is a connection on the portable engine: a goroutine reads, another
// one exists while something is being written.
type netConn struct {
	Conn
	nc       net.Conn
	resumed  chan struct{} // capacity 1; wakes the reader after a pause
	handover atomic.Pointer[detached]
}

const readBuffer = 4096

func (e *Engine) adoptPortable(nc net.Conn, carry []byte, accept func(*Conn) Handler) (*Conn, error) {
	c := &netConn{nc: nc, resumed: make(chan struct{}, 1)}
	c.e, c.link = e, c
	c.remote = remoteAddrPort(nc)
	if err := e.register(&c.Conn); err != nil {
		nc.Close()
		return nil, err
	}
	if c.h = accept(&c.Conn); c.h == nil {
		c.gone(ErrClosed)
		nc.Close()
		c.settle()
		c.forget()
		return nil, nil
	}
	if len(carry) > 0 {
		c.kept = pool.Copy(carry)
	}
	go c.read()
	return &c.Conn, nil
}

// read is the connection's goroutine.
func (c *netConn) read() {
	defer c.end()
	c.redeliver()
	buf := pool.Get(readBuffer)
	defer buf.Release()
	p := buf.B[:cap(buf.B)]
	for c.waitReading() {
		n, err := c.tryRead(p)
		if n > 0 {
			c.deliver(p[:n])
		}
		if err != nil {
			c.readError(err)
			return
		}
	}
}

// readError ends the connection after a failed read.
func (c *netConn) readError(err error) {
	if c.waitReading() { // paused: what was received comes before the end
		c.gone(err)
	}
}

// waitReading waits out a pause and reports whether the connection goes on.
func (c *netConn) waitReading() bool {
	for {
		stop := c.stopLocked()
		c.mu.Unlock()
		switch {
		case stop.has(flagClosed | flagDetached):
			return false
		case stop == 0:
			return true
		}
		<-c.resumed
	}
}

func (c *netConn) end() {
	if d := c.handover.Load(); d != nil {
		var rest []byte
		if c.kept != nil {
			rest = append(rest, c.kept.B...)
			c.dropKept()
		}
		c.forget()
		d.ready(c.nc, rest, nil)
		return
	}
	c.closeNet()
	c.settle()
	c.finish()
}

func (c *netConn) wakeReader() {
	select {
	case c.resumed <- struct{}{}:
	default:
	}
}

func (c *netConn) resume() { c.wakeReader() }

// close unblocks the reader, which does the rest. It runs on a goroutine of its
// own because closing a TLS connection may wait for its peer.
func (c *netConn) close() {
	c.wakeReader()
	go c.closeNet()
}

// closeNet is nc.Close, see tryRead.
func (c *netConn) closeNet() {
	defer c.caught()
	c.nc.Close()
}

// tryRead is nc.Read. That may be code of the application: what wraps its listener's
// connections. On net/http's goroutines a panic of it would not end the process either.
func (c *netConn) tryRead(p []byte) (n int, err error) {
	defer c.broken(&err)
	return c.nc.Read(p)
}

// tryWrite is writeAll in the same way.
func (c *netConn) tryWrite(bufs [][]byte) (n int, err error) {
	defer c.broken(&err)
	return writeAll(c.nc, bufs)
}

// broken is deferred: a panic becomes *err, which ends the connection.
func (c *netConn) broken(err *error) {
	if v := recover(); v != nil {
		c.e.log.Error("engine: connection panicked", "panic", v, "stack", string(debug.Stack()))
		*err = fmt.Errorf("engine: connection panicked: %v", v)
	}
}

// shutdown is called by the writer or by CloseAfterFlush.
func (c *netConn) shutdown() {
	if cw, ok := c.nc.(interface{ CloseWrite() error }); ok {
		go func() {
			defer c.caught()
			cw.CloseWrite()
		}()
	}
}

func (c *netConn) detach() (net.Conn, error) {
	d := newDetached(c.nc.LocalAddr(), c.nc.RemoteAddr())
	c.handover.Store(d)
	return d, nil
}

func (c *netConn) flushLocked() {
	c.mu.Unlock()
	go c.drain()
}

// drain writes until the queue is empty. Several small frames are copied
// together, so that TLS puts them into one record and TCP into one segment.
func (c *netConn) drain() {
	var bufs [64][]byte
	for {
		c.mu.Lock()
		n := c.queue.gather(bufs[:])
		c.mu.Unlock()
		sent, err := c.tryWrite(bufs[:n])
		clear(bufs[:n])
		if err != nil {
			c.gone(fmt.Errorf("engine: write: %w", err))
			c.wakeReader()
			go c.closeNet() // a blocked TLS peer must not keep the writer
		}
		c.mu.Lock()
		more, shut := c.wroteLocked(sent)
		c.mu.Unlock()
		if shut {
			c.shutdown()
		}
		if !more {
			return
		}
	}
}

const coalesce = 16 << 10

func writeAll(nc net.Conn, bufs [][]byte) (int, error) {
	if len(bufs) == 1 {
		return nc.Write(bufs[0])
	}
	sent := 0
	for i := 0; i < len(bufs); {
		if len(bufs[i]) >= coalesce {
			n, err := nc.Write(bufs[i])
			sent += n
			if err != nil {
				return sent, err
			}
			i++
			continue
		}
		b := pool.Get(coalesce)
		for i < len(bufs) && len(b.B)+len(bufs[i]) <= coalesce {
			b.B = append(b.B, bufs[i]...)
			i++
		}
		n, err := nc.Write(b.B)
		b.Release()
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func (c *netConn) localAddr() net.Addr  { return addrOr(c.nc.LocalAddr()) }
func (c *netConn) remoteAddr() net.Addr { return addrOr(c.nc.RemoteAddr()) }

// remoteAddrPort returns the peer's address if it is a TCP one.
func remoteAddrPort(nc net.Conn) netip.AddrPort {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
