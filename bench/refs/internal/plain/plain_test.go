package plain

import (
	"maps"
	"slices"
	"testing"
)

func TestRooms(t *testing.T) {
	r := NewRooms[int]()
	want := func(room string, want ...int) {
		t.Helper()
		got := make(map[int]bool)
		r.Each(room, func(m int) { got[m] = true })
		if members := slices.Sorted(maps.Keys(got)); !slices.Equal(members, want) {
			t.Errorf("room %s has %v, want %v", room, members, want)
		}
	}
	r.Join(1, "a")
	r.Join(1, "a")
	r.Join(2, "a")
	r.Join(2, "b")
	want("a", 1, 2)
	r.Leave(1, "a")
	r.Leave(1, "a")
	r.Leave(3, "nowhere")
	want("a", 2)
	r.LeaveAll(2)
	want("a")
	want("b")
	if len(r.rooms) != 0 {
		t.Errorf("%d rooms are left", len(r.rooms))
	}
}
