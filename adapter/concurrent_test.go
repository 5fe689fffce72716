package adapter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// numbered is a packet that says who sent it and when.
type numbered struct{ from, seq int }

func (numbered) Event() string { return "numbered" }
func (numbered) Args() []any   { return nil }

// listener keeps every numbered packet.
type listener struct {
	Member
	id   string
	got  []numbered  // guarded by the shard's lock
	gone atomic.Bool // Detach has returned
	late atomic.Bool // got a packet although gone
}

func (l *listener) ID() string      { return l.id }
func (l *listener) Connected() bool { return true }
func (l *listener) Deliver(p Packet, _ Batch) bool {
	if l.gone.Load() {
		l.late.Store(true)
	}
	l.got = append(l.got, p.(numbered))
	return true
}
func (l *listener) Disconnect(bool)  {}
func (l *listener) Info() SocketInfo { return SocketInfo{ID: l.id} }

func attachListener(t testing.TB, x *Index, id string) *listener {
	l := &listener{id: id}
	if err := x.Attach(&l.Member, l); err != nil {
		t.Errorf("attach %s: %v", id, err)
	}
	if err := x.Connect(&l.Member, nil); err != nil {
		t.Errorf("connect %s: %v", id, err)
	}
	return l
}

// Steady members must get everything from everybody, in order and once, while
// others come and go through the same rooms, shards and names.
func TestConcurrentChurn(t *testing.T) {
	const workers, rounds, steady = 4, 300, 24
	x := NewIndex(Config{Shards: 4, Stripes: 2})
	var created, deleted atomic.Int32
	x.Observe(func(e RoomEvent) {
		switch e.Kind {
		case CreateRoom:
			created.Add(1)
		case DeleteRoom:
			deleted.Add(1)
		}
	})

	listeners := make([]*listener, steady)
	for i := range listeners {
		listeners[i] = attachListener(t, x, fmt.Sprint("steady", i))
		if err := x.Join(&listeners[i].Member, "news", fmt.Sprint("half", i%2)); err != nil {
			t.Fatal(err)
		}
	}

	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			for seq := range rounds {
				l := attachListener(t, x, fmt.Sprintf("guest%d-%d", w, seq))
				m := &l.Member
				_ = x.Join(m, "hot", fmt.Sprint("cold", rng.IntN(4)))
				_ = x.Join(m, "steady0", "news", fmt.Sprint("guest", rng.IntN(workers)))

				// "hot" is created and deleted all the time; whoever is in it
				// must be found.
				before := len(l.take(x))
				x.Broadcast(numbered{from: w, seq: seq}, Opts{Rooms: []string{"hot", "nowhere"}, Except: []string{"news2"}})
				if got := l.take(x); !slices.Contains(got[before:], numbered{from: w, seq: seq}) {
					t.Errorf("worker %d round %d: in room hot, got %v", w, seq, got)
				}

				x.Broadcast(numbered{from: 100 + w, seq: seq}, Opts{
					Rooms:    []string{"half0", "half1", "news"},
					Except:   []string{"hot"},
					ExceptID: l.id,
				})
				for _, ms := range [][]string{x.Rooms(m), x.SocketRooms("steady1"), x.AllRooms()} {
					if len(ms) == 0 {
						t.Error("no rooms")
					}
				}
				switch rng.IntN(3) {
				case 0:
					x.Leave(m, "hot", l.id)
				case 1:
					x.AddSockets(Opts{Rooms: []string{"hot"}}, []string{"warm"})
				case 2:
					x.DelSockets(Opts{Rooms: []string{"hot", "cold1"}}, []string{"warm", "cold1"})
				}
				x.Detach(m)
				l.gone.Store(true)
				if l.late.Load() {
					t.Error("a packet after Detach")
				}
			}
		})
	}
	wg.Wait()
	checkIndex(t, x)

	byShard := make(map[uint8][]numbered)
	for _, l := range listeners {
		var next [workers]int
		var news []numbered
		for _, n := range l.got {
			if n.from < 100 {
				continue // from room "hot", which steady members are not in
			}
			if w := n.from - 100; n.seq != next[w] {
				t.Fatalf("%s: %d from worker %d, want %d", l.id, n.seq, w, next[w])
			}
			next[n.from-100]++
			news = append(news, n)
		}
		for w, n := range next {
			if n != rounds {
				t.Errorf("%s: %d packets from worker %d, want %d", l.id, n, w, rounds)
			}
		}
		if first, ok := byShard[l.Member.shard]; ok && !slices.Equal(first, news) {
			t.Errorf("%s: another order than its shard", l.id)
		}
		byShard[l.Member.shard] = news
		x.Detach(&l.Member)
	}
	checkEmpty(t, x)
	if c, d := created.Load(), deleted.Load(); c != d {
		t.Errorf("%d rooms created, %d deleted", c, d)
	}
}

// take returns what l has so far.
func (l *listener) take(x *Index) []numbered {
	s := &x.shards[l.Member.shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(l.got)
}

// Many goroutines use one member at once; nothing may be left when one of them
// detaches it.
func TestConcurrentSameMember(t *testing.T) {
	x := NewIndex(Config{Shards: 2, Stripes: 2})
	for round := range 200 {
		l := attachListener(t, x, fmt.Sprint("s", round))
		m := &l.Member
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 10 {
					_ = x.Join(m, "a", fmt.Sprint("b", i), l.id)
					if g == 3 && i == 5 {
						x.Detach(m)
					}
					x.Leave(m, "a", fmt.Sprint("b", i%3))
					x.Broadcast(numbered{}, Opts{Rooms: []string{"a", l.id}})
				}
			})
		}
		wg.Wait()
		checkEmpty(t, x)
	}
}

// The events of one room must tell one story, whoever reports them.
func TestConcurrentEventsAreOrdered(t *testing.T) {
	x := NewIndex(Config{Shards: 4})
	members := make(map[string]map[string]bool)
	x.Observe(func(e RoomEvent) { // one at a time, so no lock
		in, exists := members[e.Room]
		ok := exists
		switch e.Kind {
		case CreateRoom:
			ok = !exists
			members[e.Room] = make(map[string]bool)
		case JoinRoom:
			ok = exists && !in[e.ID]
			in[e.ID] = true
		case LeaveRoom:
			ok = in[e.ID]
			delete(in, e.ID)
		case DeleteRoom:
			ok = exists && len(in) == 0
			delete(members, e.Room)
		}
		if !ok {
			t.Errorf("%v out of order", e)
		}
	})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				l := attachListener(t, x, fmt.Sprintf("%d-%d", w, i))
				_ = x.Join(&l.Member, "a", "b")
				x.Leave(&l.Member, "a")
				x.Detach(&l.Member)
			}
		})
	}
	wg.Wait()
	checkEmpty(t, x)
	if len(members) > 0 {
		t.Errorf("rooms left by the events: %v", members)
	}
}
