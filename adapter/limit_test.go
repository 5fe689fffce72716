package adapter

import (
	"errors"
	"testing"
)

func TestLimitRooms(t *testing.T) {
	x := NewIndex(Config{})
	x.LimitRooms(3)
	a := newSock(t, x, "a")
	mustJoin(t, x, a, "1", "2")
	mustJoin(t, x, a, "1", "2", "2", "a", "3") // one more, really
	for _, rooms := range [][]string{{"4"}, {"1", "4"}, {"4", "5", "6", "7"}} {
		if err := x.Join(&a.Member, rooms...); !errors.Is(err, ErrTooManyRooms) {
			t.Errorf("joining %q: %v", rooms, err)
		}
	}
	if n := x.RoomSize("4"); n != 0 {
		t.Errorf("%d sockets are in the room that was refused", n)
	}
	mustJoin(t, x, a, "3")
	x.Leave(&a.Member, "1")
	mustJoin(t, x, a, "4")
	x.AddSockets(Opts{}, []string{"5"}) // refused, without a word
	if n := len(x.Rooms(&a.Member)); n != 4 {
		t.Errorf("the socket is in %d rooms", n)
	}
	x.LimitRooms(0)
	mustJoin(t, x, a, "5", "6", "7")
	checkIndex(t, x)
}

func TestRoomCount(t *testing.T) {
	x := NewIndex(Config{})
	a, b := newSock(t, x, "a"), newSock(t, x, "b")
	want := func(n int) {
		t.Helper()
		if got := x.RoomCount(); got != n {
			t.Errorf("%d rooms, want %d", got, n)
		}
	}
	want(0)
	mustJoin(t, x, a, "r", "s")
	mustJoin(t, x, b, "r", "a") // a visitor in a socket's own room
	want(3)
	x.Leave(&b.Member, "r", "a")
	want(2)
	x.Leave(&a.Member, "r")
	want(1)
	x.Detach(&a.Member)
	x.Detach(&b.Member)
	want(0)
}
