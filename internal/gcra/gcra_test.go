package gcra

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestBurstThenRate(t *testing.T) {
	l := New(10, 3)
	var b Bucket
	now := 5 * time.Second
	for i := range 3 {
		if w := b.Take(l, now); w != 0 {
			t.Fatalf("unit %d of the burst has to wait for %v", i, w)
		}
	}
	if w := b.Take(l, now); w != 100*time.Millisecond {
		t.Errorf("the next one waits for %v", w)
	}
	if w := b.Take(l, now+99*time.Millisecond); w != time.Millisecond {
		t.Errorf("a little early it waits for %v", w)
	}
	if w := b.Take(l, now+100*time.Millisecond); w != 0 {
		t.Errorf("in time it waits for %v", w)
	}
	if b.Full(now+399*time.Millisecond) || !b.Full(now+400*time.Millisecond) {
		t.Errorf("full again at %v", time.Duration(b)-now)
	}
}

// TestModel compares with a bucket that counts tokens.
func TestModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		burst := 1 + rnd.IntN(10)
		l := New(1000, burst) // one each millisecond
		var b Bucket
		tokens, now := burst, time.Second
		for range 500 {
			pass := rnd.IntN(3)
			now += time.Duration(pass) * time.Millisecond
			tokens = min(tokens+pass, burst)
			ok := b.Take(l, now) == 0
			if ok != (tokens > 0) {
				t.Fatalf("burst %d: allowed %t with %d tokens", burst, ok, tokens)
			}
			if ok {
				tokens--
			}
		}
	}
}

func TestNoLimit(t *testing.T) {
	var b Bucket
	var s Shared
	for range 1000 {
		if b.Take(Limit{}, 0) != 0 || s.Take(New(0, 5), 0) != 0 {
			t.Fatal("no limit limits")
		}
	}
}

func TestSharedTogether(t *testing.T) {
	var s Shared
	var taken atomic.Int64
	var all sync.WaitGroup
	l := New(1, 100)
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if s.Take(l, time.Second) == 0 {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != 100 {
		t.Errorf("%d units were taken, want 100", taken.Load())
	}
}

func TestBorrow(t *testing.T) {
	l := New(10, 2)
	var b Bucket
	now := time.Second
	for i, want := range []time.Duration{0, 0, 100, 200} {
		if w := b.Borrow(l, now); w != want*time.Millisecond {
			t.Errorf("unit %d waits for %v, want %v ms", i, w, want)
		}
	}
	if w := b.Take(l, now+200*time.Millisecond); w != 100*time.Millisecond {
		t.Errorf("with the debt paid, the next unit waits for %v", w)
	}
}
