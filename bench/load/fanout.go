package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// A broadcast's payload begins with its number, from 0, and the slot it takes while it is
// under way.
const (
	slotBits = 12
	maxSlots = 1 << slotBits
)

// senders is how many clients send the broadcasts of the work rooms.
const senders = 4

// slot is a broadcast under way, or one that was.
type slot struct {
	seq  uint64
	due  int64
	left int // receivers that miss it
	room int
}

// fanout keeps broadcasts under way and checks what arrives.
type fanout struct {
	l       *load
	binary  bool
	senders []*conn
	// room chooses the next broadcast's room.
	room func() (name []byte, number, size int)
	// check reports what is wrong with a broadcast at a client that has not gone through yet.
	check func(c *conn, number uint64, s *slot) error

	slots    []slot
	free     []int
	sent     uint64
	busy     int
	units    int
	over     bool
	latency  histogram
	interval int64 // of a fixed rate; 0 keeps all slots busy
	due      int64 // next broadcast of a fixed rate
	end      int64 // of the fixed rate
}

func (l *load) fanout(slots int) *fanout {
	f := &fanout{l: l, senders: l.conns[:1], slots: make([]slot, slots)}
	for i := range slots {
		f.free = append(f.free, slots-1-i)
	}
	for _, c := range l.conns {
		c.next, c.attached, c.last = 0, false, [senders]uint64{}
	}
	return f
}

// send starts a broadcast that was due at a moment.
func (f *fanout) send(due int64) error {
	i := f.free[len(f.free)-1]
	f.free = f.free[:len(f.free)-1]
	name, number, size := f.room()
	seq := f.sent<<slotBits | uint64(i)
	f.slots[i] = slot{seq: seq, due: due, left: size, room: number}
	f.busy++
	from := f.senders[f.sent%uint64(len(f.senders))]
	f.sent++
	return from.broadcast(name, seq, f.binary)
}

// got takes a delivery.
func (f *fanout) got(c *conn, k kind, seq uint64) error {
	number, i := seq>>slotBits, int(seq%maxSlots)
	if k != delivery || i >= len(f.slots) {
		return fmt.Errorf("unexpected message during broadcasts")
	}
	s := &f.slots[i]
	if err := f.check(c, number, s); err != nil {
		return err
	}
	if s.seq != seq || s.left == 0 {
		return fmt.Errorf("broadcast %d arrived again after all had it", number)
	}
	f.units++
	f.latency.record(f.l.now - s.due)
	s.left--
	if s.left == 0 {
		f.busy--
		f.free = append(f.free, i)
		if f.interval == 0 && !f.over {
			return f.send(f.l.now)
		}
	}
	if f.interval > 0 && f.l.now >= f.due {
		return f.pace()
	}
	return nil
}

// pace sends what the schedule has made due.
func (f *fanout) pace() error {
	for now := min(f.l.clock(), f.end-1); now >= f.due; f.due += f.interval {
		if len(f.free) == 0 {
			return fmt.Errorf("the server does not keep up with %d broadcasts per second: %d are under way", 1_000_000_000/f.interval, f.busy)
		}
		if err := f.send(f.due); err != nil {
			return err
		}
	}
	if f.due >= f.end {
		return nil
	}
	return f.l.timer.at(f.due)
}

// measure runs the broadcasts for the length of a work.
func (f *fanout) measure() (result, error) {
	l := f.l
	l.expect(delivery, f.got)
	m, err := l.meter()
	if err != nil {
		return result{}, err
	}
	if f.interval > 0 {
		f.due = l.clock()
		f.end = f.due + int64(l.o.time)
		l.timer.fire = f.pace
		defer func() { l.timer.fire = nil }()
		if err := f.pace(); err != nil {
			return result{}, err
		}
	} else {
		for range f.slots {
			if err := f.send(l.clock()); err != nil {
				return result{}, err
			}
		}
	}
	if f.interval > 0 {
		err = l.until(func() bool { return f.due >= f.end })
	} else {
		err = l.run()
	}
	if err != nil {
		return result{}, err
	}
	f.over = true
	if err := l.until(func() bool { return f.busy == 0 }); err != nil {
		return result{}, err
	}
	r, err := m.result("delivery", f.units)
	f.latency.fill(&r)
	return r, err
}

