package engine

import "github.com/epio-go/epio/pool"

// Send queues f and writes as much as the socket takes now. It takes one
// reference to f, whatever it returns, and never blocks.
//
// An error means that f was not queued: ErrClosed after any kind of close,
// ErrBufferFull when f does not fit into the send buffer. A nil error is no
// promise of delivery.
func (c *Conn) Send(f *pool.Frame) error {
	c.mu.Lock()
	if err := c.admitLocked(f); err != nil {
		c.mu.Unlock()
		f.Release()
		return err
	}
	c.pushLocked(f)
	c.startLocked()
	return nil
}

// SendVolatile is Send for a frame that is worthless unless it leaves at once:
// it is dropped when anything else is queued or being written. It reports
// whether f was taken. It takes one reference to f in any case.
func (c *Conn) SendVolatile(f *pool.Frame) bool {
	c.mu.Lock()
	if !c.idleLocked() || c.admitLocked(f) != nil {
		c.mu.Unlock()
		f.Release()
		return false
	}
	c.queue.push(f)
	c.startLocked()
	return true
}

// Queue is Send without the write: b.Flush does that, for all connections of the
// batch together. Frames from Send and Queue leave in the order of the calls.
func (c *Conn) Queue(f *pool.Frame, b *Batch) error {
	c.mu.Lock()
	if err := c.admitLocked(f); err != nil {
		c.mu.Unlock()
		f.Release()
		return err
	}
	c.pushLocked(f)
	c.dirtyLocked(b)
	return nil
}

// QueueVolatile is SendVolatile without the write.
func (c *Conn) QueueVolatile(f *pool.Frame, b *Batch) bool {
	c.mu.Lock()
	if !c.idleLocked() || c.admitLocked(f) != nil {
		c.mu.Unlock()
		f.Release()
		return false
	}
	c.queue.push(f)
	c.dirtyLocked(b)
	return true
}

// Buffered returns the bytes that are queued and not written to the socket.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queue.bytes
}

// idleLocked reports whether a frame queued now would leave at once.
func (c *Conn) idleLocked() bool {
	return !c.flags.has(flagWriting|flagWaiting) && c.queue.empty()
}

// dirtyLocked unlocks c.mu and leaves the queue to b, unless somebody writes it
// already.
func (c *Conn) dirtyLocked(b *Batch) {
	if !c.flags.has(flagWriting | flagWaiting | flagDirty) {
		c.flags |= flagDirty
		b.add(c)
	}
	c.mu.Unlock()
}

// admitLocked says whether f may be queued.
func (c *Conn) admitLocked(f *pool.Frame) error {
	if c.flags.has(flagClosed | flagClosing | flagDetached) {
		return ErrClosed
	}
	if c.queue.bytes+f.Len() > c.e.opts.SendBuffer {
		return ErrBufferFull
	}
	return nil
}

// startLocked unlocks c.mu and makes sure that somebody writes the queue.
func (c *Conn) startLocked() {
	if c.flags.has(flagWriting | flagWaiting) {
		c.mu.Unlock()
		return
	}
	c.flags |= flagWriting
	c.link.flushLocked()
}

// flushDirty writes what a batch has queued.
func (c *Conn) flushDirty() {
	c.mu.Lock()
	c.flags &^= flagDirty
	if c.queue.empty() || c.flags.has(flagClosed) {
		c.mu.Unlock()
		return
	}
	c.startLocked()
}

// wroteLocked accounts for n written bytes and reports whether the writer must
// go on. When it must not, flagWriting is cleared; shut then says that the
// stream is to be shut down now that the last frame is out.
func (c *Conn) wroteLocked(n int) (more, shut bool) {
	c.queue.advance(n)
	if c.flags.has(flagSlow) {
		c.underLocked()
	}
	if c.flags.has(flagClosed) {
		c.queue.clear()
		c.flags &^= flagWriting
		return false, false
	}
	if !c.queue.empty() {
		return true, false
	}
	c.flags &^= flagWriting
	return false, c.shutNowLocked()
}

// shutNowLocked reports, once, that a closing connection has sent everything.
func (c *Conn) shutNowLocked() bool {
	if !c.flags.has(flagClosing) || c.flags.has(flagShut|flagClosed) || !c.queue.empty() {
		return false
	}
	c.flags |= flagShut
	return true
}
