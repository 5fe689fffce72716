package adapter

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestBroadcastSelects(t *testing.T) {
	x := NewIndex(Config{Shards: 2})
	a, b, c, d := newSock(t, x, "a"), newSock(t, x, "b"), newSock(t, x, "c"), newSock(t, x, "d")
	all := []*sock{a, b, c, d}
	mustJoin(t, x, a, "r", "s")
	mustJoin(t, x, b, "r")
	mustJoin(t, x, c, "s")
	for _, c := range []struct {
		o    Opts
		want []string
	}{
		{Opts{}, []string{"a", "b", "c", "d"}},
		{Opts{Rooms: []string{"r"}}, []string{"a", "b"}},
		{Opts{Rooms: []string{"r", "s"}}, []string{"a", "b", "c"}},
		{Opts{Rooms: []string{"r", "r", "a"}}, []string{"a", "b"}},
		{Opts{Rooms: []string{"d", "r"}}, []string{"a", "b", "d"}},
		{Opts{Rooms: []string{"d", "nowhere"}}, []string{"d"}},
		{Opts{Rooms: []string{"nowhere"}}, nil},
		{Opts{Rooms: []string{""}}, nil},
		{Opts{Except: []string{"r"}}, []string{"c", "d"}},
		{Opts{Except: []string{"nowhere"}}, []string{"a", "b", "c", "d"}},
		{Opts{Rooms: []string{"r"}, Except: []string{"s"}}, []string{"b"}},
		{Opts{Rooms: []string{"r"}, Except: []string{"r"}}, nil},
		{Opts{Rooms: []string{"r", "s"}, ExceptID: "a"}, []string{"b", "c"}},
		{Opts{Rooms: []string{"a"}, ExceptID: "a"}, nil},
		{Opts{Except: []string{"b"}, ExceptID: "a"}, []string{"c", "d"}},
		{Opts{ExceptID: "nobody"}, []string{"a", "b", "c", "d"}},
	} {
		t.Run(fmt.Sprintf("%v", c.o), func(t *testing.T) {
			wantIDs(t, receivers(x, c.o, all...), c.want...)
		})
	}
}

// Many excluded and few selected members take the other way through serve.
func TestBroadcastProbes(t *testing.T) {
	x := NewIndex(Config{Shards: 1})
	var all []*sock
	for i := range 50 {
		s := newSock(t, x, fmt.Sprint("s", i))
		mustJoin(t, x, s, "big")
		all = append(all, s)
	}
	mustJoin(t, x, all[0], "small")
	out := newSock(t, x, "out")
	mustJoin(t, x, out, "small")
	all = append(all, out)
	for i := range 2 * indexFrom { // looked up by map, too
		mustJoin(t, x, all[0], fmt.Sprint("more", i))
	}
	wantIDs(t, receivers(x, Opts{Rooms: []string{"small"}, Except: []string{"big"}}, all...), "out")
	wantIDs(t, receivers(x, Opts{Rooms: []string{"small", "out"}, Except: []string{"big", "nowhere"}}, all...), "out")
	wantIDs(t, receivers(x, Opts{Rooms: []string{"s7", "out"}, Except: []string{"big"}}, all...), "out")
	wantIDs(t, receivers(x, Opts{Rooms: []string{"small"}, Except: []string{"big", "out"}}, all...))
}

func TestBroadcastCountsTakers(t *testing.T) {
	x := NewIndex(Config{})
	a, b := newSock(t, x, "a"), newSock(t, x, "b")
	a.refuse = true
	if n := x.Broadcast(event("e"), Opts{}); n != 1 {
		t.Errorf("Broadcast = %d with one taker", n)
	}
	wantIDs(t, b.take(), "e")
}

type countingBatch struct {
	flushes int
	x       *Index
}

// Flush tries every lock there is. Nobody else uses the index meanwhile.
func (b *countingBatch) Flush() {
	b.flushes++
	for i := range b.x.shards {
		if !b.x.shards[i].mu.TryLock() {
			panic("flushed under an index lock")
		}
		b.x.shards[i].mu.Unlock()
	}
}

