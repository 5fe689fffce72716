package eio

import (
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// Hooks are told what goes on in sessions, packet by packet: to count, to log, to
// trace. They are the events of the reference's engine socket. Each may be nil; sessions of a
// server without Hooks pay nothing for them. With Hooks, broadcasts are rewritten and compressed for
// each receiver by itself.
//
// Packet and PacketCreate run on the goroutine that received or sends, which may read
// many connections and may hold locks of the layer above (a broadcast of package sio holds
// those of rooms). They must not block, and must not send, close, or call package sio. No lock of
// this package is held, so the methods of the session that only tell something are allowed.
//
// All the others run one after the other on a goroutine of their own, shortly after what
// they report. They may call anything but Close and Shutdown of the server. One that blocks
// delays the following ones, of all sessions, and what waits for it takes memory.
type Hooks struct {
	// Packet is told of every valid packet that the main transport of an open session
	// receives, before it takes effect. p.Data is borrowed until it returns. Packets of a
	// second transport that is being probed are not reported.
	Packet func(s *Session, p codec.Packet)
	// PacketCreate is told of every MESSAGE before it is buffered, also if the buffer then
	// turns out to be full, and of every volatile one after it was taken; and of PINGs, and the
	// PONGs of Engine.IO v3. p.Data is borrowed until it returns. OPEN, NOOP, CLOSE and what
	// belongs to an upgrade are the transports' own and not reported, as in the reference.
	PacketCreate func(s *Session, p codec.Packet)
	// Flush tells that packets, at least one, have been handed to the transport: taken by the
	// answer to a poll, or queued on the connection of a WebSocket or WebTransport, where those
	// that have waited for an upgrade go together. On WebTransport, as with Engine.IO v3, OPEN is
	// one of those.
	Flush func(s *Session, packets int)
	// Drain tells that nothing waits any more: the answer to a poll has been written, or the
	// kernel has taken the last byte for the WebSocket, or QUIC that for the WebTransport. Many
	// sends may have one Drain in common.
	Drain func(s *Session)
	// Heartbeat tells that the client answered a PING, or sent one in Engine.IO v3.
	Heartbeat func(s *Session)
	// Upgrading tells that a second transport has been probed and t would be the new one.
	Upgrading func(s *Session, t Transport)
	// Upgrade tells that the session has moved to t.
	Upgrade func(s *Session, t Transport)
}

// observe reports a packet from the main transport.
func (s *Session) observe(p codec.Packet) {
	h := s.srv.cfg.Hooks
	if s.Closed() {
		return
	}
	if h.Packet != nil {
		s.srv.notes.call(func() { h.Packet(s, p) })
	}
	beat := codec.Pong
	if s.v3 {
		beat = codec.Ping
	}
	if p.Type == beat && h.Heartbeat != nil {
		s.srv.notes.post(func() { h.Heartbeat(s) })
	}
}

// created reports the messages in f, which is in the plain form.
func (s *Session) created(f *pool.Frame) {
	if h := s.srv.cfg.Hooks; h.PacketCreate != nil {
		for binary, data := range codec.Parts(f.Bytes()) {
			p := codec.Packet{Type: codec.Message, Binary: binary, Data: data}
			if !binary {
				p.Data = data[1:]
			}
			s.srv.notes.call(func() { h.PacketCreate(s, p) }) // somebody's locks may be held
		}
	}
}

// happened reports what finish has done. It is called without s.mu.
func (s *Session) happened(do action) {
	h := s.srv.cfg.Hooks
	if h.PacketCreate != nil {
		if do.has(doPing) {
			s.srv.notes.call(func() { h.PacketCreate(s, codec.Packet{Type: codec.Ping}) })
		}
		if do.has(doPong) {
			s.srv.notes.call(func() { h.PacketCreate(s, codec.Packet{Type: codec.Pong}) })
		}
	}
	if do.has(doProbe) && h.Upgrading != nil {
		s.mu.Lock()
		t := s.m.target
		s.mu.Unlock()
		s.srv.notes.post(func() { h.Upgrading(s, t) })
	}
}

// upgraded reports a new main transport. It is called with s.mu held, before anything is sent there.
func (s *Session) upgraded(t Transport) {
	if h := s.srv.cfg.Hooks; h != nil && h.Upgrade != nil {
		s.srv.notes.post(func() { h.Upgrade(s, t) })
	}
}

// hookedSend is Send. b is nil, or of Queue.
func (s *Session) hookedSend(f *pool.Frame, b *engine.Batch) error {
	s.created(f)
	n := packetsIn(f)
	var err error
	if b == nil {
		err = s.send(f)
	} else {
		err = s.queue(f, b)
	}
	if err == nil {
		s.handed(n, b)
	}
	return err
}

// hookedReplacing is SendReplacing. b is nil, or of QueueReplacing.
func (s *Session) hookedReplacing(f *pool.Frame, b *engine.Batch) (dropped int, err error) {
	s.created(f)
	n := packetsIn(f)
	if b == nil {
		dropped, err = s.sendReplacing(f)
	} else {
		dropped, err = s.queueReplacing(f, b)
	}
	if err == nil {
		s.handed(n, b)
	}
	return dropped, err
}

// hookedVolatile is SendVolatile. b is nil, or of QueueVolatile.
func (s *Session) hookedVolatile(f *pool.Frame, b *engine.Batch) (taken bool) {
	f.Retain(1) // to report it afterwards
	defer f.Release()
	if b == nil {
		taken = s.sendVolatile(f)
	} else {
		taken = s.queueVolatile(f, b)
	}
	if taken {
		s.created(f)
		s.handed(packetsIn(f), b)
	}
	return taken
}

// packetsIn counts the messages in f.
func packetsIn(f *pool.Frame) (n int) {
	for range codec.Parts(f.Bytes()) {
		n++
	}
	return n
}

// packetsWaiting counts the packets in o.
func packetsWaiting(o *outbox) (n int) {
	for _, f := range o.frames {
		n += packetsIn(f)
	}
	return n
}

// drained reports that an answer with n packets has been written.
func (s *Session) drained(n int) {
	if h := s.srv.cfg.Hooks; h != nil && h.Drain != nil && n > 0 && s.Buffered() == 0 {
		s.srv.notes.post(func() { h.Drain(s) })
	}
}

// handed reports n packets that went straight to a WebSocket.
func (s *Session) handed(n int, b *engine.Batch) {
	c := s.conn.Load()
	if c == nil {
		return // buffered; the poll or the upgrade reports them
	}
	s.flushed(n)
	s.awaitDrain(c, b)
}

// flushed reports n packets that a transport has taken. It may be called with s.mu held.
func (s *Session) flushed(n int) {
	if h := s.srv.cfg.Hooks; h != nil && h.Flush != nil && n > 0 {
		s.srv.notes.post(func() { h.Flush(s, n) })
	}
}

// awaitDrain reports the end of what is queued on c.
func (s *Session) awaitDrain(c *engine.Conn, b *engine.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaitDrainLocked(c, b)
}

// awaitDrainLocked queues an empty frame on c that says when it was its turn. One at a time is enough.
func (s *Session) awaitDrainLocked(c *engine.Conn, b *engine.Batch) {
	h := s.srv.cfg.Hooks
	if h == nil || h.Drain == nil || s.marked {
		return
	}
	s.marked = true
	mark := pool.Get(0).Seal(0)
	mark.SetNotify(func(sent bool) { s.srv.notes.post(func() { s.passed(c, sent) }) })
	if b == nil {
		c.Send(mark)
	} else {
		c.Queue(mark, b)
	}
}

// passed is the end of a mark on c: its turn, or that of the connection.
func (s *Session) passed(c *engine.Conn, sent bool) {
	s.mu.Lock()
	s.marked = false
	more := sent && c.Buffered() > 0
	if more {
		s.awaitDrainLocked(c, nil)
	}
	s.mu.Unlock()
	if sent && !more {
		s.srv.cfg.Hooks.Drain(s)
	}
}
