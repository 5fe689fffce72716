package eio

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// Session is one Engine.IO connection, whatever transport it uses at the moment.
//
// Lock order: Session.mu, then a table shard's or an engine connection's lock.
// The server's own lock is never held together with a session's. No lock is
// held while the application's code runs.
type Session struct {
	// immutable after start
	srv *Server
	id  string

	// atomic
	conn      atomic.Pointer[engine.Conn] // set once, under mu, when packets go straight to a WebSocket or WebTransport
	handshake atomic.Pointer[Handshake]   // nil after DropHandshake
	paused    atomic.Bool                 // mirror of m.held for the receiving loops

	v3 bool // immutable: the client speaks Engine.IO v3

	// the application's, see SetData
	data any

	// owned by whoever runs Data of the main WebSocket
	rd wsReader

	mu sync.Mutex
	// guarded by mu
	base64  bool // the transport was opened with b64: no raw binary; set before conn
	deflate bool // the WebSocket takes compressed messages; set before conn
	busy    bool // Open or Message is running, or may run at any moment
	owed    bool // whoever is busy has to call Handler.Close with ending
	marked  bool // Hooks.Drain has a mark in the queue of conn
	moved   bool // it began on another transport
	large   bool // a POST body over the limit was logged
	opened  bool // Handler.Open has returned
	m       machine
	armed   time.Duration // what timer is set to
	timer   engine.Timer
	out     *outbox    // nil once conn is set
	cand    *candidate // the second transport while there is one
	ending  *ending    // once the session is over for the application
}

// ending is the content of a Handler.Close call.
type ending struct {
	reason Reason
	err    error
}

// newSession makes a session on t for the client that sent q. It is busy until open
// is called.
func newSession(srv *Server, id string, t Transport, hs *Handshake, q *query) *Session {
	s := &Session{srv: srv, id: id, out: new(outbox), busy: true, v3: q.v3(), base64: q.base64}
	if q.script && t == Polling {
		s.out.script = scriptHead(q.callback)
		s.base64 = true // scripts are text
	}
	s.handshake.Store(hs)
	s.m.start(srv.now(), t, s.timing())
	s.timer.Init(srv.engine.Wheel(), (*sessionTimer)(s))
	return s
}

// ID returns the session id. It is a secret between this client and the server.
func (s *Session) ID() string { return s.id }

// Protocol returns the Engine.IO revision the client speaks: 4, or 3 if
// Config.AllowEIO3 is set.
func (s *Session) Protocol() int {
	if s.v3 {
		return 3
	}
	return 4
}

// timing returns the durations of the session's revision.
func (s *Session) timing() *timing {
	if s.v3 {
		return &s.srv.timingV3
	}
	return &s.srv.timing
}

// Transport returns the transport that is in use now.
func (s *Session) Transport() Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.transport
}

// Upgrading reports whether a second transport is being probed.
func (s *Session) Upgrading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.candidate != stageNone
}

// Upgraded reports whether the session has moved to another transport than it began on.
func (s *Session) Upgraded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moved
}

// Closed reports whether the session is over for the application.
func (s *Session) Closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.phase != phaseOpen
}

// Cause returns what Handler.Close is told about the end of the session. It stays available
// afterwards; before, reason is empty and err nil.
func (s *Session) Cause() (reason Reason, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending == nil {
		return "", nil
	}
	return s.ending.reason, s.ending.err
}

// Opened reports whether Handler.Open has returned. Who has the session from Server.All, and not from a Handler's
// method, may call Data only then.
func (s *Session) Opened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// SetData stores a value for the application. It is not synchronized: call it in
// Handler.Open, before anything else knows the session.
func (s *Session) SetData(v any) { s.data = v }

// Data returns what SetData stored.
func (s *Session) Data() any { return s.data }

// Handshake returns the request that opened the session, or nil after
// DropHandshake.
func (s *Session) Handshake() *Handshake { return s.handshake.Load() }

// DropHandshake frees the memory of the handshake, half a KiB with usual browsers.
func (s *Session) DropHandshake() { s.handshake.Store(nil) }

// Pause stops the flow of messages from this client: after the running Message no
// other starts until Resume. Bytes that keep coming in fill the kernel's
// buffers until TCP stops the sender; on polling, the answer to the POST is withheld.
// A PONG cannot be seen meanwhile, so the ping timeout is suspended.
func (s *Session) Pause() { s.hold(true) }

// Resume undoes Pause. Neither of them counts.
func (s *Session) Resume() { s.hold(false) }

func (s *Session) hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m.hold(s.srv.now(), held, s.timing())
	s.paused.Store(held)
	if held {
		return
	}
	s.armLocked()
	if c := s.conn.Load(); c != nil {
		c.Resume()
	}
	if s.out != nil && s.out.post != nil {
		s.out.post.signal()
	}
}

// Close ends the session in good order: what has been sent is still delivered,
// followed by a WebSocket close frame without status, or by a CLOSE packet on polling
// (kept for 30 s until a poll takes it). The application is told at once, see
// Handler.Close. Closing again does nothing.
func (s *Session) Close(reason Reason) {
	s.mu.Lock()
	buffered := s.out != nil && len(s.out.frames) > 0
	s.finish(s.m.close(s.srv.now(), reason, buffered, s.timing()))
}

// Discard ends the session at once and drops what a polling client has not
// fetched yet.
func (s *Session) Discard(reason Reason) {
	s.mu.Lock()
	s.finish(s.m.discard(reason))
}

