package adapter

import "math/bits"

// room is a named set of members, without the owner of that name (see [name]).
// It exists while it has members: the last one to leave removes it from its
// stripe, under the stripe's lock.
//
// The fields are guarded by the stripe's lock, the content of each list by its
// shard's. A broadcast copies lists, present and live under the stripe's lock
// and then visits one shard after the other. It may miss whoever joins in the
// meantime, but nobody who was in the room before: as long as such a member
// stays, its list stays in lists and the array it saw is never written to.
type room struct {
	name   string
	lists  []*list // one per shard in present, by shard; replaced, never changed
	count  int32   // members in all lists
	stripe uint32  // where name lives

	present uint64 // shards that have a list
	live    uint64 // shards whose list is not empty
}

// list is the members of one room in one shard, in no particular order. entries
// is guarded by the shard's lock, room is immutable.
type list struct {
	room    *room
	entries []entry
}

// entry is one member in a list. back is the index of the [membership] that
// points here, so that either end can move the other.
type entry struct {
	m    *Member
	back uint32
}

// rank returns the position of a shard's list.
func rank(present uint64, shard uint8) int {
	return bits.OnesCount64(present & (1<<shard - 1))
}

// listLocked returns the shard's list, or nil. The stripe's lock must be held.
func (r *room) listLocked(shard uint8) *list {
	if r.present>>shard&1 == 0 {
		return nil
	}
	return r.lists[rank(r.present, shard)]
}

// growLocked gives the shard a list. The stripe's lock must be held.
func (r *room) growLocked(shard uint8) *list {
	i := rank(r.present, shard)
	lists := make([]*list, len(r.lists)+1)
	copy(lists, r.lists[:i])
	copy(lists[i+1:], r.lists[i:])
	lists[i] = &list{room: r}
	r.lists = lists
	r.present |= 1 << shard
	return lists[i]
}

// vacateLocked notes that the shard's list is empty. Empty lists are kept for
// the next member, unless most of them are empty. The stripe's lock must be held.
func (r *room) vacateLocked(shard uint8) {
	r.live &^= 1 << shard
	if len(r.lists) < 8 || bits.OnesCount64(r.live) > len(r.lists)/4 {
		return
	}
	lists := make([]*list, 0, bits.OnesCount64(r.live))
	for live := r.live; live != 0; live &= live - 1 {
		lists = append(lists, r.listLocked(uint8(bits.TrailingZeros64(live))))
	}
	r.lists = lists
	r.present = r.live
}

func newRoom(name string, stripe uint32) *room { return &room{name: name, stripe: stripe} }

// addLocked adds m and reports whether it was not in the room before. The locks
// of m's shard and of the stripe must be held.
func (r *room) addLocked(m *Member) bool {
	l := r.listLocked(m.shard)
	if l == nil {
		l = r.growLocked(m.shard)
	} else if _, in := m.joined.find(l); in {
		return false
	}
	m.linkLocked(l)
	r.live |= 1 << m.shard
	r.count++
	return true
}

// removeLocked ends membership i of m, which must be one of this room. The locks
// of m's shard and of the stripe must be held.
func (r *room) removeLocked(m *Member, i uint32) {
	l := m.joined.items[i].list
	m.unlinkLocked(i)
	r.count--
	if len(l.entries) == 0 {
		r.vacateLocked(m.shard)
	}
}
