package sio

import (
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// A socket with a long queue lets another one go first after a turn, even where
// both share one goroutine.
func TestWorkersTakeTurns(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		const n = 10 * turn
		entered, open := make(chan bool), make(chan bool)
		var count atomic.Int32
		overtaken := make(chan int32, 1)
		var other *Socket
		On(r.srv, "n", func(_ context.Context, _ *Socket, i int) error {
			switch count.Add(1); i {
			case 0:
				entered <- true
				<-open // until all events are in the queue
			case 5:
				other.Disconnect(false) // has its handler run
			}
			return nil
		})
		r.srv.OnDisconnect(func(s *Socket, _ Reason) {
			if s == other {
				overtaken <- count.Load()
			}
		})
		p, _ := r.join()
		_, other = r.join()
		p.send(`42["n",0]`)
		receive(t, entered)
		for i := 1; i < n; i++ {
			p.send(fmt.Sprintf(`42["n",%d]`, i))
		}
		synctest.Wait()
		close(open)
		if got := receive(t, overtaken); got > turn {
			t.Errorf("the other socket's turn came after %d events, want at most %d", got, turn)
		}
		synctest.Wait()
		if got := count.Load(); got != n {
			t.Errorf("%d of %d events were handled", got, n)
		}
	})
}

// A burst of sockets whose handlers do not block needs few goroutines.
func TestWorkersShareGoroutines(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the engine itself starts goroutines here")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r := loopback(t, Config{})
	const n = 200
	_, sockets := r.clients(n)
	left := make(chan bool, n)
	r.srv.OnDisconnect(func(*Socket, Reason) { left <- true })
	started := make(chan uint64, 1)
	On0(r.srv, "all", func(context.Context, *Socket) error {
		before := created()
		for _, s := range sockets {
			s.Disconnect(false)
		}
		started <- before
		return nil
	})
	p, _ := r.join()
	p.send(`42["all"]`)
	before := receive(t, started)
	for range n {
		receive(t, left)
	}
	if got := created() - before; got > n/2 {
		t.Errorf("%d goroutines were started for %d sockets, want at most %d", got, n, n/2)
	}
}

// created returns how many goroutines the process has ever started.
func created() uint64 {
	sample := []metrics.Sample{{Name: "/sched/goroutines-created:goroutines"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
