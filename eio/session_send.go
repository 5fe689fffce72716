package eio

import (
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// Send queues f, which holds one or several complete MESSAGE packets as server
// WebSocket frames. It takes one reference, whatever it returns, and never blocks.
// Frames sent one after another arrive in that order, also across an upgrade;
// the packets of one frame stay together.
//
// The error is ErrClosed or ErrBufferFull, and means that nothing was queued.
func (s *Session) Send(f *pool.Frame) error {
	if s.srv.cfg.Hooks != nil {
		return s.hookedSend(f, nil)
	}
	return s.send(f)
}

// send is Send without hooks.
func (s *Session) send(f *pool.Frame) error {
	if c := s.conn.Load(); c != nil {
		return c.Send(s.wire(f))
	}
	s.mu.Lock()
	if c := s.conn.Load(); c != nil {
		s.mu.Unlock()
		return c.Send(s.wire(f))
	}
	defer s.mu.Unlock()
	return s.bufferLocked(f)
}

// SendMessage sends one message, a copy of data. Text must be valid UTF-8.
// Errors are those of Send.
func (s *Session) SendMessage(data []byte, binary bool) error {
	if binary {
		return s.Send(codec.NewBinaryFrame(data))
	}
	return s.Send(codec.NewTextFrame(codec.Message, data))
}

// SendVolatile is Send for packets that are worthless later: they are dropped, all
// of them, when the transport is not writable now, which means bytes on their way on a
// WebSocket, or no parked poll. It reports whether f was taken.
func (s *Session) SendVolatile(f *pool.Frame) bool {
	if s.srv.cfg.Hooks != nil {
		return s.hookedVolatile(f, nil)
	}
	return s.sendVolatile(f)
}

// sendVolatile is SendVolatile without hooks.
func (s *Session) sendVolatile(f *pool.Frame) bool {
	if c := s.conn.Load(); c != nil {
		if s.deflate && c.Buffered() > 0 {
			f.Release() // before it is compressed in vain
			return false
		}
		return c.SendVolatile(s.wire(f))
	}
	s.mu.Lock()
	if c := s.conn.Load(); c != nil {
		s.mu.Unlock()
		return c.SendVolatile(s.wire(f))
	}
	defer s.mu.Unlock()
	return s.bufferVolatileLocked(f)
}

// Queue is Send for broadcasts: a WebSocket is written by b.Flush, together
// with other connections.
func (s *Session) Queue(f *pool.Frame, b *engine.Batch) error {
	if s.srv.cfg.Hooks != nil {
		return s.hookedSend(f, b)
	}
	return s.queue(f, b)
}

// queue is Queue without hooks.
func (s *Session) queue(f *pool.Frame, b *engine.Batch) error {
	if c := s.conn.Load(); c != nil {
		return c.Queue(s.wire(f), b)
	}
	s.mu.Lock()
	if c := s.conn.Load(); c != nil {
		s.mu.Unlock()
		return c.Queue(s.wire(f), b)
	}
	defer s.mu.Unlock()
	return s.bufferLocked(f)
}

// QueueVolatile is SendVolatile for broadcasts.
func (s *Session) QueueVolatile(f *pool.Frame, b *engine.Batch) bool {
	if s.srv.cfg.Hooks != nil {
		return s.hookedVolatile(f, b)
	}
	return s.queueVolatile(f, b)
}

// queueVolatile is QueueVolatile without hooks.
func (s *Session) queueVolatile(f *pool.Frame, b *engine.Batch) bool {
	if c := s.conn.Load(); c != nil {
		return c.QueueVolatile(s.wire(f), b)
	}
	s.mu.Lock()
	if c := s.conn.Load(); c != nil {
		s.mu.Unlock()
		return c.QueueVolatile(s.wire(f), b)
	}
	defer s.mu.Unlock()
	return s.bufferVolatileLocked(f)
}

// Buffered returns the bytes that wait for the transport.
func (s *Session) Buffered() int {
	if c := s.conn.Load(); c != nil {
		return c.Buffered()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out == nil {
		return s.conn.Load().Buffered()
	}
	return s.out.bytes
}

// bufferLocked keeps f for the next poll, or for the WebSocket to come. It takes f.
func (s *Session) bufferLocked(f *pool.Frame) error {
	switch {
	case s.m.phase != phaseOpen:
		f.Release()
		return ErrClosed
	case s.out.bytes+f.Len() > s.srv.cfg.SendBuffer,
		// A client may poll again and again without reading an answer: once more as much as may wait is on its way to it.
		s.out.taken+s.out.bytes+f.Len() > 2*s.srv.cfg.SendBuffer:
		f.Release()
		return ErrBufferFull
	}
	s.out.put(f)
	s.outboxFlowLocked()
	return nil
}

func (s *Session) bufferVolatileLocked(f *pool.Frame) bool {
	writable := s.out.writable()
	if s.m.transport != Polling { // on its way into the engine
		writable = len(s.out.frames) == 0
	}
	if s.m.phase != phaseOpen || !writable || f.Len() > s.srv.cfg.SendBuffer {
		f.Release()
		return false
	}
	s.out.put(f)
	return true
}

// QueueForm is Queue for a frame in the form that Form returned, which is not
// FormPlain: so a broadcast is rewritten once for each form, not for each receiver.
func (s *Session) QueueForm(f *pool.Frame, b *engine.Batch) error { return s.conn.Load().Queue(f, b) }

// QueueFormVolatile is QueueVolatile in the same way.
func (s *Session) QueueFormVolatile(f *pool.Frame, b *engine.Batch) bool {
	return s.conn.Load().QueueVolatile(f, b)
}
