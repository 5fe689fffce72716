package adapter

import "strings"

// memberships are the rooms one member is in, its own room excepted, in no
// particular order. Guarded by the member's shard.
type memberships struct {
	items []membership
	// index finds a list's position among many; nil while a scan is as fast.
	index map[*list]uint32
}

// membership is one end of the link between a member and a room; [entry] is the
// other: list.entries[slot].m is the member, and .back the membership's index.
type membership struct {
	list *list
	slot uint32
}

// More memberships than indexFrom are found through a map; it is dropped when
// fewer than indexUntil are left. The gap keeps a member at the limit from
// building it again and again.
const (
	indexFrom  = 32
	indexUntil = 16
)

// find returns the position of l, or false.
func (ms *memberships) find(l *list) (uint32, bool) {
	if ms == nil {
		return 0, false
	}
	if ms.index != nil {
		i, ok := ms.index[l]
		return i, ok
	}
	for i := range ms.items {
		if ms.items[i].list == l {
			return uint32(i), true
		}
	}
	return 0, false
}

// linkLocked adds m to l, both ends at once. The lock of m's shard must be held,
// and m must not be in l.
func (m *Member) linkLocked(l *list) {
	ms := m.joined
	if ms == nil {
		ms = new(memberships)
		m.joined = ms
	}
	back := uint32(len(ms.items))
	ms.items = append(ms.items, membership{list: l, slot: uint32(len(l.entries))})
	l.entries = append(l.entries, entry{m: m, back: back})
	switch {
	case ms.index != nil:
		ms.index[l] = back
	case len(ms.items) > indexFrom:
		ms.index = make(map[*list]uint32, 2*len(ms.items))
		for i := range ms.items {
			ms.index[ms.items[i].list] = uint32(i)
		}
	}
}

// unlinkLocked removes membership i from both ends. The last element of each
// list takes the free place. The lock of m's shard must be held.
func (m *Member) unlinkLocked(i uint32) {
	ms := m.joined
	gone := ms.items[i]

	// The other members of the list live in the same shard, so the lock covers
	// the one that moves, too.
	entries := gone.list.entries
	moved := entries[len(entries)-1]
	entries[gone.slot] = moved
	moved.m.joined.items[moved.back].slot = gone.slot
	gone.list.entries = dropLast(entries)

	last := ms.items[len(ms.items)-1]
	ms.items[i] = last
	if last.list != gone.list {
		last.list.entries[last.slot].back = i
	}
	ms.items = dropLast(ms.items)

	if ms.index != nil {
		if len(ms.items) < indexUntil {
			ms.index = nil
			return
		}
		ms.index[last.list] = i
		delete(ms.index, gone.list)
	}
}

// Join adds the socket to rooms; those it is in already are skipped. A broadcast
// sees it in all of them or in none. It returns ErrDetached, and joins nothing,
// if the socket is not attached; or ErrTooManyRooms, see LimitRooms.
//
// The index keeps its own copy of a new room's name.
func (x *Index) Join(m *Member, rooms ...string) error {
	s := &x.shards[m.shard]
	s.mu.Lock()
	if m.state != stateAttached && m.state != stateConnected {
		s.mu.Unlock()
		return ErrDetached
	}
	if !x.roomForLocked(m, rooms) {
		s.mu.Unlock()
		return ErrTooManyRooms
	}
	for _, r := range rooms {
		x.joinLocked(m, r)
	}
	s.mu.Unlock()
	x.events.drain()
	return nil
}

// Leave takes the socket out of rooms; those it is not in are skipped. A socket
// may leave its own room: it is then no longer reached by its id.
func (x *Index) Leave(m *Member, rooms ...string) {
	s := &x.shards[m.shard]
	s.mu.Lock()
	for _, r := range rooms {
		x.leaveLocked(m, r)
	}
	s.mu.Unlock()
	x.events.drain()
}

// joinLocked adds m to the room. The lock of m's shard must be held, and m must
// be attached.
func (x *Index) joinLocked(m *Member, room string) {
	i := x.stripeIndex(room)
	st := &x.stripes[i]
	st.mu.Lock()
	defer st.mu.Unlock()
	n := st.names[room]
	first := n.size() == 0
	if n.owner == m {
		if m.inOwn {
			return
		}
		m.inOwn = true
	} else {
		if n.room == nil {
			n.room = newRoom(strings.Clone(room), uint32(i))
			x.rooms.Add(1)
			st.setLocked(n.room.name, n)
		}
		if !n.room.addLocked(m) {
			return
		}
		room = n.room.name
	}
	x.events.joinedLocked(room, m, first)
}

// leaveLocked takes m out of the room. The lock of m's shard must be held.
func (x *Index) leaveLocked(m *Member, room string) {
	st := x.stripe(room)
	st.mu.Lock()
	n := st.names[room]
	if n.owner == m {
		if m.inOwn {
			m.inOwn = false
			x.events.leftLocked(room, room, n.size() == 0)
		}
		st.mu.Unlock()
		return
	}
	var at uint32
	ok := false
	if n.room != nil {
		if l := n.room.listLocked(m.shard); l != nil {
			at, ok = m.joined.find(l)
		}
	}
	if ok {
		x.unlinkRoomLocked(st, m, at)
	}
	st.mu.Unlock()
}

// quitLocked ends membership i of m. The lock of m's shard must be held.
func (x *Index) quitLocked(m *Member, i uint32) {
	st := &x.stripes[m.joined.items[i].list.room.stripe]
	st.mu.Lock()
	x.unlinkRoomLocked(st, m, i)
	st.mu.Unlock()
}

// unlinkRoomLocked ends membership i of m and removes the room with its last
// member. The locks of m's shard and of the room's stripe must be held.
func (x *Index) unlinkRoomLocked(st *stripe, m *Member, i uint32) {
	r := m.joined.items[i].list.room
	r.removeLocked(m, i)
	n := st.names[r.name]
	if r.count == 0 {
		x.rooms.Add(-1)
		n.room = nil
		st.setLocked(r.name, n)
	}
	x.events.leftLocked(r.name, m.recv.ID(), n.size() == 0)
}
