package adaptertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/epio-go/epio/adapter"
)

// recoveryCases are the parts of [adapter.Recovery], each run with a cluster of its
// own.
var recoveryCases = []struct {
	name string
	run  func(*testing.T, *cluster)
}{
	{"offsets", offsets},
	{"one order", oneOrder},
	{"session", sessionCarriesState},
	{"single use", singleUse},
	{"dropped session", droppedSession},
	{"persisted again", persistedAgain},
	{"replay selects", replaySelects},
	{"replay carries values", replayCarriesValues},
	{"replay from the beginning", replayFromTheBeginning},
	{"replay from before", replayFromBefore},
	{"bad offsets", badOffsets},
	{"refused replay", refusedReplay},
	{"nobody there", nobodyThere},
	{"evict", evictElsewhere},
	{"churn", churn},
}

// recovery returns the adapter of server n with recovery.
func (cl *cluster) recovery(n int) adapter.Recovery {
	return cl.servers[n%len(cl.servers)].adapter().(adapter.Recovery)
}

// admit connects a new socket to server n; its log begins there.
func (cl *cluster) admit(n int, id string, rooms ...string) *socket {
	cl.t.Helper()
	n %= len(cl.servers)
	s := cl.servers[n].attach(id)
	s.pid = "pid of " + id
	cl.must(cl.servers[n].Index().Join(&s.Member, rooms...))
	cl.recovery(n).Admit(func(offset string) {
		s.offset, s.since = offset, offset
		cl.must(cl.servers[n].Index().Connect(&s.Member, nil))
	})
	if s.since == "" || len(s.since) > adapter.MaxOffset {
		cl.t.Errorf("%s was admitted at offset %q", id, s.since)
	}
	cl.sockets = append(cl.sockets, s)
	return s
}

// away disconnects s and stores its session. It returns what the client would come
// back with. It may be called from any goroutine.
func (s *socket) away() (pid, offset string) {
	n := s.server
	session := &adapter.Session{
		SID:   s.id,
		PID:   s.pid,
		Rooms: n.Index().Rooms(&s.Member),
		Data:  map[string]any{"name": s.id},
		Since: s.since,
		State: []byte("state of " + s.id),
	}
	if err := n.adapter().(adapter.Recovery).PersistSession(context.Background(), session); err != nil {
		n.cl.t.Error(err)
	}
	s.Disconnect(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid, s.offset
}

// back brings a client back to server n. It may be called from any goroutine.
func (cl *cluster) back(n int, pid, offset string) (*socket, error) {
	n %= len(cl.servers)
	r := cl.recovery(n)
	session, err := r.RestoreSession(cl.context(), pid)
	if err != nil {
		return nil, err
	}
	s := &socket{server: cl.servers[n], id: session.SID, pid: session.PID, offset: offset, since: session.Since}
	x := s.server.Index()
	if err := x.Attach(&s.Member, s); err != nil {
		return nil, err
	}
	for _, room := range session.Rooms {
		if room != s.id {
			if err := x.Join(&s.Member, room); err != nil {
				return nil, err
			}
		}
	}
	err = r.Replay(cl.context(), session, offset, func(missed []adapter.Missed) error {
		for i := range missed {
			got, err := missedPacket(&missed[i])
			if err != nil {
				return err
			}
			if s.offset = got.offset; got.event != marker {
				s.got = append(s.got, got)
			}
		}
		return x.Connect(&s.Member, nil)
	})
	if err != nil {
		x.Detach(&s.Member)
		return nil, err
	}
	return s, nil
}

// mustBack is back for the goroutine of the test, for clients that must be recovered.
func (cl *cluster) mustBack(n int, pid, offset string) *socket {
	cl.t.Helper()
	s, err := cl.back(n, pid, offset)
	cl.must(err)
	cl.sockets = append(cl.sockets, s)
	return s
}

// send broadcasts an event of the log from server n.
func (cl *cluster) send(n int, o adapter.Opts, args ...any) {
	cl.t.Helper()
	cl.must(cl.servers[n%len(cl.servers)].Broadcast(newLoggable("logged", args), o))
}

func offsets(t *testing.T, cl *cluster) {
	for i := range 2 * len(cl.servers) {
		cl.admit(i, fmt.Sprint("s", i), "r")
	}
	cl.synced()
	const rounds = 20
	for i := range rounds {
		cl.send(i, adapter.Opts{}, i)
		cl.settle(i % len(cl.servers)) // one after the other
		cl.send(i, adapter.Opts{Rooms: []string{"r", "nowhere"}}, i)
		cl.settle(i % len(cl.servers))
	}
	var all []string
	for _, s := range cl.sockets {
		var got []string
		for _, r := range s.take() {
			if r.offset == "" || len(r.offset) > adapter.MaxOffset || slices.Contains(got, r.offset) {
				t.Errorf("%s got offset %q", s.id, r.offset)
			}
			got = append(got, r.offset)
		}
		if len(got) != 2*rounds {
			t.Errorf("%s got %d packets", s.id, len(got))
		}
		if all == nil {
			all = got
		} else if !slices.Equal(all, got) {
			t.Errorf("%s got the offsets %q, others %q", s.id, got, all)
		}
	}

	// What is not kept has no offset.
	for n, s := range cl.servers {
		cl.must(s.Broadcast(newLoggable("volatile", nil), adapter.Opts{Flags: adapter.Volatile}))
		cl.settle(n)
		if len(cl.servers) > 1 {
			cl.must(s.Broadcast(newLoggable("local", nil), adapter.Opts{Flags: adapter.Local}))
			cl.settle(n)
		}
		cl.ask(n, adapter.Opts{})
	}
	for _, s := range cl.sockets {
		got := s.take()
		if len(got) == 0 {
			t.Errorf("%s got nothing", s.id)
		}
		for _, r := range got {
			if r.offset != "" {
				t.Errorf("%s got %s with offset %q", s.id, r.event, r.offset)
			}
		}
	}
}

// Whoever sends, all sockets get the packets in one order, and each server's in the
// order in which it sent them.
func oneOrder(t *testing.T, cl *cluster) {
	const rounds = 100
	for i := range 3 * len(cl.servers) {
		cl.admit(i, fmt.Sprint("s", i), "r")
	}
	cl.synced()
	var wg sync.WaitGroup
	for n, s := range cl.servers {
		for k := range 2 {
			wg.Go(func() {
				for i := range rounds {
					if err := s.Broadcast(newLoggable("logged", []any{n, k, i}), adapter.Opts{Rooms: []string{"r"}}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for n := range cl.servers {
		cl.settle(n)
	}
	var first []string
	for _, s := range cl.sockets {
		var offsets []string
		next := map[[2]int]int{}
		for _, r := range s.take() {
			offsets = append(offsets, r.offset)
			from := [2]int{number(r.args[0]), number(r.args[1])}
			if got := number(r.args[2]); got != next[from] {
				t.Fatalf("%s got %d from %v, want %d", s.id, got, from, next[from])
			}
			next[from]++
		}
		if first == nil {
			first = offsets
		}
		if len(offsets) != 2*rounds*len(cl.servers) || !slices.Equal(offsets, first) {
			t.Errorf("%s got %d packets in another order than %s", s.id, len(offsets), cl.sockets[0].id)
		}
	}
}
