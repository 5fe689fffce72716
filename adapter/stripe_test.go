package adapter

import (
	"slices"
	"testing"
)

// The room named by a socket's id costs nothing while only the owner is in it,
// and nobody can tell.
func TestOwnRoom(t *testing.T) {
	x := NewIndex(Config{})
	var events []RoomEvent
	x.Observe(func(e RoomEvent) { events = append(events, e) })
	want := func(es ...RoomEvent) {
		t.Helper()
		if !slices.Equal(events, es) {
			t.Errorf("events %v, want %v", events, es)
		}
		events = nil
	}
	own := Opts{Rooms: []string{"a"}}

	a, b := newSock(t, x, "a"), newSock(t, x, "b")
	want(RoomEvent{CreateRoom, "a", ""}, RoomEvent{JoinRoom, "a", "a"},
		RoomEvent{CreateRoom, "b", ""}, RoomEvent{JoinRoom, "b", "b"})
	wantIDs(t, x.AllRooms(), "a", "b")
	wantIDs(t, receivers(x, own, a, b), "a")
	wantIDs(t, receivers(x, Opts{Except: []string{"a"}}, a, b), "b")
	wantIDs(t, receivers(x, Opts{ExceptID: "a"}, a, b), "b")

	// Somebody else joins: one room with two members.
	mustJoin(t, x, b, "a")
	want(RoomEvent{JoinRoom, "a", "b"})
	wantIDs(t, receivers(x, own, a, b), "a", "b")
	wantIDs(t, receivers(x, Opts{ExceptID: "a"}, a, b))
	wantIDs(t, x.Rooms(&b.Member), "a", "b")
	if n := x.RoomSize("a"); n != 2 {
		t.Errorf("RoomSize(a) = %d, want 2", n)
	}

	// The owner leaves: the room stays, the id still finds the socket.
	x.Leave(&a.Member, "a")
	want(RoomEvent{LeaveRoom, "a", "a"})
	wantIDs(t, receivers(x, own, a, b), "b")
	wantIDs(t, x.Rooms(&a.Member))
	if x.Lookup("a") != a {
		t.Error("Lookup(a) after leaving the own room")
	}

	x.Leave(&b.Member, "a")
	want(RoomEvent{LeaveRoom, "a", "b"}, RoomEvent{DeleteRoom, "a", ""})
	wantIDs(t, receivers(x, own, a, b))
	if x.HasRoom("a") || x.HasReceivers(own) {
		t.Error("room a still exists")
	}

	// And comes back.
	mustJoin(t, x, a, "a")
	want(RoomEvent{CreateRoom, "a", ""}, RoomEvent{JoinRoom, "a", "a"})
	wantIDs(t, receivers(x, own, a, b), "a")
	mustJoin(t, x, a, "a")
	want()

	// The room outlives its owner, and a socket that takes the id joins it.
	mustJoin(t, x, b, "a")
	x.Detach(&a.Member)
	want(RoomEvent{JoinRoom, "a", "b"}, RoomEvent{LeaveRoom, "a", "a"})
	wantIDs(t, receivers(x, own, b), "b")
	again := newSock(t, x, "a")
	want(RoomEvent{JoinRoom, "a", "a"})
	wantIDs(t, receivers(x, own, again, b), "a", "b")

	x.Detach(&again.Member)
	x.Detach(&b.Member)
	checkEmpty(t, x)
}