// whole makes the first size clients the room of all broadcasts. Each of them must get
// exactly what the one sender has sent.
func (f *fanout) whole(name string, size int) {
	room := []byte(name)
	f.room = func() ([]byte, int, int) { return room, 0, size }
	f.check = func(c *conn, number uint64, _ *slot) error {
		if c.i >= size {
			return fmt.Errorf("broadcast %d arrived at a client outside the room", number)
		}
		return c.inOrder(number)
	}
}

// inOrder checks that a broadcast is the one that comes next.
func (c *conn) inOrder(number uint64) error {
	if number != c.next {
		return fmt.Errorf("broadcast %d arrived where %d was due: lost, doubled or reordered", number, c.next)
	}
	c.next++
	return nil
}

// broadcast keeps inflight broadcasts to all clients under way.
func (l *load) broadcast(inflight int, binary bool) (result, error) {
	if inflight > maxSlots {
		return result{}, fmt.Errorf("at most %d can be under way", maxSlots)
	}
	f := l.fanout(inflight)
	f.binary = binary
	f.whole(l.name("all"), len(l.conns))
	return f.measure()
}

// room does the same to a room of its own.
func (l *load) room(size, inflight int) (result, error) {
	if size > len(l.conns) || inflight > maxSlots {
		return result{}, fmt.Errorf("needs %d clients, and %d under way at most", size, maxSlots)
	}
	name := l.name("room" + strconv.Itoa(size))
	if err := l.enter(true, name, l.conns[:size]); err != nil {
		return result{}, err
	}
	f := l.fanout(inflight)
	f.whole(name, size)
	r, err := f.measure()
	if err != nil {
		return r, err
	}
	return r, l.enter(false, name, l.conns[:size])
}

// The work rooms.
const (
	perRoom    = 10
	roomsAhead = 16
)

// rooms broadcasts to random ones of many small rooms. Member i of a room is as far from
// member i-1 in the list of clients as possible, so that neighbours in it share no room.
func (l *load) rooms() ([]result, error) {
	step := len(l.conns) / perRoom
	if step == 0 || len(l.conns) < senders {
		return nil, fmt.Errorf("needs %d clients", perRoom)
	}
	prefix := l.name("r") + "."
	var name []byte
	roomName := func(room int) []byte {
		name = strconv.AppendInt(append(name[:0], prefix...), int64(room), 10)
		return name
	}
	member := func(i int) (*conn, []byte) {
		room := i / perRoom
		return l.conns[(room+i%perRoom*step)%len(l.conns)], roomName(room)
	}
	if err := l.members(true, l.o.rooms*perRoom, member); err != nil {
		return nil, err
	}
	f := l.fanout(roomsAhead)
	f.senders = l.conns[:senders]
	random := rand.New(rand.NewPCG(1, 2)) // the same rooms for every server
	f.room = func() ([]byte, int, int) {
		room := random.IntN(l.o.rooms)
		return roomName(room), room, perRoom
	}
	f.check = func(c *conn, number uint64, s *slot) error {
		if s.seq>>slotBits != number {
			return fmt.Errorf("broadcast %d arrived again after all had it", number)
		}
		apart := (c.i - s.room%len(l.conns) + len(l.conns)) % len(l.conns)
		if apart%step != 0 || apart/step >= perRoom {
			return fmt.Errorf("broadcast %d arrived at a client outside the room", number)
		}
		last := &c.last[number%senders]
		if number < *last {
			return fmt.Errorf("broadcast %d arrived after %d of the same sender: doubled or reordered", number, *last-1)
		}
		*last = number + 1
		return nil
	}
	r, err := f.measure()
	if err != nil {
		return nil, err
	}
	return []result{r}, l.members(false, l.o.rooms*perRoom, member)
}
