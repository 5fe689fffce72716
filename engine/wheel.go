package engine

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// The wheel has levels of 256 slots. A slot of level l is 2^l ms wide, and a
// timer goes to the lowest level on which its delay spans less than 256 slots.
// It never moves to another level, so a delay is rounded up by at most 0.8 % of
// itself (or 1 ms), and arming and stopping cost the same for every delay.
const (
	wheelSlots  = 256
	wheelLevels = 24 // 256 slots of 2^23 ms: about 24 days
	tick        = time.Millisecond
	wheelShards = 4
)

// A wheel that is late by stall takes the process for one that was stopped (SIGSTOP, a virtual
// machine that was paused). What its timers wait for may have come meanwhile and be in the
// kernel's buffers, so they are held back for grace, in which it can be read. On a machine that
// has too much to do this makes them later still, which is right: it reads late, too.
const (
	stall = 100 * time.Millisecond
	grace = 250 * time.Millisecond
)

// MaxDelay is the longest delay a timer can have. Longer ones are cut.
const MaxDelay = (wheelSlots - 2) << (wheelLevels - 1) * tick

// Expirer is told when a timer is due.
type Expirer interface {
	// Expire is called once per Reset, on a goroutine of the wheel's, under no
	// lock. It should return soon: timers of the same shard wait for it. It must not panic.
	Expire(t *Timer)
}

// Wheel is a sharded hashed timer wheel. It keeps no goroutine and no ticker:
// each shard has one runtime timer, set to its earliest slot. All methods are
// safe for concurrent use.
type Wheel struct {
	start  time.Time
	pick   atomic.Uint32
	shards [wheelShards]wheelShard
}

// wheelShard is an independent wheel.
type wheelShard struct {
	mu      sync.Mutex
	w       *Wheel
	levels  [wheelLevels]*wheelLevel // made on first use
	due     timerList                // expired, to be called
	armed   int                      // timers that are armed
	running bool                     // a goroutine is calling due
	stopped bool
	runtime *time.Timer
	wakeAt  int64 // tick the runtime timer is set to; 0 = not set
	excused bool  // the runtime timer was late by stall, and is set to grace
	base    int64 // every slot before this tick is empty
}

type wheelLevel struct {
	used  [wheelSlots / 64]uint64 // bitmap of non-empty slots
	slots [wheelSlots]timerList
}

type timerList struct{ head *Timer }

// Timer is a node of the wheel, meant to be embedded in what it times. Init must
// be called before use. Its methods are safe for concurrent use.
type Timer struct {
	next, prev *Timer
	shard      *wheelShard
	e          Expirer
	level      int8 // where it is linked: 0.. a level, onDue, or unlinked
	slot       uint8
	armed      bool
}

const (
	unlinked = -1
	onDue    = -2
)

// NewWheel returns a wheel whose clock starts now.
func NewWheel() *Wheel {
	w := &Wheel{start: time.Now()}
	for i := range w.shards {
		w.shards[i].w = w
	}
	return w
}

// Now returns the time since the wheel was made, by the monotonic clock.
func (w *Wheel) Now() time.Duration { return time.Since(w.start) }

// Armed returns how many timers are armed: set, and not yet called.
func (w *Wheel) Armed() int {
	n := 0
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		n += s.armed
		s.mu.Unlock()
	}
	return n
}

// Stop disarms the wheel: no timer fires any more.
func (w *Wheel) Stop() {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		s.stopped = true
		if s.runtime != nil {
			s.runtime.Stop()
		}
		s.mu.Unlock()
	}
}

// Init prepares t to call e on the wheel w. It must be called once, before any
// other method.
func (t *Timer) Init(w *Wheel, e Expirer) {
	t.shard = &w.shards[w.pick.Add(1)%wheelShards]
	t.e = e
	t.level = unlinked
}

// Reset arms the timer for the wheel time at, replacing an earlier setting. It
// never fires early, and late by at most 1 ms or 0.8 % of the delay, whichever
// is more, plus what the scheduler adds. A time in the past fires soon.
func (t *Timer) Reset(at time.Duration) {
	s := t.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.unlink(t)
	now := s.w.Now()
	delay := min(max(at-now, 0), MaxDelay)
	due := int64((now + delay + tick - 1) / tick) // first tick that is not early
	due = max(due, 1)                             // wakeAt 0 means none
	if ticks := int64(now / tick); !s.running && (s.wakeAt == 0 || s.wakeAt > ticks) {
		s.base = max(s.base, ticks) // nothing is armed before wakeAt
	}
	for l := range wheelLevels {
		slot := (due + 1<<l - 1) >> l
		if l == wheelLevels-1 {
			slot = min(slot, s.base>>l+wheelSlots-1)
		}
		if slot-s.base>>l < wheelSlots {
			s.link(t, l, slot)
			s.wake(slot << l)
			return
		}
	}
}

