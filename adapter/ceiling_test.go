package adapter

import (
	"fmt"
	"runtime"
	"testing"
	"unsafe"
)

// The ceilings below are promises of the documentation. Memory is counted on 64
// bits; a 32-bit build needs less.

func TestBroadcastAllocatesNothing(t *testing.T) {
	x := NewIndex(Config{})
	sinks := newSinks(t, x, 200)
	var rooms []string
	for i := range fewTargets {
		rooms = append(rooms, fmt.Sprint("r", i))
	}
	joinAll(t, x, sinks[:100], rooms...)
	joinAll(t, x, sinks[50:], "e0", "e1", "e2", "e3", "e4", "e5", "e6")
	except := []string{"e0", "e1", "e2", "e3", "e4", "e5", "e6"}
	batch := &countingBatch{x: x}
	p := Packet(event("e"))
	for _, c := range []struct {
		o Opts
		n int
	}{
		{Opts{}, 200},
		{Opts{Batch: batch}, 200},
		{Opts{ExceptID: sinks[0].id}, 199},
		{Opts{Rooms: rooms[:1]}, 100},
		{Opts{Rooms: rooms}, 100},
		{Opts{Rooms: rooms, Except: except, ExceptID: sinks[0].id}, 49},
		{Opts{Rooms: []string{sinks[150].id}}, 1},
	} {
		n := 0
		if got := testing.AllocsPerRun(20, func() { n = x.Broadcast(p, c.o) }); got != 0 {
			t.Errorf("%d rooms, %d except: %v allocations", len(c.o.Rooms), len(c.o.Except), got)
		}
		if n != c.n {
			t.Errorf("%d rooms, %d except: %d receivers, want %d", len(c.o.Rooms), len(c.o.Except), n, c.n)
		}
		if got := testing.AllocsPerRun(20, func() { x.HasReceivers(c.o) }); got != 0 {
			t.Errorf("HasReceivers: %v allocations", got)
		}
	}
}

// Coming and going through rooms that exist costs no memory, nor does looking
// something up.
func TestChurnAllocatesNothing(t *testing.T) {
	x := NewIndex(Config{})
	sinks := newSinks(t, x, 100)
	joinAll(t, x, sinks[1:], "r", "s")
	m := &sinks[0].Member
	churn := func() {
		_ = x.Join(m, "r", "s")
		x.Leave(m, "r", "s")
	}
	churn()
	if got := testing.AllocsPerRun(100, churn); got != 0 {
		t.Errorf("join and leave: %v allocations", got)
	}
	// A room nobody else is in: itself, its name, its lists, the one list and the
	// entries of that.
	fresh := func() {
		_ = x.Join(m, "fresh")
		x.Leave(m, "fresh")
	}
	fresh()
	got := testing.AllocsPerRun(100, fresh)
	t.Logf("join and leave of a room nobody else is in: %v allocations", got)
	if got > 5 {
		t.Errorf("join and leave of a room nobody else is in: %v allocations", got)
	}
	if got := testing.AllocsPerRun(100, func() {
		x.Lookup(sinks[1].id)
		x.InRoom(m, "r")
		x.RoomSize("r")
	}); got != 0 {
		t.Errorf("lookup: %v allocations", got)
	}
}

func TestMemberSize(t *testing.T) {
	if n := unsafe.Sizeof(Member{}); n > 40 {
		t.Errorf("a Member is %d bytes, want at most 40", n)
	}
}

// heap returns the bytes of live heap objects.
func heap() int {
	var ms runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&ms)
	return int(ms.HeapAlloc)
}

// measure returns the bytes that f adds to the heap, per unit.
func measure(units int, f func()) int {
	before := heap()
	f()
	return (heap() - before) / units
}

func TestBytesPerMember(t *testing.T) {
	for _, shards := range []int{8, maxShards} { // 2 cores and many
		t.Run(fmt.Sprintf("shards=%d", shards), func(t *testing.T) {
			testBytesPerMember(t, NewIndex(Config{Shards: shards}))
		})
	}
}

func testBytesPerMember(t *testing.T, x *Index) {
	const n = 10_000
	// What is in the socket itself is not counted here.
	sinks := make([]*sink, n)
	for i := range sinks {
		sinks[i] = &sink{id: fmt.Sprintf("%020d", i)}
	}
	idle := measure(n, func() {
		for _, s := range sinks {
			if err := x.Attach(&s.Member, s); err != nil {
				t.Fatal(err)
			}
			if err := x.Connect(&s.Member, nil); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Logf("idle member with its own room: %d B beside its Member", idle)
	if idle > 96 {
		t.Errorf("%d bytes per idle member, want at most 96", idle)
	}

	lobby := measure(n, func() { joinAll(t, x, sinks, "lobby") })
	t.Logf("first membership, in a large room: %d B", lobby)
	if lobby > 96 {
		t.Errorf("%d bytes for the first membership, want at most 96", lobby)
	}

	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("room", i)
	}
	tens := measure(10*n, func() {
		for i, s := range sinks {
			for k := range 10 {
				// Odd strides, so that the ten are in different shards.
				joinAll(t, x, []*sink{s}, names[(i+k*(n/10+1))%n])
			}
		}
	})
	t.Logf("membership in a room of 10: %d B, the room included", tens)
	if tens > 128 {
		t.Errorf("%d bytes per membership in rooms of 10, want at most 128", tens)
	}

	ones := measure(n, func() {
		for i, s := range sinks {
			joinAll(t, x, []*sink{s}, "only "+names[i])
		}
	})
	t.Logf("room of one: %d B, the membership included", ones)
	if ones > 320 {
		t.Errorf("%d bytes per room of one, want at most 320", ones)
	}

	left := measure(1, func() {
		for _, s := range sinks {
			x.Detach(&s.Member)
		}
	})
	checkEmpty(t, x)
	t.Logf("after everybody left: %d B per member given back", -left/n)
	runtime.KeepAlive(sinks)
	runtime.KeepAlive(names)
}

func TestBytesPerIndex(t *testing.T) {
	const n = 100
	indexes := make([]*Index, n)
	for _, c := range []struct {
		c    Config
		most int
	}{
		{Config{Shards: 8}, 8 << 10},
		{Config{Shards: 1, Stripes: 8}, 1 << 10},
	} {
		got := measure(n, func() {
			for i := range indexes {
				indexes[i] = NewIndex(c.c)
			}
		})
		t.Logf("empty index %+v: %d B", c.c, got)
		if got > c.most {
			t.Errorf("an empty index %+v is %d bytes, want at most %d", c.c, got, c.most)
		}
		clear(indexes)
	}
}
