package engine

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/internal/invariants"
)

// funcExpirer is an Expirer made of a function.
type funcExpirer func(t *Timer)

func (f funcExpirer) Expire(t *Timer) { f(t) }

// alarm is a timer that knows what to expect of itself.
type alarm struct {
	Timer
	t     *testing.T
	w     *Wheel
	mu    sync.Mutex
	set   time.Duration // when it was armed
	at    time.Duration // what for
	armed bool
	fired int
}

func newAlarm(t *testing.T, w *Wheel) *alarm {
	a := &alarm{t: t, w: w}
	a.Init(w, a)
	return a
}

func (a *alarm) arm(at time.Duration) {
	a.expect(at)
	a.Reset(at)
}

// expect is arm without Reset.
func (a *alarm) expect(at time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set, a.at, a.armed = a.w.Now(), at, true
}

// disarm is Stop, which must find what the alarm thinks.
func (a *alarm) disarm() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := a.Stop(); got != a.armed {
		a.t.Errorf("Stop said %v for a timer with armed = %v", got, a.armed)
	}
	a.armed = false
}

// overdue reports whether the alarm should have gone off.
func (a *alarm) overdue() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.armed && a.w.Now() > a.latest()
}

// latest is the last moment at which the alarm may go off.
func (a *alarm) latest() time.Duration {
	due := max(a.at, a.set)
	return due + max(tick, (due-a.set)/125) // 0.8 %
}

func (a *alarm) Expire(*Timer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch now := a.w.Now(); {
	case !a.armed:
		a.t.Error("a timer fired that was not armed")
	case now < a.at:
		a.t.Errorf("timer for %v set at %v fired early, at %v", a.at, a.set, now)
	case now > a.latest():
		a.t.Errorf("timer for %v set at %v fired late, at %v", a.at, a.set, now)
	}
	a.armed = false
	a.fired++
}

// pass lets fake time go by. Everything that was due has happened afterwards.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// TestWheelPunctual arms timers for delays of every magnitude at times of every
// magnitude: never early, and late by no more than promised.
func TestWheelPunctual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		defer w.Stop()
		rnd := rand.New(rand.NewPCG(1, 2))
		var all []*alarm
		for range 40 {
			for d := time.Duration(1); d < MaxDelay; d = d*3 + time.Duration(rnd.Int64N(int64(d))) {
				a := newAlarm(t, w)
				a.arm(w.Now() + d)
				all = append(all, a)
			}
			pass(time.Duration(rnd.Int64N(1 << (20 + rnd.IntN(25)))))
		}
		pass(2 * MaxDelay)
		for _, a := range all {
			if a.fired != 1 {
				t.Errorf("timer for %v set at %v fired %d times", a.at, a.set, a.fired)
			}
		}
	})
}

// TestWheelModel does random things to many timers and compares each answer with
// what a trivial timer would give.
func TestWheelModel(t *testing.T) {
	for seed := range uint64(scaled(8)) {
		synctest.Test(t, func(t *testing.T) {
			w := NewWheel()
			defer w.Stop()
			rnd := rand.New(rand.NewPCG(seed, 3))
			all := make([]*alarm, 300)
			for i := range all {
				all[i] = newAlarm(t, w)
			}
			for range 5000 {
				a := all[rnd.IntN(len(all))]
				switch op := rnd.IntN(10); {
				case op < 5:
					// Delays from -1 s to about an hour, short ones more often.
					d := time.Duration(rnd.Int64N(1 << (16 + rnd.IntN(26))))
					if rnd.IntN(20) == 0 {
						d = -time.Duration(rnd.Int64N(int64(time.Second)))
					}
					a.arm(w.Now() + d)
					synctest.Wait() // it may be due at once
				case op < 8:
					a.disarm()
				default:
					pass(time.Duration(rnd.Int64N(1 << (10 + rnd.IntN(26)))))
					armed := 0
					for _, a := range all {
						if a.Timer.armed {
							armed++
						}
					}
					if got := w.Armed(); got != armed {
						t.Fatalf("%d timers are armed, by its count %d", armed, got)
					}
					for _, a := range all {
						if a.overdue() {
							t.Fatalf("timer for %v set at %v has not fired at %v", a.at, a.set, w.Now())
						}
					}
				}
			}
			pass(4 * time.Hour)
			for _, a := range all {
				if a.overdue() {
					t.Errorf("timer for %v never fired", a.at)
				}
			}
		})
	}
}

