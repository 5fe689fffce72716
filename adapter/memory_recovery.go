package adapter

import (
	lists "container/list"
	"context"
	"sync"
	"time"
)

// recovery is what a Memory adapter keeps for clients that are away. Its lock orders
// the packets of the log: it is held from the moment a packet gets its offset until it
// is queued for all its receivers, and while a socket enters that stream. It is taken
// before the locks of the index, and no user code runs under it; connections are
// written after it.
type recovery struct {
	cfg  RecoveryConfig // immutable
	x    *Index         // immutable
	room string         // immutable: what Encode gets; as long as an offset

	mu sync.Mutex
	// guarded by mu
	log     *packetLog
	away    map[string]*lists.Element // stored sessions by pid; values are *stored
	order   lists.List                // of the same, oldest first
	taken   map[string]string         // ids of sessions that were taken and not given up yet, by pid
	sweeper *time.Timer               // nil while there is nothing to forget
	closed  bool
}

// stored is a session in the store.
type stored struct {
	s  *Session
	at time.Time
}

var _ LocalLog = (*Memory)(nil)

// EnableRecovery implements [Recovery].
func (a *Memory) EnableRecovery(_ RecoveryHost, c RecoveryConfig) error {
	r := &recovery{
		cfg:   c,
		x:     a.x,
		log:   newPacketLog(c),
		away:  make(map[string]*lists.Element),
		taken: make(map[string]string),
	}
	// Not an offset: the tag is another one. Not to be guessed by who sends events.
	r.room = newPacketLog(c).tag + newPacketLog(c).tag + newPacketLog(c).tag
	a.rec = r
	return nil
}

// wantedLocked reports whether a packet has to be logged.
func (r *recovery) wantedLocked() bool {
	return !r.closed && (len(r.away) > 0 || len(r.taken) > 0 || r.x.HasReceivers(Opts{}))
}

// broadcast logs and delivers p.
func (r *recovery) broadcast(p Loggable, o *Opts) error {
	if o.Batch != nil {
		defer o.Batch.Flush() // without the lock
	}
	// A socket may come between the question and the answer, but not one that was away:
	// such a one counts all the time.
	if !r.wanted() {
		return nil
	}
	if err := p.Encode(r.room); err != nil {
		return err
	}
	var e logged
	e.selection(o)
	r.mu.Lock()
	defer r.mu.Unlock() // survives a panicking Deliver
	r.addLocked(p, e)
	v := visitor{p: p, b: o.Batch}
	r.x.walk(&v, o, nil)
	return nil
}

func (r *recovery) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wantedLocked()
}

// addLocked gives p its offset.
func (r *recovery) addLocked(p Loggable, e logged) {
	p.Stamp(r.log.offset(r.log.last() + 1))
	e.frame = p.Share()
	e.at = time.Now()
	r.log.add(e)
	if r.closed {
		r.log.clear()
		return
	}
	r.sweepLaterLocked()
}

// Send implements [LocalLog].
func (a *Memory) Send(p Loggable, id, pid string, b Batch) (bool, error) {
	r := a.rec
	if b != nil {
		defer b.Flush()
	}
	if err := p.Encode(r.room); err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := a.x.owner(id)
	if m == nil && r.away[pid] == nil && r.taken[pid] == "" {
		return false, nil
	}
	r.addLocked(p, logged{to: id, alone: true})
	if m != nil {
		m.recv.Deliver(p, b)
	}
	return true, nil
}

// owner returns the attached member with this id, or nil.
func (x *Index) owner(id string) *Member {
	st := x.stripe(id)
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.names[id].owner
}

// Admit implements [Recovery].
func (a *Memory) Admit(f func(offset string)) {
	r := a.rec
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.log.offset(r.log.last()))
}

// PersistSession implements [Recovery].
func (a *Memory) PersistSession(_ context.Context, s *Session) error {
	r := a.rec
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.taken, s.PID)
	if e := r.away[s.PID]; e != nil {
		r.forgetLocked(e)
	}
	if r.closed {
		return nil
	}
	r.away[s.PID] = r.order.PushBack(&stored{s, time.Now()})
	for len(r.away) > r.cfg.Sessions {
		r.forgetLocked(r.order.Front())
	}
	r.sweepLaterLocked()
	return nil
}

func (r *recovery) forgetLocked(e *lists.Element) *stored {
	st := r.order.Remove(e).(*stored)
	delete(r.away, st.s.PID)
	return st
}

// RestoreSession implements [Recovery].
func (a *Memory) RestoreSession(_ context.Context, pid string) (*Session, error) {
	r := a.rec
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.away[pid]
	if e == nil {
		return nil, ErrNoSession
	}
	st := r.forgetLocked(e)
	if time.Since(st.at) > r.cfg.MaxDisconnection {
		return nil, ErrNoSession
	}
	r.taken[pid] = st.s.SID
	return st.s, nil
}

// Replay implements [Recovery].
func (a *Memory) Replay(_ context.Context, s *Session, offset string, accept func(missed []Missed) error) error {
	r := a.rec
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.log.number(offset)
	if !ok || r.closed {
		return ErrOffset
	}
	if since, ok := r.log.number(s.Since); ok {
		n = max(n, since)
	}
	missed, ok := r.log.after(nil, n, s)
	if !ok {
		return ErrOffset
	}
	if err := accept(missed); err != nil {
		return err
	}
	delete(r.taken, s.PID) // it is a receiver now: that goes without a gap
	return nil
}

// DropSession implements [Recovery].
func (a *Memory) DropSession(s *Session) {
	r := a.rec
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.taken, s.PID)
}

// sweepLaterLocked sees to it that old packets and sessions go even when nothing
// happens any more.
func (r *recovery) sweepLaterLocked() {
	if r.sweeper == nil {
		r.sweeper = time.AfterFunc(r.cfg.LogAge, r.sweep)
	}
}

// sweep forgets what is too old. What is left is looked at again after a while.
func (r *recovery) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	now := time.Now()
	r.log.trim(now)
	for e := r.order.Front(); e != nil && now.Sub(e.Value.(*stored).at) > r.cfg.MaxDisconnection; e = r.order.Front() {
		r.forgetLocked(e)
	}
	r.sweeper = nil
	if r.log.len > 0 || len(r.away) > 0 {
		r.sweeper = time.AfterFunc(max(r.cfg.LogAge/4, time.Millisecond), r.sweep)
	}
}

// Kept is what a [Memory] adapter with recovery holds for clients that are away.
type Kept struct {
	// Sessions is how many clients may still come back, those on their way among them.
	Sessions int
	// Packets is the length of the log, and Bytes what it is taken to cost, by the measure of
	// RecoveryConfig.LogBytes.
	Packets, Bytes int
}

// Kept returns what is held for clients that are away; nothing without recovery.
func (a *Memory) Kept() Kept {
	r := a.rec
	if r == nil {
		return Kept{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return Kept{len(r.away) + len(r.taken), r.log.len, r.log.bytes}
}

// close forgets everything.
func (r *recovery) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.log.clear()
	clear(r.away)
	clear(r.taken)
	r.order.Init()
	if r.sweeper != nil {
		r.sweeper.Stop()
	}
}
