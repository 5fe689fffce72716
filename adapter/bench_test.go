package adapter

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// sink is the cheapest possible receiver: what remains is the index.
type sink struct {
	Member
	id string
	n  int
}

func (s *sink) ID() string                 { return s.id }
func (s *sink) Connected() bool            { return true }
func (s *sink) Deliver(Packet, Batch) bool { s.n++; return true }
func (s *sink) Disconnect(bool)            {}
func (s *sink) Info() SocketInfo           { return SocketInfo{ID: s.id} }

// newSinks attaches and connects n members with ids of 20 characters. Each is an
// allocation of its own, as sockets are.
func newSinks(tb testing.TB, x *Index, n int) []*sink {
	tb.Helper()
	sinks := make([]*sink, n)
	for i := range sinks {
		sinks[i] = &sink{id: fmt.Sprintf("%020d", i)}
		if err := x.Attach(&sinks[i].Member, sinks[i]); err != nil {
			tb.Fatal(err)
		}
		if err := x.Connect(&sinks[i].Member, nil); err != nil {
			tb.Fatal(err)
		}
	}
	return sinks
}

func joinAll(tb testing.TB, x *Index, sinks []*sink, rooms ...string) {
	tb.Helper()
	for _, s := range sinks {
		if err := x.Join(&s.Member, rooms...); err != nil {
			tb.Fatal(err)
		}
	}
}

func BenchmarkBroadcastAll(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			x := NewIndex(Config{})
			newSinks(b, x, n)
			benchBroadcast(b, x, Opts{}, n)
		})
	}
}

func BenchmarkBroadcastRoom(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			x := NewIndex(Config{})
			joinAll(b, x, newSinks(b, x, n), "r")
			benchBroadcast(b, x, Opts{Rooms: []string{"r"}}, n)
		})
	}
}

func BenchmarkBroadcastFromSender(b *testing.B) {
	for _, n := range []int{2, 100, 10_000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			x := NewIndex(Config{})
			sinks := newSinks(b, x, n)
			joinAll(b, x, sinks, "r")
			benchBroadcast(b, x, Opts{Rooms: []string{"r"}, ExceptID: sinks[0].id}, n-1)
		})
	}
}

func BenchmarkBroadcastRooms(b *testing.B) {
	for _, rooms := range []int{2, 8} {
		for _, n := range []int{100, 10_000} {
			b.Run(fmt.Sprintf("rooms=%d/members=%d", rooms, n), func(b *testing.B) {
				x := NewIndex(Config{})
				var o Opts
				for i := range rooms {
					o.Rooms = append(o.Rooms, fmt.Sprint("r", i))
				}
				joinAll(b, x, newSinks(b, x, n), o.Rooms...)
				benchBroadcast(b, x, o, n)
			})
		}
	}
}

// Few are selected, many excluded.
func BenchmarkBroadcastExceptMany(b *testing.B) {
	x := NewIndex(Config{})
	sinks := newSinks(b, x, 10_000)
	joinAll(b, x, sinks[10:], "big")
	joinAll(b, x, sinks[:20], "small")
	benchBroadcast(b, x, Opts{Rooms: []string{"small"}, Except: []string{"big"}}, 10)
}

func BenchmarkBroadcastToID(b *testing.B) {
	x := NewIndex(Config{})
	sinks := newSinks(b, x, 10_000)
	benchBroadcast(b, x, Opts{Rooms: []string{sinks[77].id}}, 1)
}

func BenchmarkBroadcastNobody(b *testing.B) {
	x := NewIndex(Config{})
	newSinks(b, x, 10_000)
	benchBroadcast(b, x, Opts{Rooms: []string{"nowhere"}}, 0)
}

// One broadcast to each of 10,000 rooms of 10.
func BenchmarkBroadcastManyRooms(b *testing.B) {
	x := NewIndex(Config{})
	sinks := newSinks(b, x, 10_000)
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprint("room", i)
		for k := range 10 {
			joinAll(b, x, sinks[(i*7+k*997)%len(sinks):][:1], names[i])
		}
	}
	p := Packet(event("e"))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if n := x.Broadcast(p, Opts{Rooms: names[i%len(names) : i%len(names)+1]}); n != 10 {
			b.Fatalf("%d receivers, want 10", n)
		}
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10, "ns/receiver")
}

// All cores broadcast to rooms of 10 while one socket in ten joins or leaves.
func BenchmarkBroadcastParallel(b *testing.B) {
	x := NewIndex(Config{})
	sinks := newSinks(b, x, 1000)
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprint("room", i)
		joinAll(b, x, sinks[10*i:][:10], names[i])
	}
	p := Packet(event("e"))
	cpus := runtime.GOMAXPROCS(0)
	var cores atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		i := int(cores.Add(1)) * 37
		for pb.Next() {
			i++
			r := i % len(names)
			// Each core keeps at most one socket out of its room.
			if n := x.Broadcast(p, Opts{Rooms: names[r : r+1]}); n > 10 || n < 10-cpus {
				b.Errorf("%d receivers, want 10", n)
			}
			if i%10 == 0 {
				m := &sinks[10*r+i/len(names)%10].Member
				x.Leave(m, names[r])
				if err := x.Join(m, names[r]); err != nil {
					b.Error(err)
				}
			}
		}
	})
}

func benchBroadcast(b *testing.B, x *Index, o Opts, receivers int) {
	p := Packet(event("e"))
	b.ReportAllocs()
	for b.Loop() {
		if n := x.Broadcast(p, o); n != receivers {
			b.Fatalf("%d receivers, want %d", n, receivers)
		}
	}
	if receivers > 0 {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(receivers), "ns/receiver")
	}
}

