package adapter

import "testing"

// What changes between the look-up of a room and the visit of a shard must not
// bring a packet to anybody who has left by then.
func TestLeaveBetweenResolveAndServe(t *testing.T) {
	x := NewIndex(Config{Shards: 1})
	a, b, c := newSock(t, x, "a"), newSock(t, x, "b"), newSock(t, x, "c")
	mustJoin(t, x, b, "r")
	mustJoin(t, x, c, "r")
	serve := func(targets []target) {
		x.shards[0].serve(&visitor{p: event("e")}, 0, false, targets, nil)
	}

	targets := x.resolve(nil, "a", "r", "c")
	x.Leave(&a.Member, "a")
	x.Leave(&b.Member, "r")
	serve(targets)
	if len(a.take()) > 0 || len(b.take()) > 0 {
		t.Error("a packet after Leave")
	}
	wantIDs(t, c.take(), "e")

	targets = x.resolve(nil, "r", "c")
	x.Detach(&c.Member)
	mustJoin(t, x, b, "r") // a new room with the old name
	serve(targets)
	if len(c.take()) > 0 {
		t.Error("a packet after Detach")
	}
	wantIDs(t, receivers(x, Opts{Rooms: []string{"r"}}, a, b, c), "b")
}

// Members whose list is in the snapshot are found although the room got lists
// for other shards since.
func TestRoomGrowsBetweenResolveAndServe(t *testing.T) {
	x := NewIndex(Config{Shards: 8})
	socks := make([]*sock, 8)
	for i := range socks {
		socks[i] = newSock(t, x, string(rune('a'+i)))
	}
	mustJoin(t, x, socks[4], "r")
	targets := x.resolve(nil, "r")
	for _, s := range socks {
		mustJoin(t, x, s, "r")
	}
	for i := range x.shards {
		x.shards[i].serve(&visitor{p: event("e")}, uint8(i), false, targets, nil)
	}
	for i, s := range socks {
		if got := len(s.take()); (got == 1) != (i == 4) {
			t.Errorf("member %d got %d packets", i, got)
		}
	}
}
