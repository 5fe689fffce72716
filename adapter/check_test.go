package adapter

import (
	"math/bits"
	"testing"
)

// checkIndex fails the test if the structures of x contradict each other. Nobody
// else may use x meanwhile.
func checkIndex(t testing.TB, x *Index) {
	t.Helper()
	memberships, slots := 0, 0
	for i := range x.stripes {
		for s, n := range x.stripes[i].names {
			if x.stripeIndex(s) != i {
				t.Fatalf("name %q in stripe %d", s, i)
			}
			if n == (name{}) {
				t.Fatalf("name %q means nothing", s)
			}
			if n.owner != nil {
				memberships += checkMember(t, x, s, n.owner)
			}
			if n.room != nil {
				slots += checkRoom(t, x, s, i, n.room)
			}
		}
	}
	if memberships != slots {
		t.Fatalf("members are in %d rooms, rooms have %d members", memberships, slots)
	}
	for i := range x.shards {
		s := &x.shards[i]
		if int(s.connected.Load()) != len(s.members) {
			t.Fatalf("shard %d counts %d of %d members", i, s.connected.Load(), len(s.members))
		}
		for pos, m := range s.members {
			if int(m.pos) != pos || int(m.shard) != i || m.state != stateConnected {
				t.Fatalf("member %d of shard %d: pos %d, shard %d, state %d", pos, i, m.pos, m.shard, m.state)
			}
			if x.stripe(m.recv.ID()).names[m.recv.ID()].owner != m {
				t.Fatalf("member %q is not known by its id", m.recv.ID())
			}
		}
	}
}

func checkMember(t testing.TB, x *Index, id string, m *Member) int {
	t.Helper()
	if m.recv.ID() != id || (m.state != stateAttached && m.state != stateConnected) {
		t.Fatalf("owner of %q: id %q, state %d", id, m.recv.ID(), m.state)
	}
	if m.joined == nil {
		return 0
	}
	items, index := m.joined.items, m.joined.index
	if index != nil && len(index) != len(items) {
		t.Fatalf("member %q: %d memberships, %d in the index", id, len(items), len(index))
	}
	if len(items) > indexFrom && index == nil {
		t.Fatalf("member %q: %d memberships and no index", id, len(items))
	}
	for i, ms := range items {
		if e := ms.list.entries[ms.slot]; e.m != m || int(e.back) != i {
			t.Fatalf("member %q: membership %d points to another", id, i)
		}
		if index != nil && int(index[ms.list]) != i {
			t.Fatalf("member %q: membership %d indexed as %d", id, i, index[ms.list])
		}
		if r := ms.list.room; x.stripe(r.name).names[r.name].room != r {
			t.Fatalf("member %q is in room %q, which is gone", id, r.name)
		}
	}
	return len(items)
}

func checkRoom(t testing.TB, x *Index, s string, stripe int, r *room) int {
	t.Helper()
	if r.name != s || int(r.stripe) != stripe {
		t.Fatalf("room %q in stripe %d says %q, %d", s, stripe, r.name, r.stripe)
	}
	if bits.OnesCount64(r.present) != len(r.lists) || r.live&^r.present != 0 {
		t.Fatalf("room %q: %d lists, present %b, live %b", s, len(r.lists), r.present, r.live)
	}
	n := 0
	for shard := range uint8(len(x.shards)) {
		l := r.listLocked(shard)
		if live := r.live>>shard&1 == 1; live != (l != nil && len(l.entries) > 0) {
			t.Fatalf("room %q shard %d: live %v is wrong", s, shard, live)
		}
		if l == nil {
			continue
		}
		if l.room != r {
			t.Fatalf("room %q: a list of another room", s)
		}
		for slot, e := range l.entries {
			if e.m.shard != shard {
				t.Fatalf("room %q shard %d: member of shard %d", s, shard, e.m.shard)
			}
			if ms := e.m.joined.items[e.back]; ms.list != l || int(ms.slot) != slot {
				t.Fatalf("room %q: entry %d points to another membership", s, slot)
			}
			if x.stripe(e.m.recv.ID()).names[e.m.recv.ID()].owner != e.m {
				t.Fatalf("room %q: member %q is not attached", s, e.m.recv.ID())
			}
		}
		n += len(l.entries)
	}
	if n == 0 || n != int(r.count) {
		t.Fatalf("room %q: %d members, count %d", s, n, r.count)
	}
	return n
}

// checkEmpty fails the test if anything is left in x.
func checkEmpty(t testing.TB, x *Index) {
	t.Helper()
	checkIndex(t, x)
	for i := range x.stripes {
		for s := range x.stripes[i].names {
			t.Errorf("name %q is left", s)
		}
	}
	if n := x.Len(); n != 0 {
		t.Errorf("%d members are left", n)
	}
}
