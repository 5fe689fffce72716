package engine

import (
	"net"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/epio-go/epio/pool"
)

// Close ends the connection at once: what is queued is dropped, and Closed
// follows with err (net.ErrClosed for nil) on another goroutine. Closing again
// does nothing.
func (c *Conn) Close(err error) {
	c.mu.Lock()
	if c.flags.has(flagClosed | flagDetached) {
		c.mu.Unlock()
		return
	}
	c.flags |= flagClosed
	c.closeErr = reason(err)
	c.mu.Unlock()
	c.link.close()
}

// CloseAfterFlush ends the connection gently: no further Send is accepted, what
// is queued and then f (which may be nil; one reference is taken) is written,
// and the sending half is shut down. The peer's bytes still reach Data, so that
// its answer to a closing handshake can be seen. The connection closes when the
// peer closes, when Close is called, or when linger has passed.
func (c *Conn) CloseAfterFlush(f *pool.Frame, linger time.Duration) {
	c.mu.Lock()
	if c.flags.has(flagClosed | flagClosing | flagDetached) {
		c.mu.Unlock()
		if f != nil {
			f.Release()
		}
		return
	}
	if f != nil {
		c.queue.push(f)
	}
	c.flags |= flagClosing
	c.linger = &lingering{c: c}
	c.linger.timer.Init(c.e.wheel, c.linger)
	c.linger.timer.Reset(c.e.wheel.Now() + linger)
	shut := c.shutNowLocked()
	if c.queue.empty() {
		c.mu.Unlock()
	} else {
		c.startLocked()
	}
	if shut {
		c.link.shutdown()
	}
}

// lingering closes a connection whose peer does not.
type lingering struct {
	timer Timer
	c     *Conn
}

func (l *lingering) Expire(*Timer) { l.c.Close(nil) }

// Detach takes the connection out of the engine and returns it as a net.Conn
// whose reads begin with the bytes that the running Data does not consume. It
// may be called only from inside Data. Closed is not called any more. The
// returned connection's methods wait until Data has returned.
//
// It fails when frames are still queued or the connection is closed; then
// nothing has changed.
func (c *Conn) Detach() (net.Conn, error) {
	c.mu.Lock()
	if c.flags.has(flagClosed|flagClosing|flagDetached) || !c.queue.empty() {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	c.flags |= flagDetached
	c.mu.Unlock()
	return c.link.detach()
}

// gone marks the connection as closed by err, unless it was closed before.
func (c *Conn) gone(err error) {
	c.mu.Lock()
	if !c.flags.has(flagClosed) {
		c.flags |= flagClosed
		c.closeErr = reason(err)
	}
	c.mu.Unlock()
}

// settle waits until no writer uses the descriptor any more and drops the queue.
// The connection must be marked closed or detached. A writer never blocks in the
// kernel, so the wait is as short as one system call.
func (c *Conn) settle() {
	for {
		c.mu.Lock()
		if !c.flags.has(flagWriting) {
			c.queue.clear()
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		runtime.Gosched()
	}
}

// finish is the end of a closed connection: nobody reads or writes it any more.
func (c *Conn) finish() {
	c.dropKept()
	c.mu.Lock()
	c.queue.clear()
	err := c.closeErr
	c.mu.Unlock()
	c.unregister()
	defer c.e.leave()
	defer c.caught()
	c.h.Closed(c, err)
}

// caught is deferred: it logs the panic of a handler that nothing else can be done about.
func (c *Conn) caught() {
	if v := recover(); v != nil {
		c.e.log.Error("engine: handler panicked", "panic", v, "stack", string(debug.Stack()))
	}
}

// forget is the end of a detached connection, from the engine's point of view.
func (c *Conn) forget() {
	c.unregister()
	c.e.leave()
}

// unregister takes the connection out of the engine's lists, which would keep it in memory.
func (c *Conn) unregister() {
	c.mu.Lock()
	if c.linger != nil {
		c.linger.timer.Stop()
	}
	c.mu.Unlock()
	c.e.unregister(c)
}
