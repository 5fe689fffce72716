package main

import (
	"slices"

	"golang.org/x/sys/unix"
)

// client is one connection.
type client struct {
	fd      int
	is      style
	doomed  bool
	in      []byte   // incomplete input; nil most of the time
	out     []byte   // what the socket did not take; nil most of the time
	places  []place  // rooms it is in
	room    *room    // of a broadcast whose attachment comes next
	session *session // polling, or WebSocket of an upgrade
}

// style is what a connection speaks.
type style byte

const (
	web style = iota // HTTP so far
	socketio
	plain
)

// room is a set of clients.
type room struct {
	name    string
	members []*client
}

// place is a client's index in a room's members.
type place struct {
	room  *room
	index int
}

func (s *server) join(c *client, name []byte) {
	r := s.rooms[string(name)]
	if r == nil {
		r = &room{name: string(name)}
		s.rooms[r.name] = r
	}
	c.places = append(c.places, place{r, len(r.members)})
	r.members = append(r.members, c)
}

func (s *server) leave(c *client, name []byte) {
	for i, p := range c.places {
		if p.room.name == string(name) {
			c.places = slices.Delete(c.places, i, i+1)
			s.vacate(p)
			return
		}
	}
}

// vacate gives a place to the last member of the room.
func (s *server) vacate(p place) {
	r := p.room
	last := len(r.members) - 1
	moved := r.members[last]
	r.members[p.index], r.members[last] = moved, nil
	r.members = r.members[:last]
	if last == 0 {
		delete(s.rooms, r.name)
	}
	for i := range moved.places {
		if moved.places[i].room == r {
			moved.places[i].index = p.index
			return
		}
	}
}

// doom has a client dropped soon: not now, because its room's members are being walked.
func (s *server) doom(c *client) {
	if !c.doomed {
		c.doomed = true
		s.doomed = append(s.doomed, c)
	}
}

func (s *server) drop(c *client) {
	s.clients[c.fd] = nil
	for _, p := range c.places {
		s.vacate(p)
	}
	if c.session != nil {
		s.forget(c)
	}
	unix.Close(c.fd)
}

func (s *server) read(c *client) {
	n, err := unix.Read(c.fd, s.buf[:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if n <= 0 {
		s.doom(c)
		return
	}
	p := s.buf[:n]
	if c.in != nil {
		c.in = append(c.in, p...)
		p = c.in
	}
	for len(p) > 0 && !c.doomed {
		used := 0
		if c.is == web {
			used = s.http(c, p)
		} else {
			used = s.message(c, p)
		}
		if used == 0 {
			c.in = append([]byte(nil), p...)
			return
		}
		p = p[used:]
	}
	c.in = nil
}

// backlog bounds what waits for a client that does not read; beyond it the client is
// dropped. 16 broadcasts under way of close to 1 MB, the greatest servers take by default, fit.
const backlog = 16 << 20

// write sends p and keeps what the socket does not take.
func (s *server) write(c *client, p []byte) {
	if len(c.out) == 0 {
		n, err := unix.Write(c.fd, p)
		if n == len(p) {
			return
		}
		if err != nil && err != unix.EAGAIN {
			s.doom(c)
			return
		}
		if s.control(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLOUT) != nil {
			s.doom(c)
			return
		}
		p = p[max(n, 0):]
	}
	if len(c.out)+len(p) > backlog {
		s.doom(c)
		return
	}
	c.out = append(c.out, p...)
}

// flush sends what was kept.
func (s *server) flush(c *client) {
	n, err := unix.Write(c.fd, c.out)
	switch {
	case err == unix.EAGAIN:
	case err != nil:
		s.doom(c)
	case n < len(c.out):
		c.out = append(c.out[:0], c.out[n:]...)
	default:
		c.out = nil
		if s.control(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN) != nil {
			s.doom(c)
		}
	}
}
