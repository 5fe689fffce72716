package adapter

import (
	"errors"
	"slices"
)

// ErrTooManyRooms is returned by Join when the socket would be in more rooms than
// LimitRooms allows. It has joined none of them.
var ErrTooManyRooms = errors.New("adapter: socket is in too many rooms")

// LimitRooms bounds the rooms one socket may be in, its own room not counted. 0, the
// default, means no limit. It does not touch sockets that are in more already.
func (x *Index) LimitRooms(n int) { x.maxRooms.Store(int64(n)) }

// RoomCount returns the number of rooms that have a member, not counting rooms in which
// there is only the socket they are named after.
func (x *Index) RoomCount() int { return int(x.rooms.Load()) }

// roomForLocked reports whether m may join rooms, some of which may be among those it
// is in. The lock of m's shard must be held.
func (x *Index) roomForLocked(m *Member, rooms []string) bool {
	limit := int(x.maxRooms.Load())
	if limit == 0 {
		return true
	}
	n := 0
	if m.joined != nil {
		n = len(m.joined.items)
	}
	if n+len(rooms) <= limit {
		return true
	}
	for i, r := range rooms {
		if r != m.recv.ID() && !slices.Contains(rooms[:i], r) && !x.inRoomLocked(m, r) {
			if n++; n > limit {
				return false
			}
		}
	}
	return true
}
