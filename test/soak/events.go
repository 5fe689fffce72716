package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// heard is an event that has come, for failures.
type heard struct {
	name, room string
	n          int
	offset     any
	session    string
}

func (h heard) String() string {
	return fmt.Sprintf("%s %s %d at %v by %.4s", h.name, h.room, h.n, h.offset, h.session)
}

// onMessage gets what the server sends. Packets that make no sense are failures.
func (c *client) onMessage(m message) {
	p, err := c.dec.add(m)
	if err == nil && p != nil {
		err = c.onPacket(p)
	}
	if err != nil {
		c.run.failf("%s: %v", c.sess.how, err)
	}
}

func (c *client) onPacket(p *packet) error {
	c.mu.Lock()
	s := c.socks[p.nsp]
	if s == nil && c.v3 && p.nsp == "/" { // where the server connects by itself, before the client asks
		if p.typ == tConnect {
			c.root = p
		}
		c.mu.Unlock()
		return nil
	}
	dismissed := c.dismissed[p.nsp]
	c.mu.Unlock()
	if s == nil {
		if dismissed && p.typ == tAck {
			return nil // by a handler that was at work; clients ignore it
		}
		return fmt.Errorf("packet %d for %s, which was not joined", p.typ, p.nsp)
	}
	if s.leaving.Load() {
		return nil
	}
	args, _ := p.data.([]any)
	switch p.typ {
	case tConnect, tConnectError:
		s.onConnect(p)
	case tDisconnect:
		s.mu.Lock()
		close(s.gone)
		s.mu.Unlock()
		if !c.excused() {
			return fmt.Errorf("%s was disconnected by the server, whom nobody had asked to", p.nsp)
		}
		c.mu.Lock()
		delete(c.socks, p.nsp)
		c.dismissed[p.nsp] = true
		c.mu.Unlock()
	case tAck:
		s.mu.Lock()
		answer := s.acks[p.id]
		delete(s.acks, p.id)
		s.mu.Unlock()
		if answer == nil {
			return fmt.Errorf("acknowledgement %d of %v, which was not asked for or came twice", p.id, args)
		}
		answer <- args
	case tEvent:
		if len(args) == 0 {
			return errPacket
		}
		name, _ := args[0].(string)
		if err := s.onEvent(name, args[1:], p.id); err != nil {
			return fmt.Errorf("%w\n    heard: %s", err, s.last())
		}
	default:
		return fmt.Errorf("packet type %d", p.typ)
	}
	return nil
}

// last tells the last events.
func (s *sock) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for i := max(0, s.count-len(s.heard)); i < s.count; i++ {
		all = append(all, s.heard[i%len(s.heard)].String())
	}
	return strings.Join(all, ", ")
}

func (s *sock) onConnect(p *packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connected == nil {
		s.c.run.failf("%s: connected twice", s.c.sess.how)
		return
	}
	s.connected <- p
	s.connected = nil
	if data, ok := p.data.(map[string]any); ok && p.typ == tConnect {
		pid, _ := data["pid"].(string)
		if s.pid != "" && pid != s.pid {
			s.forgetLocked() // not recovered: what comes from now on is new
		}

		s.sid, _ = data["sid"].(string)
		s.pid = pid
	}
}

// forgetLocked makes the sock a new one.
func (s *sock) forgetLocked() {
	s.lost = s.evictedLocked()
	s.offset = nil
	s.got, s.want, s.sent, s.all = 0, 0, 0, 0
	clear(s.rooms)
}

// onEvent checks an event.
func (s *sock) onEvent(name string, args []any, id int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(args); n > 0 && s.pid != "" {
		if offset, ok := args[n-1].(string); ok {
			s.offset = offset
			args = args[:n-1]
		}
	} else if s.c.v3 && n > 1 {
		if _, ok := args[n-1].(string); ok {
			args = args[:n-1] // the same event with an offset, which this client does not know
		}
	}
	var n int
	if len(args) > 0 {
		n, _ = integer(args[len(args)-1])
	}
	room := ""
	if name == "room" && len(args) > 0 {
		room, _ = args[0].(string)
	}
	s.heard[s.count%len(s.heard)] = heard{name, room, n, s.offset, s.c.sess.sid}
	s.count++
	switch name {
	case "msg":
		if len(args) != 2 {
			return errPacket
		}
		was := s.got
		s.got = n
		if n != was+1 {
			return fmt.Errorf("%s (%s): event %d of msg after %d", s.nsp, s.sid, n, was)
		}
		select {
		case s.moved <- struct{}{}:
		default:
		}
		return s.padded(args[0])
	case "all":
		if s.all != 0 && n != s.all+1 {
			return fmt.Errorf("%s (%s): event %d of the namespace after %d", s.nsp, s.sid, n, s.all)
		}
		s.all = n
		return s.padded(args[0])
	case "room":
		if len(args) != 3 {
			return errPacket
		}
		if err := s.roomEventLocked(room, n); err != nil {
			return err
		}
		return s.padded(args[1])
	case "volatile":
		return nil
	case "ask":
		if len(args) != 3 || id < 0 {
			return errPacket
		}
		x, _ := args[0].(string)
		how, _ := args[1].(string)
		if how == "never" {
			return nil
		}
		c, p := s.c, packet{typ: tAck, nsp: s.nsp, id: id, data: []any{answer(x)}}
		go func() { // the reader must not wait
			if how == "late" {
				time.Sleep(200 * time.Millisecond)
			}
			s.answers.Lock()
			defer s.answers.Unlock()
			if !s.leaving.Load() {
				c.send(p) // if it fails the server notices that the client is gone, too
			}
		}()
		return nil
	}
	return fmt.Errorf("event %q", name)
}

func (s *sock) roomEventLocked(room string, n int) error {
	m := s.rooms[room]
	switch {
	case m == nil:
		return fmt.Errorf("%s (%s): event %d of room %s, which was left or not joined", s.nsp, s.sid, n, room)
	case m.pending:
		if k := len(m.early); k > 0 && n != m.early[k-1]+1 {
			return fmt.Errorf("%s (%s): event %d of room %s after %d", s.nsp, s.sid, n, room, m.early[k-1])
		}
		m.early = append(m.early, n)
	case s.again && n > m.seen && n <= m.last:
		// What was sent to the room between the last event that came and the join: recovery goes by the rooms at the cut.
		m.seen = n
	case n != m.last+1:
		return fmt.Errorf("%s (%s): event %d of room %s after %d", s.nsp, s.sid, n, room, m.last)
	default:
		m.last, m.seen = n, n
	}
	return nil
}

// padded checks what was sent to make an event longer.
func (s *sock) padded(pad any) error {
	switch p := pad.(type) {
	case string:
		if p == padding(len(p), false) {
			return nil
		}
	case []byte:
		if slices.Equal(p, padding(len(p), true).([]byte)) {
			return nil
		}
	}
	return fmt.Errorf("%s: something else than was sent: %.60q", s.nsp, fmt.Sprint(pad))
}