// TestWheelAtTimeZero arms timers in the wheel's very first instant.
func TestWheelAtTimeZero(t *testing.T) {
	for range 20 { // the runtime timer may run before the next Reset, or after
		synctest.Test(t, func(t *testing.T) {
			w := NewWheel()
			defer w.Stop()
			var all []*alarm
			for _, at := range []time.Duration{0, time.Second, -time.Second, 1, 0, time.Hour} {
				for range wheelShards {
					a := newAlarm(t, w)
					a.arm(at)
					all = append(all, a)
				}
			}
			pass(2 * time.Hour)
			for _, a := range all {
				if a.fired != 1 {
					t.Errorf("timer for %v fired %d times", a.at, a.fired)
				}
			}
		})
	}
}

// TestWheelAfterIdle shows that an idle wheel, which does not tick, still has the
// right idea of the time.
func TestWheelAfterIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		defer w.Stop()
		for range 3 {
			pass(100 * 24 * time.Hour)
			a := newAlarm(t, w)
			a.arm(w.Now() + 3*time.Millisecond)
			pass(time.Second)
			if a.fired != 1 {
				t.Errorf("fired %d times", a.fired)
			}
		}
	})
}

func TestWheelMaxDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		defer w.Stop()
		a := newAlarm(t, w)
		a.expect(MaxDelay) // what it is cut to
		a.Reset(1 << 62)
		pass(2 * MaxDelay)
		if a.fired != 1 {
			t.Errorf("fired %d times", a.fired)
		}
	})
}

func TestWheelResetFromExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		defer w.Stop()
		const period, rounds = 25 * time.Second, 1000
		fired := 0
		var tm Timer
		tm.Init(w, funcExpirer(func(tm *Timer) {
			if fired++; fired < rounds {
				tm.Reset(w.Now() + period)
			}
		}))
		tm.Reset(period)
		pass(rounds * period * 101 / 100)
		if fired != rounds {
			t.Errorf("fired %d times, want %d", fired, rounds)
		}
		if tm.Stop() {
			t.Error("armed after the last round")
		}
	})
}

// TestWheelStopDuringExpire stops timers while one of their shard is being
// called: the running one cannot be stopped any more, the others can, though they
// are due.
func TestWheelStopDuringExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		defer w.Stop()
		calls := 0
		entered, leave := make(chan *Timer), make(chan struct{})
		e := funcExpirer(func(tm *Timer) {
			calls++
			entered <- tm
			<-leave
		})
		timers := make([]*Timer, 3*wheelShards)
		for i := range timers {
			timers[i] = new(Timer)
			timers[i].Init(w, e)
		}
		shard := timers[0].shard
		for _, tm := range timers {
			if tm.shard == shard {
				tm.Reset(time.Millisecond)
			}
		}
		running := <-entered
		if running.Stop() {
			t.Error("a timer was stopped that is being called")
		}
		stopped := 0
		for _, tm := range timers {
			if tm != running && tm.Stop() {
				stopped++
			}
		}
		if stopped != 2 {
			t.Errorf("stopped %d due timers, want 2", stopped)
		}
		running.Reset(w.Now() + time.Millisecond) // again, from another goroutine
		leave <- struct{}{}
		if got := <-entered; got != running {
			t.Error("a stopped timer fired")
		}
		leave <- struct{}{}
		pass(time.Hour)
		if calls != 2 {
			t.Errorf("%d calls, want 2", calls)
		}
	})
}

// TestWheelSlowExpire shows that timers armed while an Expire takes long are not
// forgotten, however long: the shard's idea of the time stands still meanwhile.
func TestWheelSlowExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		defer w.Stop()
		timers := make([]*alarm, wheelShards)
		for i := range timers {
			timers[i] = newAlarm(t, w)
		}
		slow := new(Timer)
		slow.Init(w, funcExpirer(func(*Timer) {
			for _, a := range timers { // one of them is in the same shard
				a.arm(w.Now() + 20*time.Second)
			}
			<-time.After(10 * time.Second)
		}))
		slow.Reset(time.Second)
		pass(time.Minute)
		for _, a := range timers {
			if a.fired != 1 {
				t.Errorf("timer for %v fired %d times", a.at, a.fired)
			}
		}

		var fired atomic.Int32
		stuck := new(Timer)
		stuck.Init(w, funcExpirer(func(*Timer) { <-time.After(48 * time.Hour) }))
		stuck.Reset(w.Now())
		pass(47 * time.Hour)
		far := make([]Timer, wheelShards)
		for i := range far {
			far[i].Init(w, funcExpirer(func(*Timer) { fired.Add(1) }))
			far[i].Reset(w.Now() + MaxDelay)
		}
		pass(2 * MaxDelay)
		if n := int(fired.Load()); n != len(far) {
			t.Errorf("%d of %d timers with the longest delay fired", n, len(far))
		}
	})
}

func TestWheelStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		for range 100 {
			a := newAlarm(t, w)
			a.Reset(time.Second) // armed is false: it complains when it fires
		}
		pass(time.Millisecond)
		w.Stop()
		a := newAlarm(t, w)
		a.Reset(w.Now())
		pass(time.Hour)
	})
}

// TestWheelKeepsNothingRunning counts what many armed timers cost: no goroutine,
// one runtime timer per shard, and no memory for arming again.
func TestWheelKeepsNothingRunning(t *testing.T) {
	w := NewWheel()
	defer w.Stop()
	before := runtime.NumGoroutine()
	timers := make([]Timer, 10_000)
	for i := range timers {
		timers[i].Init(w, funcExpirer(func(*Timer) { t.Error("fired") }))
		timers[i].Reset(w.Now() + time.Hour + time.Duration(i)*time.Millisecond)
	}
	if n := runtime.NumGoroutine() - before; n > 0 {
		t.Errorf("%d goroutines for armed timers", n)
	}
	var made [wheelShards]*time.Timer
	for i := range w.shards {
		if made[i] = w.shards[i].runtime; made[i] == nil {
			t.Errorf("shard %d has no runtime timer", i)
		}
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	allocs := testing.AllocsPerRun(10_000, func() {
		tm := &timers[rnd.IntN(len(timers))]
		tm.Stop()
		tm.Reset(w.Now() + time.Hour + time.Duration(rnd.Int64N(int64(10*time.Second))))
	})
	if allocs > 0 && !invariants.Enabled {
		t.Errorf("%v allocations to arm a timer again", allocs)
	}
	for i := range w.shards {
		if w.shards[i].runtime != made[i] {
			t.Errorf("shard %d made another runtime timer", i)
		}
	}
}

// TestWheelConcurrent uses the wheel from many goroutines in real time. What is
// armed last fires exactly once.
func TestWheelConcurrent(t *testing.T) {
	w := NewWheel()
	defer w.Stop()
	type racer struct {
		Timer
		last atomic.Int64 // wheel time of the last Reset; 0 before that
	}
	racers := make([]*racer, 400)
	var fired atomic.Int64
	for i := range racers {
		r := &racer{}
		r.Init(w, funcExpirer(func(*Timer) {
			if at := r.last.Load(); at != 0 {
				if now := int64(w.Now()); now < at {
					t.Errorf("fired at %d, early for %d", now, at)
				}
				fired.Add(1)
			}
		}))
		racers[i] = r
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 7))
			for range scaled(8000) {
				r := racers[rnd.IntN(len(racers))]
				if rnd.IntN(3) == 0 {
					r.Stop()
				} else {
					r.Reset(w.Now() + time.Duration(rnd.Int64N(int64(5*time.Millisecond))))
				}
			}
		})
	}
	wg.Wait()
	for _, r := range racers {
		r.Stop()
	}
	// An Expire that has begun may still be under way; it does not count, since
	// last is 0 then or later than the time it looks at.
	eventually(t, "all shards are at rest", func() bool {
		for i := range w.shards {
			s := &w.shards[i]
			s.mu.Lock()
			busy := s.running
			s.mu.Unlock()
			if busy {
				return false
			}
		}
		return true
	})
	for _, r := range racers {
		at := w.Now() + 20*time.Millisecond
		r.last.Store(int64(at))
		r.Reset(at)
	}
	eventually(t, "all timers have fired", func() bool { return fired.Load() >= int64(len(racers)) })
	if n := fired.Load(); n != int64(len(racers)) {
		t.Errorf("%d timers fired %d times", len(racers), n)
	}
}

// A timer that is late, because the process was stopped, gives what it waits for the time to be
// read: whoever stops it then in time is in time.
func TestWheelAfterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		defer w.Stop()
		var fired atomic.Int64
		x := funcExpirer(func(*Timer) { fired.Add(1) })
		var timers [2 * wheelShards]Timer
		for i := range timers {
			timers[i].Init(w, x)
			timers[i].Reset(time.Second)
		}
		for i := range w.shards { // which read the clock
			w.shards[i].mu.Lock()
		}
		w.start = w.start.Add(-time.Minute) // nothing has run for that long
		for i := range w.shards {
			w.shards[i].mu.Unlock()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if fired.Load() > 0 {
			t.Fatalf("%d timers fired at once", fired.Load())
		}
		for i := range wheelShards {
			timers[i].Stop()
		}
		time.Sleep(grace)
		synctest.Wait()
		if fired.Load() != wheelShards {
			t.Errorf("%d timers fired, want %d", fired.Load(), wheelShards)
		}
		timers[0].Reset(w.Now() + time.Second)
		time.Sleep(time.Second + 20*time.Millisecond)
		synctest.Wait()
		if fired.Load() != wheelShards+1 {
			t.Error("the next timer is late")
		}
	})
}
