package adaptertest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/epio-go/epio/adapter"
)

// Everything at once: every server sends from several goroutines, while clients come
// and go, to another server each time. Each gets every packet once, in the order of the
// log.
func churn(t *testing.T, cl *cluster) {
	const (
		senders = 2
		rounds  = 60
		clients = 6
	)
	for i := range len(cl.servers) {
		cl.admit(i, fmt.Sprint("stay", i))
	}
	away := make([]*socket, clients)
	for i := range away {
		away[i] = cl.admit(i, fmt.Sprint("client", i), fmt.Sprint("room", i%2))
	}
	cl.sockets = cl.sockets[:len(cl.servers)] // settle must not wait for those that leave
	cl.synced()
	var sending, running sync.WaitGroup
	done := make(chan struct{})
	for n, s := range cl.servers {
		for k := range senders {
			sending.Go(func() {
				for i := range rounds {
					o := adapter.Opts{}
					switch i % 3 {
					case 1:
						o.Rooms = []string{"room0"}
					case 2:
						o.Rooms = []string{"room0", "room1"}
					}
					if err := s.Broadcast(newLoggable("logged", []any{n, k, i}), o); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
				}
			})
		}
	}
	got := make([][]received, clients)
	for i := range away {
		running.Go(func() {
			s := away[i]
			for k := 0; ; k++ {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
				pid, offset := s.away()
				got[i] = append(got[i], s.take()...)
				next, err := cl.back(i+k+1, pid, offset)
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				s = next
				select {
				case <-done:
					away[i] = s
					return
				default:
				}
			}
		})
	}
	sending.Wait()
	close(done)
	running.Wait()
	if t.Failed() {
		return
	}
	cl.sockets = append(cl.sockets, away...)
	for n := range cl.servers {
		cl.settle(n)
	}
	var all []string // the order of the log
	for _, r := range cl.sockets[0].take() {
		all = append(all, r.offset)
	}
	for i, s := range away {
		got[i] = append(got[i], s.take()...)
		want := len(cl.servers) * senders * rounds
		if i%2 == 1 {
			want -= len(cl.servers) * senders * rounds / 3
		}
		if len(got[i]) != want {
			t.Errorf("client %d got %d packets, want %d", i, len(got[i]), want)
		}
		next := map[[2]int]int{}
		for _, r := range got[i] {
			from := [2]int{number(r.args[0]), number(r.args[1])}
			if i%2 == 1 && next[from]%3 == 1 {
				next[from]++
			}
			if n := number(r.args[2]); n != next[from] {
				t.Fatalf("client %d got %d from %v, want %d", i, n, from, next[from])
			}
			next[from]++
		}
	}
	if len(all) != len(cl.servers)*senders*rounds/3 {
		t.Errorf("a socket in no room got %d packets", len(all))
	}
}
