package eio

import (
	"fmt"
	"sync"
	"time"

	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// Flow says when a connection counts as slow, and who is told. The zero value does
// nothing and costs nothing.
//
// A connection is slow when more than HighWater bytes wait for it, and stays so until
// no more than LowWater do. On WebSocket bytes count once the socket has refused some. Elsewhere
// that cannot be seen: on the portable engine, as with TLS and WebTransport, bytes count while they are
// being written, on polling as long as no poll has taken them; and a connection is slow there only
// when that has lasted for a tenth of a second, as it does for no client that keeps up.
type Flow struct {
	// HighWater is in bytes, exclusive, and below Config.SendBuffer. 0 means that no
	// connection is ever slow.
	HighWater int
	// LowWater is in bytes, inclusive. Default HighWater / 4.
	LowWater int
	// OnSlow and OnFast are told, in turn for one session and beginning with OnSlow, with the bytes
	// that wait at that moment. They run on a goroutine of their own, under no lock, and
	// may block; changes that happen meanwhile and cancel each other are not told. A
	// session that ends while it is slow gets no OnFast.
	OnSlow, OnFast func(s *Session, buffered int)
	// MaxSlow closes a session that has been slow for so long, with the reason
	// TooSlow. 0 means never.
	MaxSlow time.Duration
}

// normalize fills in defaults and returns pairs of field and problem.
func (f *Flow) normalize(sendBuffer int) (problems [][2]string) {
	bad := func(field, format string, args ...any) {
		problems = append(problems, [2]string{field, fmt.Sprintf(format, args...)})
	}
	if f.HighWater < 0 || f.HighWater > 0 && f.HighWater >= sendBuffer {
		bad("HighWater", "%d is not between 0 and SendBuffer", f.HighWater)
	}
	if f.LowWater == 0 {
		f.LowWater = f.HighWater / 4
	}
	if f.LowWater < 0 || f.LowWater > f.HighWater {
		bad("LowWater", "%d is not between 0 and HighWater", f.LowWater)
	}
	if f.MaxSlow < 0 {
		bad("MaxSlow", "%v is negative", f.MaxSlow)
	}
	if f.HighWater == 0 && (f.OnSlow != nil || f.OnFast != nil || f.MaxSlow > 0) {
		bad("HighWater", "is needed for OnSlow, OnFast and MaxSlow")
	}
	return problems
}

// flows knows the sessions that are slow; the others cost nothing.
type flows struct {
	flow Flow // immutable

	mu sync.Mutex
	// guarded by mu
	slow map[*Session]*slowness
}

// settleTime is how long a session must be over the mark where a burst looks the same at first.
const settleTime = 100 * time.Millisecond

// slowness is one session over the mark. Guarded by flows.mu.
type slowness struct {
	timer   engine.Timer
	flows   *flows
	s       *Session
	since   time.Duration // when it went over the mark
	settles bool          // it is not slow yet
	now     bool          // it is slow
	told    bool          // the application believes so
	telling bool          // a goroutine runs tell
	over    bool          // the session has ended
}

// set says whether s is over the mark now. sure means that it is slow at once then. It may be
// called under s.mu.
func (fs *flows) set(s *Session, over, sure bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d := fs.slow[s]
	if d == nil {
		if !over {
			return
		}
		d = &slowness{flows: fs, s: s}
		d.timer.Init(s.srv.engine.Wheel(), d)
		if fs.slow == nil {
			fs.slow = make(map[*Session]*slowness)
		}
		fs.slow[s] = d
	}
	switch {
	case over == (d.now || d.settles):
	case !over:
		d.now, d.settles = false, false
		d.timer.Stop()
		d.changedLocked()
	default:
		d.since = s.srv.now()
		if sure {
			d.slowLocked()
		} else {
			d.settles = true
			d.timer.Reset(d.since + settleTime)
		}
	}
}

// slowLocked makes the session slow.
func (d *slowness) slowLocked() {
	d.settles, d.now = false, true
	if m := d.flows.flow.MaxSlow; m > 0 {
		d.timer.Reset(d.since + m)
	}
	d.changedLocked()
}

// changedLocked has the application told, if it does not know yet.
func (d *slowness) changedLocked() {
	switch {
	case d.telling:
	case d.now != d.told:
		d.telling = true
		go d.tell()
	case !d.now:
		delete(d.flows.slow, d.s)
	}
}

// tell calls the application until it knows how things are.
func (d *slowness) tell() {
	fs := d.flows
	done := false
	defer func() {
		if !done { // the application has called runtime.Goexit
			go d.tell()
		}
	}()
	for {
		fs.mu.Lock()
		if d.over || d.now == d.told {
			d.telling = false
			if !d.over && !d.now && !d.settles {
				delete(fs.slow, d.s)
			}
			fs.mu.Unlock()
			done = true
			return
		}
		d.told = d.now
		fn := fs.flow.OnFast
		if d.told {
			fn = fs.flow.OnSlow
		}
		fs.mu.Unlock()
		if fn != nil {
			d.s.srv.notes.call(func() { fn(d.s, d.s.Buffered()) })
		}
	}
}

// Expire implements engine.Expirer: the session is no burst, or was slow for too long.
func (d *slowness) Expire(*engine.Timer) {
	late := false
	d.flows.mu.Lock()
	switch m := d.flows.flow.MaxSlow; {
	case d.over:
	case d.settles:
		d.slowLocked()
	case d.now && m > 0:
		if late = d.s.srv.now()-d.since >= m; !late {
			d.timer.Reset(d.since + m) // it was fast in between
		}
	}
	d.flows.mu.Unlock()
	if late {
		d.s.Discard(TooSlow)
	}
}

// forget ends what is known of a session that is over. It may be called under s.mu.
func (fs *flows) forget(s *Session) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if d := fs.slow[s]; d != nil {
		d.over = true
		d.timer.Stop()
		delete(fs.slow, s)
	}
}

