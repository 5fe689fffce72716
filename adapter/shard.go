package adapter

import (
	"math"
	"sync"
	"sync/atomic"
)

// shard is one part of the members of an index. Its lock guards everything that
// belongs to them: state, memberships, broadcast stamps, and the lists in which
// rooms keep the members of this shard. A broadcast holds it while it serves
// the shard, so all receivers of a shard see all broadcasts in one order.
type shard struct {
	mu sync.Mutex

	// guarded by mu
	stamp   uint32
	members []*Member // the connected ones; Member.pos is the slot

	// connected is len(members), written under mu, readable without.
	connected atomic.Int32

	_ [80]byte // a shard per pair of cache lines: neighbours do not slow each other
}

// nextStampLocked starts a new round of "seen" marks: a member whose stamp
// differs from the result has not been seen.
func (s *shard) nextStampLocked() uint32 {
	if s.stamp == math.MaxUint32 {
		// Once in four billion rounds old marks could look like new ones. Only
		// connected members are ever marked.
		for _, m := range s.members {
			m.stamp = 0
		}
		s.stamp = 0
	}
	s.stamp++
	return s.stamp
}

func (s *shard) addLocked(m *Member) {
	m.pos = uint32(len(s.members))
	s.members = append(s.members, m)
	s.connected.Store(int32(len(s.members)))
}

func (s *shard) removeLocked(m *Member) {
	last := len(s.members) - 1
	s.members[last].pos = m.pos
	s.members[m.pos] = s.members[last]
	s.members = dropLast(s.members)
	s.connected.Store(int32(last))
}

// minShrink is the capacity below which lists do not give memory back.
const minShrink = 32

// dropLast removes the last element and clears its slot. A list that has become
// much too large moves to a smaller array, so that a crowd does not leave its
// memory behind; growing again costs what it did the first time.
func dropLast[E any](s []E) []E {
	last := len(s) - 1
	var zero E
	s[last] = zero
	s = s[:last]
	if cap(s) >= minShrink && last <= cap(s)/4 {
		s = append(make([]E, 0, cap(s)/2), s...)
	}
	return s
}
