package adapter

import (
	"fmt"
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
	var cores atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		i := int(cores.Add(1)) * 37
		for pb.Next() {
			i++
			r := i % len(names)
			x.Broadcast(p, Opts{Rooms: names[r : r+1]})
			if i%10 == 0 {
				m := &sinks[i%len(sinks)].Member
				x.Leave(m, names[r])
				_ = x.Join(m, names[r])
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
			m := &sinks[0].Member
			b.ReportAllocs()
			for b.Loop() {
				_ = x.Join(m, "r")
				x.Leave(m, "r")
			}
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
			m := &sinks[0].Member
			b.ReportAllocs()
			for b.Loop() {
				_ = x.Join(m, "r")
				x.Leave(m, "r")
			}
		})
	}
}

func BenchmarkJoinLeaveParallel(b *testing.B) {
	x := NewIndex(Config{})
	joinAll(b, x, newSinks(b, x, 1000), "r")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		s := &sink{id: fmt.Sprintf("%p", pb)}
		if err := x.Attach(&s.Member, s); err != nil {
			b.Error(err)
			return
		}
		for pb.Next() {
			_ = x.Join(&s.Member, "r")
			x.Leave(&s.Member, "r")
		}
	})
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
				_ = x.Attach(&s.Member, s)
				_ = x.Join(&s.Member, names...)
				_ = x.Connect(&s.Member, nil)
				x.Detach(&s.Member)
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	x := NewIndex(Config{})
	sinks := newSinks(b, x, 10_000)
	joinAll(b, x, sinks[:1], "r")
	b.Run("what=id", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.Lookup(sinks[77].id)
		}
	})
	b.Run("what=room", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.HasRoom("r")
		}
	})
	b.Run("what=unknown", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x.HasRoom("nowhere")
		}
	})
}