type batchSock struct {
	sock
	batch Batch
}

func (s *batchSock) Deliver(p Packet, b Batch) bool {
	s.batch = b
	return true
}

func TestBatchIsPassedAndFlushedOnce(t *testing.T) {
	x := NewIndex(Config{})
	s := &batchSock{sock: sock{id: "a"}}
	if err := x.Attach(&s.Member, s); err != nil {
		t.Fatal(err)
	}
	if err := x.Connect(&s.Member, nil); err != nil {
		t.Fatal(err)
	}
	for i, o := range []Opts{{}, {Rooms: []string{"a"}}, {Rooms: []string{"nowhere"}}} {
		b := &countingBatch{x: x}
		o.Batch = b
		s.batch = nil
		x.Broadcast(event("e"), o)
		if b.flushes != 1 {
			t.Errorf("%d flushes, want 1", b.flushes)
		}
		if i < 2 && s.batch != Batch(b) {
			t.Errorf("Deliver got batch %v", s.batch)
		}
	}
	x.Broadcast(event("e"), Opts{})
	if s.batch != nil {
		t.Errorf("Deliver got batch %v, want none", s.batch)
	}
}

// A stamp that comes round must not hide a member that was marked with it long
// ago.
func TestStampWrapsAround(t *testing.T) {
	x := NewIndex(Config{Shards: 1})
	a, b := newSock(t, x, "a"), newSock(t, x, "b")
	mustJoin(t, x, a, "r", "s")
	o := Opts{Rooms: []string{"r", "s"}}
	wantIDs(t, receivers(x, o, a, b), "a") // marks a with 1
	x.shards[0].stamp = math.MaxUint32
	wantIDs(t, receivers(x, o, a, b), "a") // 1 again
	if got := x.shards[0].stamp; got != 1 {
		t.Errorf("stamp = %d after the wrap", got)
	}
}

func TestHasReceivers(t *testing.T) {
	x := NewIndex(Config{})
	none := []Opts{{}, {Rooms: []string{"a"}}, {Rooms: []string{"r", "s"}}}
	for _, o := range none {
		if x.HasReceivers(o) {
			t.Errorf("HasReceivers(%v) in an empty index", o)
		}
	}
	a := newSock(t, x, "a")
	mustJoin(t, x, a, "s")
	for _, o := range none {
		if !x.HasReceivers(o) {
			t.Errorf("HasReceivers(%v) is false", o)
		}
	}
	if x.HasReceivers(Opts{Rooms: []string{"nowhere"}}) {
		t.Error("HasReceivers of an unknown room")
	}
}

// panicSock is a broken receiver.
type panicSock struct{ sock }

func (*panicSock) Deliver(Packet, Batch) bool { panic("deliver") }

func TestPanickingDeliverLeavesNoLock(t *testing.T) {
	x := NewIndex(Config{Shards: 1})
	bad := &panicSock{sock{id: "bad"}}
	if err := x.Attach(&bad.Member, bad); err != nil {
		t.Fatal(err)
	}
	if err := x.Connect(&bad.Member, nil); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		x.Broadcast(event("e"), Opts{})
	}()
	x.Detach(&bad.Member)
	good := newSock(t, x, "good")
	wantIDs(t, receivers(x, Opts{}, good), "good")
}

func TestBroadcastKeepsOrder(t *testing.T) {
	x := NewIndex(Config{})
	a := newSock(t, x, "a")
	mustJoin(t, x, a, "r")
	want := []string{"1", "2", "3", "4"}
	x.Broadcast(event("1"), Opts{})
	x.Broadcast(event("2"), Opts{Rooms: []string{"r"}})
	x.Broadcast(event("3"), Opts{Rooms: []string{"a"}})
	x.Broadcast(event("4"), Opts{Rooms: []string{"a", "r"}})
	if got := a.take(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
