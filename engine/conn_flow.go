package engine

import "github.com/epio-go/epio/pool"

// FlowHandler is a Handler that wants to know when its connection becomes slow and
// when it no longer is, see Options.HighWater. Bytes count once the socket has
// refused some (on the portable engine, which cannot know, while the writer is at
// work): those that wait for a Batch do not make a connection slow.
type FlowHandler interface {
	// Flow says that Conn.Slow has changed. It runs on a goroutine of its own,
	// under no lock, possibly together with another call; what counts is what Slow returns
	// by then.
	Flow(c *Conn)
}

// Slow reports whether the queue has been over Options.HighWater and not under
// LowWater since.
func (c *Conn) Slow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flags.has(flagSlow)
}

// Refuses reports whether it is known when the socket takes no more: not on the portable engine,
// where a connection is slow also for as long as an ordinary write takes.
func (c *Conn) Refuses() bool {
	_, blocks := c.link.(*netConn)
	return !blocks
}

// Backlog returns the frames and the bytes that are queued and not written to the
// socket. It looks at the whole queue.
func (c *Conn) Backlog() (frames, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queue.frames(), c.queue.bytes
}

// SendReplacing is Send for a full queue, too: droppable frames of which nothing was
// written make room, the oldest first; see pool.Frame.SetDroppable. It returns how many
// were dropped. ErrBufferFull means that even that was not enough.
func (c *Conn) SendReplacing(f *pool.Frame) (dropped int, err error) {
	c.mu.Lock()
	dropped, err = c.replaceLocked(f)
	if err != nil {
		c.mu.Unlock()
		f.Release()
		return dropped, err
	}
	c.pushLocked(f)
	c.startLocked()
	return dropped, nil
}

// QueueReplacing is SendReplacing without the write, see Queue.
func (c *Conn) QueueReplacing(f *pool.Frame, b *Batch) (dropped int, err error) {
	c.mu.Lock()
	dropped, err = c.replaceLocked(f)
	if err != nil {
		c.mu.Unlock()
		f.Release()
		return dropped, err
	}
	c.pushLocked(f)
	c.dirtyLocked(b)
	return dropped, nil
}

// replaceLocked is admitLocked, and drops frames to make room for f.
func (c *Conn) replaceLocked(f *pool.Frame) (dropped int, err error) {
	err = c.admitLocked(f)
	if err != ErrBufferFull || f.Len() > c.e.opts.SendBuffer {
		return 0, err
	}
	dropped = c.queue.dropOldest(c.queue.bytes + f.Len() - c.e.opts.SendBuffer)
	return dropped, c.admitLocked(f)
}

// pushLocked queues f, which was admitted.
func (c *Conn) pushLocked(f *pool.Frame) {
	c.queue.push(f)
	if c.queue.bytes > c.e.opts.HighWater {
		c.overLocked()
	}
}

// overLocked marks the connection as slow if it is.
func (c *Conn) overLocked() {
	stuck := flagWaiting
	if !c.Refuses() {
		stuck = flagWriting
	}
	if c.queue.bytes <= c.e.opts.HighWater || c.flags.has(flagSlow|flagClosed|flagDetached) || !c.flags.has(stuck) {
		return
	}
	c.flags |= flagSlow
	go c.flow()
}

// underLocked ends that mark when enough has been written.
func (c *Conn) underLocked() {
	if c.queue.bytes > c.e.opts.LowWater || c.flags.has(flagClosed) {
		return
	}
	c.flags &^= flagSlow
	go c.flow()
}

// flow tells the handler.
func (c *Conn) flow() {
	c.mu.Lock()
	h, ok := c.h.(FlowHandler)
	c.mu.Unlock()
	if ok {
		h.Flow(c)
	}
}
