package adapter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/pool"
)

func testFrame(n int) *pool.Frame {
	b := pool.Get(n)
	b.B = append(b.B, make([]byte, n)...)
	return b.Seal(0)
}

// TestLogModel holds a log against a list of everything that was ever added.
func TestLogModel(t *testing.T) {
	live := pool.Live()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		c := RecoveryConfig{
			LogPackets: 1 + rnd.IntN(60),
			LogBytes:   1 + rnd.IntN(60)*loggedOverhead,
			LogAge:     time.Duration(1+rnd.IntN(100)) * time.Second,
		}
		l := newPacketLog(c)
		var model []logged // packet n is at n-1
		now := time.Unix(0, 0)
		names := func() (some []string) {
			for range rnd.IntN(4) {
				some = append(some, fmt.Sprint("r", rnd.IntN(12)))
			}
			return some
		}
		for range 300 {
			now = now.Add(time.Duration(rnd.IntN(2000)) * time.Millisecond)
			switch rnd.IntN(4) {
			case 0:
				l.trim(now)
			default:
				e := logged{frame: testFrame(rnd.IntN(100)), at: now}
				if rnd.IntN(4) == 0 {
					e.to, e.alone = fmt.Sprint("id", rnd.IntN(3)), true
				} else {
					e.selection(&Opts{Rooms: names(), Except: names()[:0]})
					if rnd.IntN(2) == 0 {
						e.except = cloneAll(names(), fmt.Sprint("r", rnd.IntN(12)))
					}
				}
				model = append(model, e)
				l.add(e)
			}
			if l.last() != uint64(len(model)) || l.len > c.LogPackets || l.bytes > c.LogBytes ||
				l.len > 0 && now.Sub(l.slot(0).at) > c.LogAge {
				t.Fatalf("seed %d: %d packets, %d bytes, last %d of %d, limits %+v", seed, l.len, l.bytes, l.last(), len(model), c)
			}
			s := &Session{SID: fmt.Sprint("id", rnd.IntN(3))}
			s.Rooms = append(names(), s.SID)
			if rnd.IntN(5) == 0 {
				for range 12 {
					s.Rooms = append(s.Rooms, fmt.Sprint("r", rnd.IntN(12)))
				}
			}
			n := rnd.IntN(len(model) + 2)
			missed, ok := l.after(nil, uint64(n), s)
			if ok != (n <= len(model) && n >= len(model)-l.len) {
				t.Fatalf("seed %d: replay after %d of %d, %d kept: %v", seed, n, len(model), l.len, ok)
			}
			if !ok {
				continue
			}
			var want []string
			for i, e := range model[n:] {
				in := func(r string) bool { return slices.Contains(s.Rooms, r) }
				rooms := e.rooms
				if e.to != "" {
					rooms = []string{e.to}
				}
				meant := (len(rooms) == 0 || slices.ContainsFunc(rooms, in)) && !slices.ContainsFunc(e.except, in)
				if e.alone {
					meant = e.to == s.SID
				}
				if meant {
					want = append(want, l.offset(uint64(n+i+1)))
				}
			}
			var got []string
			for _, m := range missed {
				got = append(got, m.Offset)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d: missed %q, want %q", seed, got, want)
			}
		}
		l.clear()
		if l.bytes != 0 || l.ring != nil {
			t.Fatalf("seed %d: %d bytes are left", seed, l.bytes)
		}
	}
	if n := pool.Live() - live; n != 0 {
		t.Errorf("%d frames are left", n)
	}
}

func TestLogOffsets(t *testing.T) {
	l := newPacketLog(RecoveryConfig{LogPackets: 1, LogBytes: 1, LogAge: 1})
	l.first = 1 << 48
	for _, n := range []uint64{0, 1, 63, 64, 1<<32 + 12345, 1<<48 - 1} {
		s := l.offset(n)
		if got, ok := l.number(s); got != n || !ok || len(s) != offsetLen {
			t.Errorf("%d became %q became %d, %v", n, s, got, ok)
		}
		for _, bad := range []string{s[1:], s + "A", strings.ToLower("A"+s[1:]) + "x", "*" + s[1:], s[:11] + "=", ""} {
			if _, ok := l.number(bad); ok {
				t.Errorf("%q was accepted", bad)
			}
		}
	}
	l.first = 1
	if _, ok := l.number(l.offset(1)); ok {
		t.Error("an offset to come was accepted")
	}
}

// What nobody comes back for goes by itself.
func TestRecoveryForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewMemory(Config{})
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(a.EnableRecovery(nil, RecoveryConfig{
			MaxDisconnection: time.Minute, LogAge: 90 * time.Second,
			LogPackets: 100, LogBytes: 1 << 20, Sessions: 10,
		}))
		for i := range 20 {
			must(a.PersistSession(t.Context(), &Session{SID: fmt.Sprint("s", i), PID: fmt.Sprint("p", i)}))
		}
		r := a.rec
		r.mu.Lock()
		r.log.add(logged{frame: testFrame(10), at: time.Now()})
		if len(r.away) != 10 || r.order.Len() != 10 || r.away["p10"] == nil {
			t.Errorf("%d sessions, %d in order", len(r.away), r.order.Len())
		}
		r.mu.Unlock()
		time.Sleep(time.Minute + time.Second)
		if _, err := a.RestoreSession(t.Context(), "p15"); err != ErrNoSession {
			t.Errorf("a session from long ago: %v", err)
		}
		time.Sleep(time.Hour)
		r.mu.Lock()
		if len(r.away) != 0 || r.order.Len() != 0 || r.log.len != 0 || r.sweeper != nil {
			t.Errorf("%d sessions, %d packets, timer %v", len(r.away), r.log.len, r.sweeper)
		}
		r.mu.Unlock()
		must(a.Close(t.Context()))
	})
}
