package adapter

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
)

func TestDuplicateID(t *testing.T) {
	x := NewIndex(Config{})
	a := newSock(t, x, "a")
	twin := &sock{id: "a"}
	if err := x.Attach(&twin.Member, twin); !errors.Is(err, ErrDuplicateID) {
		t.Fatalf("second attach: %v", err)
	}
	if err := x.Join(&twin.Member, "r"); !errors.Is(err, ErrDetached) {
		t.Errorf("join of a refused member: %v", err)
	}
	x.Detach(&twin.Member) // must not free the id of the other
	wantIDs(t, receivers(x, Opts{Rooms: []string{"a"}}, a, twin), "a")
	x.Detach(&a.Member)
	if err := x.Attach(&twin.Member, twin); err != nil {
		t.Errorf("attach after the id was freed: %v", err)
	}
	checkIndex(t, x)
}

// A socket in a middleware may join rooms, and broadcasts pass it by.
func TestReceivesOnlyWhileConnected(t *testing.T) {
	x := NewIndex(Config{})
	a := &sock{id: "a"}
	if err := x.Attach(&a.Member, a); err != nil {
		t.Fatal(err)
	}
	mustJoin(t, x, a, "r")
	for _, o := range []Opts{{}, {Rooms: []string{"r"}}, {Rooms: []string{"a", "r"}}} {
		wantIDs(t, receivers(x, o, a))
	}
	if x.RoomSize("a") != 0 || x.RoomSize("r") != 1 {
		t.Errorf("rooms before Connect: %q", x.AllRooms())
	}
	if err := x.Connect(&a.Member, nil); err != nil {
		t.Fatal(err)
	}
	if err := x.Connect(&a.Member, nil); err != nil {
		t.Errorf("second Connect: %v", err)
	}
	for _, o := range []Opts{{}, {Rooms: []string{"r"}}, {Rooms: []string{"a", "r"}}} {
		wantIDs(t, receivers(x, o, a), "a")
	}
	x.Detach(&a.Member)
	x.Detach(&a.Member)
	for _, o := range []Opts{{}, {Rooms: []string{"r"}}, {Rooms: []string{"a", "r"}}} {
		wantIDs(t, receivers(x, o, a))
	}
	checkEmpty(t, x)
}

// A restored session joins its old rooms, its own one included, before Connect.
func TestJoinOwnRoomBeforeConnect(t *testing.T) {
	x := NewIndex(Config{})
	a := &sock{id: "a"}
	if err := x.Attach(&a.Member, a); err != nil {
		t.Fatal(err)
	}
	mustJoin(t, x, a, "a", "r")
	wantIDs(t, receivers(x, Opts{Rooms: []string{"a"}}, a))
	if err := x.Connect(&a.Member, nil); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, receivers(x, Opts{Rooms: []string{"a"}}, a), "a")
	wantIDs(t, x.Rooms(&a.Member), "a", "r")
}

func TestAttachTwicePanics(t *testing.T) {
	x := NewIndex(Config{})
	a := newSock(t, x, "a")
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_ = x.Attach(&a.Member, a)
}

// What first queues comes before any broadcast, and no broadcast is missed after
// it: each socket sees a run of the news without a gap.
func TestConnectFirst(t *testing.T) {
	x := NewIndex(Config{Shards: 1})
	all := attachListener(t, x, "all")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := 0; ; seq++ {
			select {
			case <-stop:
				return
			default:
				x.Broadcast(numbered{seq: seq}, Opts{})
			}
		}
	})
	const n = 50
	guests, starts := make([]*listener, n), make([]int, n)
	for i := range guests {
		g := &listener{id: fmt.Sprint("g", i)}
		guests[i] = g
		if err := x.Attach(&g.Member, g); err != nil {
			t.Fatal(err)
		}
		calls := 0
		first := func() {
			calls++
			starts[i] = len(all.got)
			if len(g.got) > 0 {
				t.Errorf("got %v before first", g.got)
			}
		}
		for range 2 {
			if err := x.Connect(&g.Member, first); err != nil {
				t.Fatal(err)
			}
		}
		if calls != 1 {
			t.Errorf("first was called %d times", calls)
		}
		for len(g.take(x)) < 10 {
			runtime.Gosched() // the sender never stops
		}
		x.Detach(&g.Member)
	}
	close(stop)
	wg.Wait()
	for i, g := range guests {
		if want := all.got[starts[i]:][:len(g.got)]; !slices.Equal(g.got, want) {
			t.Errorf("%s got %v, want %v", g.id, g.got, want)
		}
	}
}

// What first queues may reach the client before first has returned. From then on
// others may know the id and send to it.
func TestConnectFirstFindsTheSocket(t *testing.T) {
	x := NewIndex(Config{Shards: 1})
	a := &listener{id: "a"}
	if err := x.Attach(&a.Member, a); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	first := func() {
		wg.Go(func() { x.Broadcast(numbered{seq: 7}, Opts{Rooms: []string{"a"}}) })
		for range 1000 {
			runtime.Gosched() // time for a broadcast that does not wait for us
		}
	}
	if err := x.Connect(&a.Member, first); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if got := a.take(x); !slices.Equal(got, []numbered{{seq: 7}}) {
		t.Errorf("got %v, want what was sent to the id", got)
	}
}

func TestPanickingFirstLeavesNoLock(t *testing.T) {
	x := NewIndex(Config{Shards: 1})
	a := &sock{id: "a"}
	if err := x.Attach(&a.Member, a); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = x.Connect(&a.Member, func() { panic("first") })
	}()
	x.Detach(&a.Member)
	checkEmpty(t, x)
}