// Joining and leaving a room of the given size.
func BenchmarkJoinLeave(b *testing.B) {
	for _, n := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			x := NewIndex(Config{})
			sinks := newSinks(b, x, n+1)
			joinAll(b, x, sinks[1:], "r")
			benchJoinLeave(b, x, &sinks[0].Member, n)
		})
	}
}

// A member of many rooms joins and leaves one more.
func BenchmarkJoinLeaveAmongRooms(b *testing.B) {
	for _, rooms := range []int{16, 32, 1000} {
		b.Run(fmt.Sprintf("rooms=%d", rooms), func(b *testing.B) {
			x := NewIndex(Config{})
			sinks := newSinks(b, x, 2)
			for i := range rooms {
				joinAll(b, x, sinks[:1], fmt.Sprint("room", i))
			}
			joinAll(b, x, sinks[1:], "r")
			benchJoinLeave(b, x, &sinks[0].Member, 1)
		})
	}
}

func benchJoinLeave(b *testing.B, x *Index, m *Member, others int) {
	b.ReportAllocs()
	for b.Loop() {
		if err := x.Join(m, "r"); err != nil {
			b.Fatal(err)
		}
		x.Leave(m, "r")
	}
	if n := x.RoomSize("r"); n != others {
		b.Errorf("%d members are left, want %d", n, others)
	}
}

// All cores join and leave, each with a socket of its own.
func BenchmarkJoinLeaveParallel(b *testing.B) {
	x := NewIndex(Config{})
	joinAll(b, x, newSinks(b, x, 1000), "r")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) { churn(b, pb, x) })
	if n := x.RoomSize("r"); n != 1000 {
		b.Errorf("%d members are left, want 1000", n)
	}
}

// The same while broadcasts to the room follow each other without a pause.
func BenchmarkJoinLeaveWhileBroadcasting(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			x := NewIndex(Config{})
			joinAll(b, x, newSinks(b, x, n), "r")
			p, o := Packet(event("e")), Opts{Rooms: []string{"r"}}
			most := n + runtime.GOMAXPROCS(0)
			broadcasts := 0
			stop := background(func() {
				broadcasts++
				if got := x.Broadcast(p, o); got < n || got > most {
					b.Errorf("%d receivers, want %d to %d", got, n, most)
				}
			})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) { churn(b, pb, x) })
			stop()
			b.ReportMetric(float64(broadcasts)/float64(b.N), "broadcasts/op")
		})
	}
}

// churn joins and leaves "r" with a socket of its own.
func churn(b *testing.B, pb *testing.PB, x *Index) {
	s := &sink{id: fmt.Sprintf("%p", pb)}
	if err := x.Attach(&s.Member, s); err != nil {
		b.Error(err)
		return
	}
	defer x.Detach(&s.Member)
	if err := x.Connect(&s.Member, nil); err != nil {
		b.Error(err)
		return
	}
	for pb.Next() {
		if err := x.Join(&s.Member, "r"); err != nil {
			b.Error(err)
			return
		}
		x.Leave(&s.Member, "r")
	}
}

// background calls f over and over until stop.
func background(f func()) (stop func()) {
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !done.Load() {
			f()
		}
	})
	return func() {
		done.Store(true)
		wg.Wait()
	}
}

// The whole life of a socket that joins the given number of rooms.
func BenchmarkLife(b *testing.B) {
	for _, rooms := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("rooms=%d", rooms), func(b *testing.B) {
			x := NewIndex(Config{})
			var names []string
			for i := range rooms {
				names = append(names, fmt.Sprint("r", i))
			}
			joinAll(b, x, newSinks(b, x, 1000), names...)
			b.ReportAllocs()
			for b.Loop() {
				s := &sink{id: "the life of a socket"}
				if err := errors.Join(x.Attach(&s.Member, s), x.Join(&s.Member, names...), x.Connect(&s.Member, nil)); err != nil {
					b.Fatal(err)
				}
				x.Detach(&s.Member)
			}
			if n := x.Len(); n != 1000 {
				b.Errorf("%d sockets are left, want 1000", n)
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	benchLookup(b, func(*Index, []*sink) (stop func()) { return func() {} })
}

// Lookups while another goroutine joins and leaves without a pause.
func BenchmarkLookupUnderChurn(b *testing.B) {
	benchLookup(b, func(x *Index, sinks []*sink) (stop func()) {
		i := 0
		return background(func() {
			i++
			m := &sinks[1+i%(len(sinks)-1)].Member
			if err := x.Join(m, "r", "s"); err != nil {
				b.Error(err)
			}
			x.Leave(m, "r", "s")
		})
	})
}

func benchLookup(b *testing.B, begin func(x *Index, sinks []*sink) (stop func())) {
	x := NewIndex(Config{})
	sinks := newSinks(b, x, 10_000)
	joinAll(b, x, sinks[:1], "r")
	defer begin(x, sinks)()
	for _, bc := range []struct {
		what string
		ok   func() bool
	}{
		{"id", func() bool { return x.Lookup(sinks[77].id) == sinks[77] }},
		{"unknownID", func() bool { return x.Lookup("nobody") == nil }},
		{"room", func() bool { return x.HasRoom("r") }},
		{"unknownRoom", func() bool { return !x.HasRoom("nowhere") }},
		{"inRoom", func() bool { return x.InRoom(&sinks[0].Member, "r") }},
		{"receivers", func() bool { return x.HasReceivers(Opts{ExceptID: sinks[1].id}) }},
		{"rooms", func() bool { return len(x.Rooms(&sinks[0].Member)) == 2 }},
	} {
		b.Run("what="+bc.what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !bc.ok() {
					b.Fatal("wrong answer")
				}
			}
		})
	}
}
