package adapter

import "errors"

var (
	// ErrDetached is returned for a member that is not attached (any more).
	ErrDetached = errors.New("adapter: socket is not attached")
	// ErrDuplicateID is returned by Attach when another attached member has
	// the same id.
	ErrDuplicateID = errors.New("adapter: socket id is in use")
)

// Member is what an [Index] keeps about one socket. The socket embeds it; the
// zero value is ready for Attach and serves one life. A Member must not be
// copied after that.
type Member struct {
	recv   Receiver     // immutable after Attach
	joined *memberships // guarded by the shard; nil until the first Join

	pos   uint32 // slot in shard.members while connected; guarded by the shard
	stamp uint32 // see shard.nextStampLocked; guarded by the shard

	shard uint8 // immutable after Attach
	state state // guarded by the shard

	// inOwn is the membership in the room named like the socket. It is written
	// with both the shard's and the id's stripe's lock held; either suffices to
	// read it.
	inOwn bool
}

// state is where a member is in its life. It only moves forward.
type state uint8

const (
	stateNew       state = iota
	stateAttached        // may join rooms, receives nothing
	stateConnected       // receives
	stateDetached
)

// Attach makes the socket known under its id and lets it join rooms. It receives
// nothing before Connect. It is called once, before any other method gets to see
// m, and returns ErrDuplicateID, with m unchanged, if the id is taken.
//
// Whoever attaches must call Detach in the end.
func (x *Index) Attach(m *Member, r Receiver) error {
	if m.state != stateNew {
		panic("adapter: Attach of a member that had its life")
	}
	id := r.ID()
	st := x.stripe(id)
	st.mu.Lock()
	defer st.mu.Unlock()
	n := st.names[id]
	if n.owner != nil {
		return ErrDuplicateID
	}
	// Nobody else can see m before it is in names.
	m.recv = r
	m.shard = uint8(x.nextShard.Add(1) & uint32(len(x.shards)-1))
	m.state = stateAttached
	n.owner = m
	st.setLocked(id, n)
	return nil
}

// Connect makes the socket a receiver and joins it to its own room, in one step.
// A broadcast that starts after Connect returned reaches the socket. Connecting
// twice does nothing; ErrDetached means that the socket left in the meantime.
//
// first, if not nil, is called at the end of that step, under the lock that Deliver
// is called under and with the same duties. What it queues for the client, such as
// the CONNECT packet, precedes every broadcast; once the client has it, the socket
// is found by its id.
func (x *Index) Connect(m *Member, first func()) error {
	s := &x.shards[m.shard]
	if err := x.connect(s, m, first); err != nil {
		return err
	}
	x.events.drain()
	return nil
}

func (x *Index) connect(s *shard, m *Member, first func()) error {
	s.mu.Lock()
	defer s.mu.Unlock() // survives a panicking first
	switch m.state {
	case stateConnected:
		return nil
	case stateAttached:
	default:
		return ErrDetached
	}
	m.state = stateConnected
	s.addLocked(m)
	x.joinLocked(m, m.recv.ID())
	// Last, since what it queues may be on its way before it returns. Nothing can be
	// delivered in front of it: that takes the lock.
	if first != nil {
		first()
	}
	return nil
}

// Detach takes the socket out of all rooms and forgets it. When it returns, the
// socket has got its last packet and its id is free. Detaching twice, or a socket
// that was never attached, does nothing.
func (x *Index) Detach(m *Member) {
	s := &x.shards[m.shard]
	s.mu.Lock()
	switch m.state {
	case stateConnected:
		s.removeLocked(m)
	case stateAttached:
	default:
		s.mu.Unlock()
		return
	}
	m.state = stateDetached

	id := m.recv.ID()
	st := x.stripe(id)
	st.mu.Lock()
	n := st.names[id]
	if m.inOwn {
		m.inOwn = false
		x.events.leftLocked(id, id, n.size() == 0)
	}
	n.owner = nil
	st.setLocked(id, n)
	st.mu.Unlock()

	if m.joined != nil {
		// From the end, so that no membership has to move.
		for i := len(m.joined.items) - 1; i >= 0; i-- {
			x.quitLocked(m, uint32(i))
		}
		m.joined = nil
	}
	s.mu.Unlock()
	x.events.drain()
}
