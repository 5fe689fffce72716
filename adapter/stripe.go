package adapter

import (
	"hash/maphash"
	"sync"
)

// stripe is one of the tables from name to [name]. Its lock is held for a few
// map operations at a time, never while waiting for another lock than the event
// queue's.
type stripe struct {
	mu    sync.Mutex
	names map[string]name // guarded by mu; made on first use
}

// name is what one string means: the id of a socket, a room, or both, since
// every id is also the name of its owner's room. An entry without either is
// removed.
type name struct {
	// owner is the socket with this id, from Attach to Detach.
	//
	// Its membership in its own room is one bit, Member.inOwn, and never a
	// slot in room. So almost every socket's own room costs nothing, and a
	// socket that joins somebody else's own room creates an ordinary room
	// without touching the owner's shard.
	owner *Member
	// room holds all members but the owner; nil while there are none.
	room *room
}

// size returns the number of members, the owner included. The stripe's lock must
// be held.
func (n name) size() int {
	size := 0
	if n.room != nil {
		size = int(n.room.count)
	}
	if n.ownerIn() {
		size++
	}
	return size
}

func (n name) ownerIn() bool { return n.owner != nil && n.owner.inOwn }

func (x *Index) stripe(s string) *stripe { return &x.stripes[x.stripeIndex(s)] }

func (x *Index) stripeIndex(s string) int {
	return int(maphash.String(x.seed, s)) & (len(x.stripes) - 1)
}

// setLocked stores what s means now, or forgets it.
func (st *stripe) setLocked(s string, n name) {
	if n == (name{}) {
		delete(st.names, s)
		return
	}
	if st.names == nil {
		st.names = make(map[string]name)
	}
	st.names[s] = n
}
