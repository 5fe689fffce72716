package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
	if s.offset == "" || len(s.offset) > adapter.MaxOffset {
		cl.t.Errorf("%s was admitted at offset %q", id, s.offset)
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

func sessionCarriesState(t *testing.T, cl *cluster) {
	for n := range cl.servers {
		id := fmt.Sprint("s", n)
		want := &adapter.Session{
			SID:   id,
			PID:   "secret " + id,
			Rooms: []string{id, "r", "odd *?[]#/é\x00 room"},
			Data:  map[string]any{"name": "é", "list": []any{1, "two", nil, true}, "deep": map[string]any{"n": 0.5}},
			Since: "since",
			State: []byte("\x00\xff{state}"),
		}
		cl.must(cl.recovery(n).PersistSession(cl.context(), want))
		for _, pid := range []string{"", "secret", "secret " + id + "x", strings.Repeat("p", adapter.MaxOffset), "\x00"} {
			if s, err := cl.recovery(n).RestoreSession(cl.context(), pid); !errors.Is(err, adapter.ErrNoSession) {
				t.Errorf("restoring %q: %v, %v", pid, s, err)
			}
		}
		got, err := cl.recovery(n+1).RestoreSession(cl.context(), want.PID)
		cl.must(err)
		slices.Sort(got.Rooms)
		slices.Sort(want.Rooms)
		if got.SID != want.SID || got.PID != want.PID || !slices.Equal(got.Rooms, want.Rooms) ||
			!same(got.Data, want.Data) || got.Since != want.Since || string(got.State) != string(want.State) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		cl.recovery(n + 1).DropSession(got)
	}
}

// Of many that come with the same pid, on any server, one gets the session.
func singleUse(t *testing.T, cl *cluster) {
	for round := range 10 {
		pid, _ := cl.admit(round, fmt.Sprint("s", round)).away()
		var mu sync.Mutex
		var found []*adapter.Session
		var wg sync.WaitGroup
		for i := range 3 * len(cl.servers) {
			wg.Go(func() {
				s, err := cl.recovery(i).RestoreSession(cl.context(), pid)
				if err == nil {
					mu.Lock()
					found = append(found, s)
					mu.Unlock()
				} else if !errors.Is(err, adapter.ErrNoSession) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(found) != 1 {
			t.Fatalf("the session was restored %d times", len(found))
		}
		cl.recovery(round).DropSession(found[0])
	}
}

func droppedSession(t *testing.T, cl *cluster) {
	pid, offset := cl.admit(0, "a").away()
	s, err := cl.recovery(1).RestoreSession(cl.context(), pid)
	cl.must(err)
	cl.recovery(1).DropSession(s)
	if _, err := cl.back(0, pid, offset); !errors.Is(err, adapter.ErrNoSession) {
		t.Errorf("a dropped session came back: %v", err)
	}
}

// A session that was taken may be put back, when the client has gone in between.
func persistedAgain(t *testing.T, cl *cluster) {
	pid, offset := cl.admit(0, "a").away()
	cl.admit(0, "stay") // sees what is sent in the order in which it is sent
	cl.send(0, adapter.Opts{}, 1)
	cl.settle(0)
	for n := range cl.servers {
		s, err := cl.recovery(n).RestoreSession(cl.context(), pid)
		cl.must(err)
		cl.must(cl.recovery(n).PersistSession(cl.context(), s))
	}
	cl.send(1, adapter.Opts{}, 2)
	cl.settle(1 % len(cl.servers))
	a := cl.mustBack(1, pid, offset)
	cl.send(0, adapter.Opts{}, 3)
	cl.wantNumbers(a, 1, 2, 3)
}

// wantNumbers waits until s has got these first arguments, and sees that nothing
// else came.
func (cl *cluster) wantNumbers(s *socket, want ...int) {
	cl.t.Helper()
	for n := range cl.servers {
		cl.settle(n)
	}
	var got []int
	for _, r := range s.take() {
		got = append(got, number(r.args[0]))
	}
	if !slices.Equal(got, want) {
		cl.t.Errorf("%s got %v, want %v", s.id, got, want)
	}
}

func replaySelects(t *testing.T, cl *cluster) {
	for from := range cl.servers {
		for to := range cl.servers {
			// Away with the rooms r and s; joined and left in the meantime by others.
			a := cl.admit(from, fmt.Sprintf("a%d%d", from, to), "r", "s", "left")
			cl.admit(to, fmt.Sprintf("b%d%d", from, to), "r", "elsewhere")
			cl.synced()
			cl.send(to, adapter.Opts{}, 0)
			cl.settle(to)
			a.server.Index().Leave(&a.Member, "left")
			a.take()
			pid, offset := a.away()
			for i, c := range []struct {
				o   adapter.Opts
				hit bool
			}{
				{adapter.Opts{}, true},
				{adapter.Opts{Rooms: []string{"r"}}, true},
				{adapter.Opts{Rooms: []string{"elsewhere"}}, false},
				{adapter.Opts{Rooms: []string{"elsewhere", "s"}}, true},
				{adapter.Opts{Rooms: []string{"left"}}, false},
				{adapter.Opts{Rooms: []string{"r", "s"}, Except: []string{"s"}}, false},
				{adapter.Opts{Except: []string{"elsewhere"}}, true},
				{adapter.Opts{Except: []string{"elsewhere", "r"}}, false},
				{adapter.Opts{Except: []string{a.id}}, false},
				{adapter.Opts{Rooms: []string{a.id}}, true},
				{adapter.Opts{Rooms: []string{"r"}, ExceptID: a.id}, false},
				{adapter.Opts{Rooms: []string{"r"}, ExceptID: "b"}, true},
				{adapter.Opts{Rooms: []string{"nowhere"}}, false},
				{adapter.Opts{Flags: adapter.NoCompress}, true},
			} {
				n := 100 + i
				if !c.hit {
					n = -n
				}
				cl.send(i, c.o, n)
				cl.settle(i % len(cl.servers)) // in this order
			}
			cl.must(cl.servers[from].Broadcast(newLoggable("volatile", []any{-1}), adapter.Opts{Flags: adapter.Volatile}))
			cl.settle(from)
			a = cl.mustBack(to, pid, offset)
			cl.send(from, adapter.Opts{Rooms: []string{"s"}}, 200)
			cl.wantNumbers(a, 100, 101, 103, 106, 109, 111, 113, 200)
		}
	}
}

func replayCarriesValues(t *testing.T, cl *cluster) {
	args := []any{
		nil, true, 1 << 40, 0.5, "text \" \\ é 𝄞 \u2028",
		[]byte{0, 1, 0xff},
		[]any{1, map[string]any{"three": []byte("3"), "k": nil}},
		"last string",
	}
	stay := cl.admit(0, "stay")
	for n := range cl.servers {
		pid, offset := cl.admit(n, fmt.Sprint("a", n)).away()
		cl.must(cl.servers[n].Broadcast(newLoggable("values", args), adapter.Opts{}))
		cl.must(cl.servers[n].Broadcast(newLoggable("no arguments", nil), adapter.Opts{}))
		cl.settle(n)
		want := stay.take()
		got := cl.mustBack(n+1, pid, offset).take()
		if len(got) != 2 || len(want) != 2 || !same(got[0].args, args) || got[0].event != "values" ||
			got[1].event != "no arguments" || len(got[1].args) != 0 ||
			got[0].offset != want[0].offset || got[1].offset != want[1].offset {
			t.Errorf("missed %v, others got %v", got, want)
		}
	}
}

// A client that has got nothing yet comes back with the offset of its admission.
func replayFromTheBeginning(t *testing.T, cl *cluster) {
	for n := range cl.servers {
		a := cl.admit(n, fmt.Sprint("a", n))
		for range 3 { // any number of times
			pid, offset := a.away()
			a = cl.mustBack(n+1, pid, offset)
		}
		pid, offset := a.away()
		cl.send(n, adapter.Opts{}, 1)
		cl.send(n, adapter.Opts{}, 2)
		a = cl.mustBack(n, pid, offset)
		cl.send(n, adapter.Opts{}, 3)
		cl.wantNumbers(a, 1, 2, 3)
		pid, offset = a.away()
		cl.send(n, adapter.Opts{}, 4)
		cl.wantNumbers(cl.mustBack(n+1, pid, offset), 4)
	}
}

// A client is told nothing that was said before it came.
func replayFromBefore(t *testing.T, cl *cluster) {
	stay := cl.admit(0, "stay")
	cl.send(0, adapter.Opts{}, 1)
	cl.send(0, adapter.Opts{}, 2)
	cl.settle(0)
	before := stay.take()[0].offset
	for n := range cl.servers {
		pid, _ := cl.admit(n, fmt.Sprint("a", n)).away()
		cl.send(n, adapter.Opts{}, 3)
		cl.settle(n)
		cl.wantNumbers(cl.mustBack(n+1, pid, before), 3)
	}
}

func badOffsets(t *testing.T, cl *cluster) {
	s := cl.admit(0, "stay")
	cl.send(0, adapter.Opts{}, 1)
	cl.settle(0)
	good := s.take()[0].offset
	for i, bad := range []string{
		"", " ", "x", good + "x", "x" + good, "-1", "18446744073709551616",
		"99999999999999-0", strings.Repeat("9", adapter.MaxOffset), "é\x00*", "pid of stay",
	} {
		pid, _ := cl.admit(i, fmt.Sprint("a", i)).away()
		r := cl.recovery(i + 1)
		session, err := r.RestoreSession(cl.context(), pid)
		cl.must(err)
		err = r.Replay(cl.context(), session, bad, func([]adapter.Missed) error {
			t.Errorf("offset %q was accepted", bad)
			return nil
		})
		if !errors.Is(err, adapter.ErrOffset) {
			t.Errorf("offset %q: %v", bad, err)
		}
		r.DropSession(session)
		if _, err := r.RestoreSession(cl.context(), pid); !errors.Is(err, adapter.ErrNoSession) {
			t.Errorf("after a bad offset: %v", err)
		}
	}
}

func refusedReplay(t *testing.T, cl *cluster) {
	pid, offset := cl.admit(0, "a").away()
	r := cl.recovery(1)
	session, err := r.RestoreSession(cl.context(), pid)
	cl.must(err)
	refusal := errors.New("gone")
	for range 2 {
		err := r.Replay(cl.context(), session, offset, func([]adapter.Missed) error { return refusal })
		if !errors.Is(err, refusal) {
			t.Errorf("got %v", err)
		}
		cl.send(1, adapter.Opts{}, 1) // counts, although nobody is there and nothing is stored
	}
	cl.must(r.PersistSession(cl.context(), session))
	cl.wantNumbers(cl.mustBack(0, pid, offset), 1, 1)
}

// The log goes on while nobody is connected.
func nobodyThere(t *testing.T, cl *cluster) {
	pid, offset := cl.admit(0, "a").away()
	for i := range 10 {
		cl.send(0, adapter.Opts{}, i)
	}
	cl.wantNumbers(cl.mustBack(0, pid, offset), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
}

// A client may come back before its old server knows that it was away.
func evictElsewhere(t *testing.T, cl *cluster) {
	if len(cl.servers) < 2 || !cl.evicts {
		t.Skip("the adapter does not ask other servers")
	}
	for n := range cl.servers {
		a := cl.admit(n, fmt.Sprint("a", n))
		cl.servers[n].keep(a)
		cl.send(n, adapter.Opts{}, 1)
		cl.settle(n)
		pid, offset := a.pid, a.lastOffset()
		cl.send(n, adapter.Opts{}, 2)
		b := cl.mustBack(n+1, pid, offset)
		cl.send(n, adapter.Opts{}, 3)
		if !a.gone() {
			t.Errorf("the old socket of %s is still there", a.id)
		}
		cl.wantNumbers(b, 2, 3)
	}
}

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
