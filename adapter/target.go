package adapter

// target is a name resolved for a broadcast: a snapshot of the room, and the
// owner of the name if it is in its own room.
type target struct {
	lists   []*list
	present uint64
	live    uint64
	one     *Member
}

// fewTargets is how many rooms a broadcast resolves without allocating.
const fewTargets = 8

// resolve appends what names mean now to dst, leaving out those without members.
func (x *Index) resolve(dst []target, names ...string) []target {
	for _, s := range names {
		var t target
		st := x.stripe(s)
		st.mu.Lock()
		n := st.names[s]
		if r := n.room; r != nil {
			t.lists, t.present, t.live = r.lists, r.present, r.live
		}
		if n.ownerIn() {
			t.one = n.owner
		}
		st.mu.Unlock()
		if t.live != 0 || t.one != nil {
			dst = append(dst, t)
		}
	}
	return dst
}

// shards returns the set of shards with members.
func (t *target) shards() uint64 {
	set := t.live
	if t.one != nil {
		set |= 1 << t.one.shard
	}
	return set
}

// list returns the shard's list, or nil.
func (t *target) list(shard uint8) *list {
	if t.live>>shard&1 == 0 {
		return nil
	}
	return t.lists[rank(t.present, shard)]
}

// ownerLocked returns the owner of the name if it is in its own room, in this shard,
// and connected; else nil. The shard's lock must be held.
func (t *target) ownerLocked(shard uint8) *Member {
	if m := t.one; m != nil && m.shard == shard && m.inOwn && m.state == stateConnected {
		return m
	}
	return nil
}
