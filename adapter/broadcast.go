package adapter

import (
	"math/bits"
	"slices"
)

// Broadcast delivers p to every connected socket of this server that o selects,
// each once, then flushes o.Batch. It returns how many took it. It borrows p and
// allocates nothing for up to eight rooms and seven exceptions.
//
// Broadcasts of one goroutine reach every receiver in order; broadcasts of
// several goroutines reach all receivers of one shard in one order. A socket that
// joins, leaves, connects or disconnects meanwhile may be reached or not.
func (x *Index) Broadcast(p Packet, o Opts) int {
	v := visitor{p: p, b: o.Batch}
	x.walk(&v, &o, nil)
	if o.Batch != nil {
		o.Batch.Flush()
	}
	return v.n
}

// HasReceivers reports whether a broadcast could reach anybody on this server,
// so that a caller can save itself the encoding. It looks at o.Rooms alone: true
// does not promise a receiver.
func (x *Index) HasReceivers(o Opts) bool {
	if len(o.Rooms) == 0 {
		for i := range x.shards {
			if x.shards[i].connected.Load() > 0 {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(o.Rooms, x.HasRoom)
}

// visitor is what happens to each member a walk selects: it gets a packet or is
// collected.
type visitor struct {
	p Packet
	b Batch
	n int

	collect bool
	found   []*Member
}

func (v *visitor) visitLocked(m *Member) {
	if v.collect {
		v.found = append(v.found, m)
	} else if m.recv.Deliver(v.p, v.b) {
		v.n++
	}
}

// walk visits every connected member that o selects, shard by shard. After each
// shard, with no lock held, it calls after, if not nil, and stops when that
// returns false.
func (x *Index) walk(v *visitor, o *Opts, after func() bool) {
	var targetSpace, exceptSpace [fewTargets]target
	targets := x.resolve(targetSpace[:0], o.Rooms...)
	excepts := x.resolve(exceptSpace[:0], o.Except...)
	if o.ExceptID != "" {
		excepts = x.resolve(excepts, o.ExceptID)
	}

	all := len(o.Rooms) == 0
	var todo uint64
	if all {
		for i := range x.shards {
			if x.shards[i].connected.Load() > 0 {
				todo |= 1 << i
			}
		}
	}
	for i := range targets {
		todo |= targets[i].shards()
	}
	for ; todo != 0; todo &= todo - 1 {
		i := uint8(bits.TrailingZeros64(todo))
		x.shards[i].serve(v, i, all, targets, excepts)
		if after != nil && !after() {
			return
		}
	}
}

// probeFactor says how many times more excluded than selected members there must
// be before it is cheaper to look up each selected one than to mark all excluded.
const probeFactor = 4

// serve visits the selected members of one shard. A member whose stamp is that of
// this round is excluded or was visited already; no sets are built.
func (s *shard) serve(v *visitor, i uint8, all bool, targets, excepts []target) {
	s.mu.Lock()
	defer s.mu.Unlock() // survives a panicking Deliver
	stamp := s.nextStampLocked()

	var probe []target
	if len(excepts) > 0 {
		selected, excluded := len(s.members), sizeLocked(excepts, i)
		if !all {
			selected = sizeLocked(targets, i)
		}
		if excluded > probeFactor*selected {
			probe = excepts
		} else {
			markLocked(excepts, i, stamp)
		}
	}

	if all {
		for _, m := range s.members {
			if m.stamp != stamp && !m.inAnyLocked(probe) {
				v.visitLocked(m)
			}
		}
		return
	}
	// Visited members need a mark only where a second target could meet them.
	several := len(targets) > 1
	for k := range targets {
		t := &targets[k]
		if l := t.list(i); l != nil {
			for _, e := range l.entries {
				m := e.m
				if m.state != stateConnected || m.stamp == stamp || m.inAnyLocked(probe) {
					continue
				}
				if several {
					m.stamp = stamp
				}
				v.visitLocked(m)
			}
		}
		if m := t.ownerLocked(i); m != nil && m.stamp != stamp && !m.inAnyLocked(probe) {
			if several {
				m.stamp = stamp
			}
			v.visitLocked(m)
		}
	}
}

// sizeLocked returns the number of entries the targets have in a shard.
func sizeLocked(targets []target, shard uint8) int {
	n := 0
	for k := range targets {
		if l := targets[k].list(shard); l != nil {
			n += len(l.entries)
		}
		if targets[k].ownerLocked(shard) != nil {
			n++
		}
	}
	return n
}

// markLocked stamps all connected members the targets have in a shard.
func markLocked(targets []target, shard uint8, stamp uint32) {
	for k := range targets {
		t := &targets[k]
		if l := t.list(shard); l != nil {
			for _, e := range l.entries {
				if e.m.state == stateConnected {
					e.m.stamp = stamp
				}
			}
		}
		if m := t.ownerLocked(shard); m != nil {
			m.stamp = stamp
		}
	}
}

// inAnyLocked reports whether m is in one of the targets.
func (m *Member) inAnyLocked(targets []target) bool {
	for k := range targets {
		t := &targets[k]
		if t.one == m && m.inOwn {
			return true
		}
		if l := t.list(m.shard); l != nil {
			if _, in := m.joined.find(l); in {
				return true
			}
		}
	}
	return false
}
