package adapter

import "iter"

// each calls f for every connected member that o selects, each once, with no lock
// held, until f returns false. Those that are about to leave are left out. Members
// are collected shard by shard: one that changes meanwhile may be missed or met, and
// may be detached when f gets it.
func (x *Index) each(o Opts, f func(*Member) bool) {
	v := visitor{collect: true}
	x.walk(&v, &o, func() bool {
		for _, m := range v.found {
			if m.recv.Connected() && !f(m) {
				return false
			}
		}
		clear(v.found)
		v.found = v.found[:0]
		return true
	})
}

// Sockets iterates over the connected sockets of this server that o selects, each
// once, in no particular order. No lock is held while the body runs, so it may use
// the index; a socket may have left by the time the body sees it.
func (x *Index) Sockets(o Opts) iter.Seq[Receiver] {
	return func(yield func(Receiver) bool) {
		x.each(o, func(m *Member) bool { return yield(m.recv) })
	}
}

// FetchSockets describes the connected sockets of this server that o selects, by
// ID, Rooms and Local.
func (x *Index) FetchSockets(o Opts) []SocketInfo {
	var infos []SocketInfo
	x.each(o, func(m *Member) bool {
		s := &x.shards[m.shard]
		s.mu.Lock()
		connected, rooms := m.state == stateConnected, m.roomsLocked()
		s.mu.Unlock()
		if connected {
			infos = append(infos, SocketInfo{ID: m.recv.ID(), Rooms: rooms, Local: m.recv})
		}
		return true
	})
	return infos
}

// AddSockets makes the connected sockets of this server that o selects join
// rooms.
func (x *Index) AddSockets(o Opts, rooms []string) {
	x.each(o, func(m *Member) bool {
		// A socket that left meanwhile has nothing to join.
		_ = x.Join(m, rooms...)
		return true
	})
}

// DelSockets makes the connected sockets of this server that o selects leave
// rooms.
func (x *Index) DelSockets(o Opts, rooms []string) {
	x.each(o, func(m *Member) bool {
		x.Leave(m, rooms...)
		return true
	})
}

// DisconnectSockets calls Disconnect(close) of the connected sockets of this
// server that o selects.
func (x *Index) DisconnectSockets(o Opts, close bool) {
	x.each(o, func(m *Member) bool {
		m.recv.Disconnect(close)
		return true
	})
}
