package adapter

import (
	"fmt"
	"testing"
)

func TestSocketsStopsAndMayUseIndex(t *testing.T) {
	x := NewIndex(Config{Shards: 2})
	for i := range 10 {
		mustJoin(t, x, newSock(t, x, fmt.Sprint("s", i)), "r")
	}
	n := 0
	for r := range x.Sockets(Opts{Rooms: []string{"r"}}) {
		x.Leave(&r.(*sock).Member, "r")
		if n++; n == 3 {
			break
		}
	}
	if got := x.RoomSize("r"); n != 3 || got != 7 {
		t.Errorf("%d visited, %d left in the room", n, got)
	}
}

func TestAddAndDelSockets(t *testing.T) {
	x := NewIndex(Config{})
	a, b, c := newSock(t, x, "a"), newSock(t, x, "b"), newSock(t, x, "c")
	x.AddSockets(Opts{Rooms: []string{"a", "b"}}, []string{"r", "s"})
	wantIDs(t, receivers(x, Opts{Rooms: []string{"r"}}, a, b, c), "a", "b")
	x.DelSockets(Opts{Rooms: []string{"r"}, Except: []string{"b"}}, []string{"r", "a"})
	wantIDs(t, receivers(x, Opts{Rooms: []string{"r"}}, a, b, c), "b")
	wantIDs(t, x.Rooms(&a.Member), "s")
	checkIndex(t, x)
}

func TestDisconnectSockets(t *testing.T) {
	x := NewIndex(Config{})
	var got []string
	for _, id := range []string{"a", "b", "c"} {
		s := newSock(t, x, id)
		s.disconnected = func(close bool) {
			got = append(got, fmt.Sprint(id, close))
			x.Detach(&s.Member)
		}
	}
	x.DisconnectSockets(Opts{ExceptID: "b"}, true)
	wantIDs(t, got, "atrue", "ctrue")
	got = nil
	x.DisconnectSockets(Opts{}, false)
	wantIDs(t, got, "bfalse")
	checkEmpty(t, x)
}

func TestFetchSockets(t *testing.T) {
	x := NewIndex(Config{})
	a, b := newSock(t, x, "a"), newSock(t, x, "b")
	hidden := &sock{id: "hidden"}
	if err := x.Attach(&hidden.Member, hidden); err != nil {
		t.Fatal(err)
	}
	mustJoin(t, x, hidden, "r")
	mustJoin(t, x, a, "r")
	infos := x.FetchSockets(Opts{Rooms: []string{"r", "b"}})
	rooms := make(map[string][]string)
	for _, in := range infos {
		rooms[in.ID] = in.Rooms
		if in.Local != Receiver(a) && in.Local != Receiver(b) {
			t.Errorf("%s is not local", in.ID)
		}
	}
	if len(infos) != 2 {
		t.Errorf("%d sockets, want 2", len(infos))
	}
	wantIDs(t, rooms["a"], "a", "r")
	wantIDs(t, rooms["b"], "b")
}
