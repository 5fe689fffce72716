package adapter

// Rooms returns the rooms the socket is in: its own first, the others in no
// particular order. It returns nil for a socket that is in none or not attached.
// The slice belongs to the caller.
func (x *Index) Rooms(m *Member) []string {
	s := &x.shards[m.shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.roomsLocked()
}

func (m *Member) roomsLocked() []string {
	n := 0
	if m.joined != nil {
		n = len(m.joined.items)
	}
	if m.inOwn {
		n++
	}
	if n == 0 {
		return nil
	}
	rooms := make([]string, 0, n)
	if m.inOwn {
		rooms = append(rooms, m.recv.ID())
	}
	if m.joined != nil {
		for _, ms := range m.joined.items {
			rooms = append(rooms, ms.list.room.name)
		}
	}
	return rooms
}

// SocketRooms is Rooms for the attached socket with this id, and nil if there is
// none.
func (x *Index) SocketRooms(id string) []string {
	st := x.stripe(id)
	st.mu.Lock()
	m := st.names[id].owner
	st.mu.Unlock()
	if m == nil {
		return nil
	}
	return x.Rooms(m)
}

// InRoom reports whether the socket is in the room.
func (x *Index) InRoom(m *Member, room string) bool {
	s := &x.shards[m.shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	return x.inRoomLocked(m, room)
}

// inRoomLocked is InRoom with the lock of m's shard held.
func (x *Index) inRoomLocked(m *Member, room string) bool {
	st := x.stripe(room)
	st.mu.Lock()
	defer st.mu.Unlock()
	n := st.names[room]
	if n.owner == m && m.inOwn {
		return true
	}
	if n.room == nil {
		return false
	}
	l := n.room.listLocked(m.shard)
	if l == nil {
		return false
	}
	_, in := m.joined.find(l)
	return in
}

// HasRoom reports whether the room has a member on this server. Sockets that are
// not connected yet count.
func (x *Index) HasRoom(room string) bool { return x.RoomSize(room) > 0 }

// RoomSize returns the number of members the room has on this server. Sockets
// that are not connected yet count.
func (x *Index) RoomSize(room string) int {
	st := x.stripe(room)
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.names[room].size()
}

// AllRooms returns the name of every room that has a member on this server,
// own-id rooms included, in no particular order. While rooms come and go it is
// not one moment's state. The slice belongs to the caller.
func (x *Index) AllRooms() []string {
	var rooms []string
	for i := range x.stripes {
		st := &x.stripes[i]
		st.mu.Lock()
		for s, n := range st.names {
			if n.size() > 0 {
				rooms = append(rooms, s)
			}
		}
		st.mu.Unlock()
	}
	return rooms
}