// count returns how many sessions are slow.
func (fs *flows) count() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := 0
	for _, d := range fs.slow {
		if d.now {
			n++
		}
	}
	return n
}

// Flow implements engine.FlowHandler.
func (h *wsConn) Flow(c *engine.Conn) { (*Session)(h).flowOf(c) }

// Flow implements engine.FlowHandler.
func (h *wtConn) Flow(c *engine.Conn) { (*Session)(h).flowOf(c) }

// Flow implements engine.FlowHandler.
func (h *wtCandidate) Flow(c *engine.Conn) { (*candidate)(h).Flow(c) }

// Flow implements engine.FlowHandler: until its next Data, a candidate that has taken
// over stands in for the session.
func (k *candidate) Flow(c *engine.Conn) { k.s.flowOf(c) }

// flowOf passes on how the session's connection is doing.
func (s *Session) flowOf(c *engine.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.Load() == c && s.m.phase == phaseOpen {
		s.srv.flows.set(s, c.Slow(), c.Refuses())
	}
}

// outboxFlowLocked passes on how full the outbox is.
func (s *Session) outboxFlowLocked() {
	if f := &s.srv.flows.flow; f.HighWater == 0 || s.m.phase != phaseOpen {
		return
	} else if s.out == nil || s.out.bytes <= f.LowWater {
		s.srv.flows.set(s, false, true)
	} else if s.out.bytes > f.HighWater && (s.out.park == nil || s.m.transport != Polling) {
		s.srv.flows.set(s, true, false)
	}
}

// Slow reports whether the connection is slow, see Flow.
func (s *Session) Slow() bool {
	fs := &s.srv.flows
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d := fs.slow[s]
	return d != nil && d.now
}

// Backlog returns the packets (for the layer above: one may consist of several
// messages) and the bytes that wait for the transport, see Buffered. Its cost grows
// with the number of packets.
func (s *Session) Backlog() (packets, bytes int) {
	s.mu.Lock()
	if out := s.out; out != nil {
		for _, f := range out.frames {
			packets += f.Count()
		}
		bytes = out.bytes
		s.mu.Unlock()
		return packets, bytes
	}
	s.mu.Unlock()
	return s.conn.Load().Backlog()
}

// SendReplacing is Send for a full buffer, too: droppable frames (see
// pool.Frame.SetDroppable) of which nothing was written yet make room, the oldest first. It
// returns how many were dropped. ErrBufferFull means that even that was not enough.
func (s *Session) SendReplacing(f *pool.Frame) (dropped int, err error) {
	if s.srv.cfg.Hooks != nil {
		return s.hookedReplacing(f, nil)
	}
	return s.sendReplacing(f)
}

// sendReplacing is SendReplacing without hooks.
func (s *Session) sendReplacing(f *pool.Frame) (dropped int, err error) {
	if c := s.conn.Load(); c != nil {
		return c.SendReplacing(s.wire(f))
	}
	s.mu.Lock()
	if c := s.conn.Load(); c != nil {
		s.mu.Unlock()
		return c.SendReplacing(s.wire(f))
	}
	defer s.mu.Unlock()
	return s.replaceLocked(f)
}

// QueueReplacing is SendReplacing for broadcasts, see Queue.
func (s *Session) QueueReplacing(f *pool.Frame, b *engine.Batch) (dropped int, err error) {
	if s.srv.cfg.Hooks != nil {
		return s.hookedReplacing(f, b)
	}
	return s.queueReplacing(f, b)
}

// queueReplacing is QueueReplacing without hooks.
func (s *Session) queueReplacing(f *pool.Frame, b *engine.Batch) (dropped int, err error) {
	if c := s.conn.Load(); c != nil {
		return c.QueueReplacing(s.wire(f), b)
	}
	s.mu.Lock()
	if c := s.conn.Load(); c != nil {
		s.mu.Unlock()
		return c.QueueReplacing(s.wire(f), b)
	}
	defer s.mu.Unlock()
	return s.replaceLocked(f)
}

// QueueFormReplacing is QueueReplacing as QueueForm is Queue.
func (s *Session) QueueFormReplacing(f *pool.Frame, b *engine.Batch) (dropped int, err error) {
	return s.conn.Load().QueueReplacing(f, b)
}

// replaceLocked is bufferLocked, and makes room. It takes f.
func (s *Session) replaceLocked(f *pool.Frame) (dropped int, err error) {
	limit := s.srv.cfg.SendBuffer
	if s.m.phase == phaseOpen && f.Len() <= limit {
		dropped = s.out.dropOldest(s.out.bytes + f.Len() - limit)
	}
	return dropped, s.bufferLocked(f)
}

// dropOldest releases droppable frames, the oldest first, until need bytes are free or
// there are none left. Nothing in an outbox has been written: a poll takes all of it.
func (o *outbox) dropOldest(need int) (dropped int) {
	if need <= 0 || o.loose == 0 {
		return 0
	}
	var stay []*pool.Frame // those in front of i that stay
	i := 0
	for ; i < len(o.frames) && need > 0 && o.loose > 0; i++ {
		f := o.frames[i]
		if !f.Droppable() {
			stay = append(stay, f)
			continue
		}
		need -= f.Len()
		o.bytes -= f.Len()
		n := f.Count()
		o.loose -= n
		dropped += n
		f.Release()
	}
	gone := i - len(stay)
	copy(o.frames[gone:i], stay)
	clear(o.frames[:gone])
	o.frames = o.frames[gone:]
	return dropped
}
