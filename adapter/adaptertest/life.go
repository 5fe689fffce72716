package adaptertest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/epio-go/epio/adapter"
)

func serverCount(t *testing.T, cl *cluster) {
	for n, s := range cl.servers {
		got, err := s.adapter().ServerCount(cl.context())
		cl.must(err)
		if got != len(cl.servers) {
			t.Errorf("server %d counts %d servers, want %d", n, got, len(cl.servers))
		}
	}
}

// A server that says goodbye is not waited for, and its own sockets can still be
// reached from it.
func closeOne(t *testing.T, cl *cluster) {
	last := len(cl.servers) - 1
	if last > 0 {
		cl.socket(0, "a")
	}
	z := cl.socket(last, "z")
	leaver := cl.servers[last]
	cl.must(leaver.adapter().Close(cl.context()))
	cl.must(leaver.adapter().Close(cl.context()))

	leaver.Index().Broadcast(&packet{event: "still here"}, adapter.Opts{})
	if got := z.take(); len(got) != 1 {
		t.Errorf("got %v after Close", got)
	}
	z.Disconnect(false)

	for n, s := range cl.servers[:last] {
		cl.eventually("the server is forgotten", func() bool {
			count, err := s.adapter().ServerCount(cl.context())
			cl.must(err)
			return count == last
		})
		if got := cl.fetch(n, adapter.Opts{}); len(got) != 1 {
			t.Errorf("server %d fetched %q", n, got)
		}
		if answers, servers := cl.ask(n, adapter.Opts{}); len(answers) != 1 || servers != last {
			t.Errorf("server %d: %q from %d servers", n, answers, servers)
		}
		got, err := s.adapter().ServerSideCall(cl.context(), "who", nil)
		cl.must(err)
		if len(got) != last-1 {
			t.Errorf("server %d: answers %v", n, got)
		}
	}
}

// Everything at once: sockets come, join, leave and go while every server sends.
// Sockets that stay get all of it, in the order of each sender.
func concurrentUse(t *testing.T, cl *cluster) {
	const rounds = 50
	for i := range 3 * len(cl.servers) {
		cl.socket(i, fmt.Sprint("stay", i), "r")
	}
	cl.synced()
	var wg sync.WaitGroup
	for n, s := range cl.servers {
		wg.Go(func() {
			for i := range rounds {
				guest := &socket{server: s, id: fmt.Sprintf("guest %d %d", n, i)}
				x := s.Index()
				if err := x.Attach(&guest.Member, guest); err != nil {
					t.Error(err)
					return
				}
				if err := x.Join(&guest.Member, "r", "guests"); err != nil {
					t.Error(err)
				}
				if err := x.Connect(&guest.Member, nil); err != nil {
					t.Error(err)
				}
				o := adapter.Opts{Rooms: []string{"r", "stay0"}, Except: []string{"guests"}}
				if err := s.adapter().Broadcast(&packet{event: "n", args: []any{n, i}}, o); err != nil {
					t.Error(err)
				}
				if err := s.adapter().AddSockets(adapter.Opts{Rooms: []string{"guests"}}, []string{"more"}); err != nil {
					t.Error(err)
				}
				if _, err := s.adapter().FetchSockets(cl.context(), adapter.Opts{Rooms: []string{"more"}}); err != nil {
					t.Error(err)
				}
				x.Detach(&guest.Member)
			}
		})
	}
	wg.Wait()
	for n := range cl.servers {
		cl.settle(n)
	}
	for _, so := range cl.sockets {
		next := make([]int, len(cl.servers))
		for _, r := range so.take() {
			from, i := number(r.args[0]), number(r.args[1])
			if i != next[from] {
				t.Fatalf("%s got %d from server %d, want %d", so.id, i, from, next[from])
			}
			next[from]++
		}
		for from, n := range next {
			if n != rounds {
				t.Errorf("%s got %d packets from server %d, want %d", so.id, n, from, rounds)
			}
		}
	}
}
