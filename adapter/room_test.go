package adapter

import (
	"fmt"
	"testing"
	"unsafe"
)

// A room that its members cross shard by shard must not collect empty lists.
func TestRoomDropsEmptyLists(t *testing.T) {
	x := NewIndex(Config{Shards: 64})
	stay := newSock(t, x, "stay")
	mustJoin(t, x, stay, "r")
	var guests []*sock
	for i := range 640 {
		s := newSock(t, x, fmt.Sprint("s", i))
		mustJoin(t, x, s, "r")
		guests = append(guests, s)
	}
	r := x.stripe("r").names["r"].room
	if n := len(r.lists); n != 64 {
		t.Errorf("%d lists, want 64", n)
	}
	for i, s := range guests {
		x.Leave(&s.Member, "r")
		if i%16 == 0 {
			checkIndex(t, x)
		}
	}
	checkIndex(t, x)
	if n := len(r.lists); n > 8 {
		t.Errorf("%d lists for one member", n)
	}
	wantIDs(t, receivers(x, Opts{Rooms: []string{"r"}}, append(guests, stay)...), "stay")
}

// Lists of a room and of a shard give memory back after a crowd.
func TestListsShrink(t *testing.T) {
	x := NewIndex(Config{Shards: 1})
	var crowd []*sock
	for i := range 1000 {
		s := newSock(t, x, fmt.Sprint("s", i))
		mustJoin(t, x, s, "r")
		crowd = append(crowd, s)
	}
	for _, s := range crowd[1:] {
		x.Detach(&s.Member)
	}
	if n := cap(x.shards[0].members); n > minShrink {
		t.Errorf("the shard keeps room for %d members", n)
	}
	if n := cap(crowd[0].Member.joined.items[0].list.entries); n > minShrink {
		t.Errorf("the room keeps room for %d members", n)
	}
	checkIndex(t, x)
}

// The index must not keep the message alive from which a room's name was cut.
func TestRoomKeepsItsOwnName(t *testing.T) {
	x := NewIndex(Config{})
	a := newSock(t, x, "a")
	message := string(make([]byte, 1000)) + "lobby"
	mustJoin(t, x, a, message[1000:])
	name := x.Rooms(&a.Member)[1]
	if name != "lobby" || unsafe.StringData(name) == unsafe.StringData(message[1000:]) {
		t.Errorf("room %q shares the caller's memory", name)
	}
	for key := range x.stripe("lobby").names {
		if key == "lobby" && unsafe.StringData(key) != unsafe.StringData(name) {
			t.Error("the table holds another copy of the name")
		}
	}
}
