package adapter

import (
	"slices"
	"testing"
)

func TestEventKindNames(t *testing.T) {
	for k, want := range map[EventKind]string{
		CreateRoom: "create-room", JoinRoom: "join-room", LeaveRoom: "leave-room", DeleteRoom: "delete-room", 0: "unknown",
	} {
		if k.String() != want {
			t.Errorf("EventKind(%d) = %q, want %q", k, k, want)
		}
	}
}

func TestObserve(t *testing.T) {
	x := NewIndex(Config{})
	a, b := newSock(t, x, "a"), newSock(t, x, "b")
	var first, second []RoomEvent
	stopFirst := x.Observe(func(e RoomEvent) { first = append(first, e) })
	stopSecond := x.Observe(func(e RoomEvent) { second = append(second, e) })

	mustJoin(t, x, a, "r", "r")
	mustJoin(t, x, a, "r")
	stopSecond()
	mustJoin(t, x, b, "r")
	x.Leave(&a.Member, "r", "nowhere")
	x.Leave(&a.Member, "r")
	x.Detach(&b.Member)
	stopFirst()
	stopFirst()
	x.Detach(&a.Member)

	join := []RoomEvent{{CreateRoom, "r", ""}, {JoinRoom, "r", "a"}}
	if !slices.Equal(second, join) {
		t.Errorf("second observer: %v, want %v", second, join)
	}
	want := append(join, RoomEvent{JoinRoom, "r", "b"}, RoomEvent{LeaveRoom, "r", "a"},
		RoomEvent{LeaveRoom, "b", "b"}, RoomEvent{DeleteRoom, "b", ""},
		RoomEvent{LeaveRoom, "r", "b"}, RoomEvent{DeleteRoom, "r", ""})
	if !slices.Equal(first, want) {
		t.Errorf("first observer: %v, want %v", first, want)
	}
	checkEmpty(t, x)
}

// A hook may change the index; what it causes comes after what it is called for.
func TestObserverUsesIndex(t *testing.T) {
	x := NewIndex(Config{Shards: 1, Stripes: 1})
	a := newSock(t, x, "a")
	var got []string
	x.Observe(func(e RoomEvent) {
		got = append(got, e.Kind.String()+" "+e.Room)
		if e.Kind == JoinRoom && e.Room == "r" {
			_ = x.Join(&a.Member, "next")
			x.Broadcast(event("joined"), Opts{Rooms: []string{"next"}})
		}
	})
	mustJoin(t, x, a, "r", "s")
	want := []string{"create-room r", "join-room r", "create-room s", "join-room s", "create-room next", "join-room next"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	wantIDs(t, a.take(), "joined")
}

// A hook that panics costs its event, not the ones behind it.
func TestPanickingObserver(t *testing.T) {
	x := NewIndex(Config{})
	a := newSock(t, x, "a")
	var got []RoomEvent
	x.Observe(func(e RoomEvent) {
		if e.Kind == CreateRoom {
			panic("hook")
		}
		got = append(got, e)
	})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = x.Join(&a.Member, "r")
	}()
	x.Leave(&a.Member, "r")
	want := []RoomEvent{{JoinRoom, "r", "a"}, {LeaveRoom, "r", "a"}, {DeleteRoom, "r", ""}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHold(t *testing.T) {
	x := NewIndex(Config{})
	var got []string
	x.Observe(func(e RoomEvent) { got = append(got, e.Kind.String()) })
	one, two := x.Hold(), x.Hold()
	a := newSock(t, x, "a")
	mustJoin(t, x, a, "r")
	one()
	if got != nil {
		t.Errorf("hooks were called while held: %v", got)
	}
	two()
	if want := []string{"create-room", "join-room", "create-room", "join-room"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	x.Detach(&a.Member)
	if len(got) != 8 {
		t.Errorf("got %v", got)
	}
}