// finish executes e and unlocks s.mu.
func (s *Session) finish(e effect) {
	s.applyLocked(e)
	s.armLocked()
	var end *ending
	if e.do.has(doEnd) {
		end = &ending{e.reason, e.err}
		s.ending = end
		s.srv.stats.close(Closing{e.reason, s.m.transport})
		if s.srv.cfg.Flow.HighWater > 0 {
			s.srv.flows.forget(s)
		}
		if s.busy {
			s.owed, end = true, nil
		}
	}
	s.mu.Unlock()
	if s.srv.cfg.Hooks != nil {
		s.happened(e.do)
	}
	if e.do.has(doRemove) {
		s.srv.sessions.remove(s)
		if a := s.srv.admission; a != nil {
			a.leave(s)
		}
	}
	if end != nil {
		s.tell(end)
	}
}

// tell makes the Handler.Close call.
func (s *Session) tell(end *ending) {
	defer s.srv.sessions.told()
	defer s.srv.caught()
	s.srv.handler.Close(s, end.reason, end.err)
}

// occupyLocked claims the right to call Message.
func (s *Session) occupyLocked() {
	if s.busy {
		panic("eio: two goroutines deliver messages of one session")
	}
	s.busy = true
}

// vacate gives back the right to call Message (or Open), and makes the Close
// call that became due meanwhile.
func (s *Session) vacate() {
	s.mu.Lock()
	s.busy = false
	end, owed := s.ending, s.owed
	s.owed = false
	s.mu.Unlock()
	if owed {
		s.tell(end)
	}
}

// applyLocked does the I/O an effect asks for. None of it blocks.
func (s *Session) applyLocked(e effect) {
	out := s.out
	if e.do.has(doDiscard) && out != nil {
		out.drop()
	}
	if e.do.has(doNoop|doClosePoll) && out != nil {
		out.wake(e.do & (doNoop | doClosePoll))
	}
	if e.do.has(doPing) {
		s.sendLocked(codec.PingFrame)
	}
	if e.do.has(doPong) {
		s.sendLocked(codec.PongFrame)
	}
	if e.do.has(doProbe) {
		s.cand.send(codec.ProbeFrame)
	}
	if e.do.has(doSwitch) {
		s.switchLocked()
	}
	if e.do.has(doDrop) {
		s.cand.dropLocked()
		s.cand = nil
	}
	if e.do.has(doShut) {
		if c := s.conn.Load(); c != nil {
			c.CloseAfterFlush(s.lastFrame(e.err), wsLinger)
			c.Resume() // if paused, to hear the peer's close frame
		}
	}
	if e.do.has(doRemove) && out != nil && out.post != nil {
		out.post.interrupt()
	}
}

// sendLocked sends one of our own packets. A full buffer swallows it; then the
// deadline of the heartbeat decides, here or at the client.
func (s *Session) sendLocked(f *pool.Frame) {
	if c := s.conn.Load(); c != nil {
		c.Send(s.inForm(f))
	} else if s.out != nil {
		s.out.put(f)
	}
}

// switchLocked makes the candidate's connection the only way out. The candidate
// keeps forwarding what it receives until its next Data.
func (s *Session) switchLocked() {
	s.base64 = s.cand.base64
	s.setDeflate(s.cand.rd.deflate)
	s.cand.switched = true
	s.srv.stats.upgraded.Add(1)
	s.moved = true
	s.upgraded(s.m.transport)
	s.attachLocked(s.cand.conn)
	s.cand.conn.Resume()
	s.cand = nil
}

// attachLocked sends what is buffered on c and makes it the way out.
func (s *Session) attachLocked(c *engine.Conn) {
	out := s.out
	s.out = nil
	if s.srv.cfg.Hooks != nil {
		s.flushed(packetsWaiting(out))
	}
	for i, f := range out.frames {
		out.frames[i] = nil
		// Not compressed: there may be much of it, and this may be the reactor's goroutine.
		if err := c.Send(s.inForm(f)); err != nil {
			// Cannot be a full buffer, both have the same limit. The connection
			// is gone and its Closed callback will end the session.
			s.srv.log.Debug("eio: packets lost with their connection", "remote", c.RemoteAddr(), "err", err)
		}
	}
	waited := len(out.frames) > 0
	out.frames, out.bytes, out.loose = nil, 0, 0
	s.conn.Store(c)
	s.outboxFlowLocked()
	if waited {
		s.awaitDrainLocked(c, nil)
	}
}

// attach is attachLocked for a session that begins on WebSocket, whose connection
// becomes known in its first Data or when Adopt returns, whichever is first.
func (s *Session) attach(c *engine.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.Load() != nil {
		return
	}
	s.attachLocked(c)
	if s.m.phase != phaseOpen {
		c.CloseAfterFlush(s.lastFrame(nil), wsLinger)
	}
}

// armLocked sets the timer to what the machine waits for.
func (s *Session) armLocked() {
	at := s.m.next()
	if at == s.armed {
		return
	}
	s.armed = at
	if at == never {
		s.timer.Stop()
		return
	}
	s.timer.Reset(at)
}

// sessionTimer is a Session as the timer wheel sees it.
type sessionTimer Session

// Expire implements engine.Expirer.
func (t *sessionTimer) Expire(*engine.Timer) {
	s := (*Session)(t)
	s.mu.Lock()
	s.armed = 0
	s.finish(s.m.timer(s.srv.now(), s.timing()))
}

// current applies what is due by now, in case the timer is late, and reports
// whether the session still exists for its client.
func (s *Session) current() bool {
	s.mu.Lock()
	now := s.srv.now()
	if now < s.m.next() {
		alive := s.m.phase != phaseClosed
		s.mu.Unlock()
		return alive
	}
	e := s.m.timer(now, s.timing())
	alive := s.m.phase != phaseClosed
	s.finish(e)
	return alive
}