// Stop disarms the timer and reports whether it was armed and will not fire.
func (t *Timer) Stop() bool {
	s := t.shard
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was := t.armed
	s.unlink(t)
	return was
}

func (s *wheelShard) link(t *Timer, level int, slot int64) {
	lv := s.levels[level]
	if lv == nil {
		lv = new(wheelLevel)
		s.levels[level] = lv
	}
	i := uint8(slot)
	lv.slots[i].add(t)
	lv.used[i/64] |= 1 << (i % 64)
	t.level, t.slot, t.armed = int8(level), i, true
	s.armed++
}

func (s *wheelShard) unlink(t *Timer) {
	switch {
	case t.level >= 0:
		lv := s.levels[t.level]
		lv.slots[t.slot].remove(t)
		if lv.slots[t.slot].head == nil {
			lv.used[t.slot/64] &^= 1 << (t.slot % 64)
		}
	case t.level == onDue:
		s.due.remove(t)
	}
	if t.armed {
		s.armed--
	}
	t.level, t.armed = unlinked, false
}

// wake makes sure that run is called at the given tick or before.
func (s *wheelShard) wake(at int64) {
	if s.running || (s.wakeAt != 0 && s.wakeAt <= at) {
		return // a running goroutine looks again before it stops
	}
	s.wakeAt = at
	d := max(time.Duration(at)*tick-s.w.Now(), 0)
	if s.runtime == nil {
		s.runtime = time.AfterFunc(d, s.run)
		return
	}
	s.runtime.Reset(d)
}

// run calls what is due and sets the runtime timer for what comes next.
func (s *wheelShard) run() {
	s.mu.Lock()
	if s.running || s.stopped {
		s.mu.Unlock()
		return
	}
	if late := s.w.Now() - time.Duration(s.wakeAt)*tick; s.wakeAt != 0 && late > stall && !s.excused {
		s.excused = true
		s.runtime.Reset(grace)
		s.mu.Unlock()
		return
	}
	s.excused = false
	s.running = true
	s.wakeAt = 0
	calling := false
	defer func() {
		if calling { // Expire has called runtime.Goexit: the other timers go on
			s.mu.Lock()
			s.running = false
			s.mu.Unlock()
			go s.run()
		}
	}()
	for {
		next := s.collect(int64(s.w.Now() / tick))
		if s.due.head == nil || s.stopped {
			s.running = false
			if next != 0 && !s.stopped {
				s.wake(next)
			}
			s.mu.Unlock()
			return
		}
		for t := s.due.head; t != nil && !s.stopped; t = s.due.head {
			s.unlink(t)
			e := t.e
			s.mu.Unlock()
			calling = true
			e.Expire(t)
			calling = false
			s.mu.Lock()
		}
	}
}

// collect moves everything up to tick now to the due list and returns the tick
// of the earliest timer that remains, or 0.
func (s *wheelShard) collect(now int64) (next int64) {
	for l, lv := range s.levels {
		if lv == nil {
			continue
		}
		for {
			slot, ok := lv.earliest(s.base >> l)
			if !ok {
				break
			}
			at := slot << l
			if at > now {
				if next == 0 || at < next {
					next = at
				}
				break
			}
			i := uint8(slot)
			for t := lv.slots[i].head; t != nil; t = lv.slots[i].head {
				lv.slots[i].remove(t)
				s.due.add(t)
				t.level = onDue
			}
			lv.used[i/64] &^= 1 << (i % 64)
		}
	}
	s.base = max(s.base, now)
	return next
}

// earliest returns the absolute number of the first non-empty slot. No slot
// before number base is used, and none 256 or more after it, so the index in the
// circle stands for one number only.
func (lv *wheelLevel) earliest(base int64) (slot int64, ok bool) {
	for off := int64(0); off < wheelSlots; {
		i := uint8(base + off)
		word := lv.used[i/64] >> (i % 64)
		if word == 0 {
			off += 64 - int64(i%64)
			continue
		}
		off += int64(bits.TrailingZeros64(word))
		if off >= wheelSlots {
			break
		}
		return base + off, true
	}
	return 0, false
}

func (l *timerList) add(t *Timer) {
	t.prev, t.next = nil, l.head
	if l.head != nil {
		l.head.prev = t
	}
	l.head = t
}

func (l *timerList) remove(t *Timer) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.head = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
}
