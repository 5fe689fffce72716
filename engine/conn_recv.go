package engine

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/epio-go/epio/pool"
)

// Pause stops Data until Resume. It may be called only from inside Data, which
// may leave bytes unconsumed as usual. The peer is stopped by TCP once the
// kernel's buffers are full. A peer that hangs up while paused is noticed at
// Resume, or by a timer of the caller's.
func (c *Conn) Pause() {
	c.mu.Lock()
	c.flags |= flagPaused
	c.mu.Unlock()
}

// Resume undoes Pause. Data is called again on another goroutine, first with the
// bytes that were left unconsumed, if any. It does nothing when c is not paused.
func (c *Conn) Resume() {
	c.mu.Lock()
	if !c.flags.has(flagPaused) || c.flags.has(flagClosed|flagDetached) {
		c.mu.Unlock()
		return
	}
	c.flags = c.flags&^flagPaused | flagReshow
	c.mu.Unlock()
	c.link.resume()
}

// stopLocked returns, with c.mu held, why the reading side must not go on:
// paused, closed, detached, or 0. When Resume came in between, what is kept is
// shown again first.
func (c *Conn) stopLocked() flags {
	for {
		c.mu.Lock()
		stop := c.flags & (flagPaused | flagClosed | flagDetached)
		again := stop == 0 && c.flags.has(flagReshow)
		c.flags &^= flagReshow
		if !again {
			return stop
		}
		c.mu.Unlock()
		c.redeliver()
	}
}

// reading reports whether Data may be called now.
func (c *Conn) reading() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.flags.has(flagPaused | flagClosed | flagDetached)
}

// deliver shows p, behind what is kept, to the handler and keeps what it leaves.
// Only the goroutine that owns the reading side may call it.
func (c *Conn) deliver(p []byte) {
	if c.kept == nil {
		if n := c.show(p); n < len(p) {
			c.kept = pool.Copy(p[n:])
			c.checkKept()
		}
		return
	}
	c.kept.Grow(len(p))
	c.kept.B = append(c.kept.B, p...)
	c.redeliver()
}

// redeliver shows what is kept.
func (c *Conn) redeliver() {
	if c.kept == nil {
		return
	}
	n := c.show(c.kept.B)
	if n == len(c.kept.B) {
		c.dropKept()
		return
	}
	if n > 0 {
		rest := copy(c.kept.B, c.kept.B[n:])
		c.kept.B = c.kept.B[:rest]
		if cap(c.kept.B) > 4096 && rest < cap(c.kept.B)/8 {
			// A large message is through; do not hold its buffer for the few
			// bytes of the next one.
			small := pool.Copy(c.kept.B)
			c.kept.Release()
			c.kept = small
		}
	}
	c.checkKept()
}

// keep stores p behind what is kept without showing it.
func (c *Conn) keep(p []byte) {
	if len(p) == 0 {
		return
	}
	if c.kept == nil {
		c.kept = pool.Copy(p)
		return
	}
	c.kept.Grow(len(p))
	c.kept.B = append(c.kept.B, p...)
}

func (c *Conn) dropKept() {
	if c.kept != nil {
		c.kept.Release()
		c.kept = nil
	}
}

func (c *Conn) checkKept() {
	m := c.e.opts.MaxInbound
	if m <= 0 || c.kept == nil || len(c.kept.B) <= m {
		return
	}
	c.mu.Lock()
	// With flagReshow set, a Resume has come after Data left the bytes because of
	// its Pause: it will be shown them again.
	judge := !c.flags.has(flagPaused | flagReshow | flagClosed | flagDetached)
	c.mu.Unlock()
	if judge {
		c.Close(ErrInboundLimit)
	}
}

// errGoexit stands for the panic of a handler that has called runtime.Goexit.
var errGoexit = errors.New("runtime.Goexit called")

// show calls Data, again as long as Data replaces the handler, and returns how
// many bytes were consumed.
func (c *Conn) show(p []byte) (used int) {
	if !c.reading() {
		return 0
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		used = len(p)
		if v := recover(); v != nil {
			c.e.log.Error("engine: handler panicked", "panic", v, "stack", string(debug.Stack()))
			c.Close(fmt.Errorf("engine: handler panicked: %v", v))
			return
		}
		// runtime.Goexit, which goes on: whoever runs Data ends the connection when it sees
		// that. (Netpoll closes it by itself, and must not be told to.)
		c.e.log.Error("engine: handler panicked", "panic", errGoexit, "stack", string(debug.Stack()))
		c.gone(fmt.Errorf("engine: handler panicked: %w", errGoexit))
	}()
	for {
		h := c.h
		n := h.Data(c, p[used:])
		if n < 0 || n > len(p)-used {
			panic(fmt.Sprintf("engine: Data consumed %d of %d bytes", n, len(p)-used))
		}
		used += n
		if c.h == h || used == len(p) || !c.reading() {
			returned = true
			return used
		}
	}
}
