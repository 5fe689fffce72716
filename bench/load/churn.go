package main

import "fmt"

// The work churn goes in rounds of so many broadcasts. A quarter of the clients come and go.
const (
	churnRound = 16
	churnShare = 4
)

// churn broadcasts to a room that clients keep joining and leaving. In every round half of those
// join or leave, spread between the broadcasts, and the others stay as they are; in the next round it
// is the other way round.
//
// The clients that stay must get everything. One that joins may get the round from any
// broadcast on, and must get everything after it; one that leaves may get
// the round up to any broadcast. Neither may get one twice, or miss one in between.
type churn struct {
	l      *load
	room   []byte
	steady int // the first clients stay

	first   uint64 // number of the round's first broadcast
	round   int
	slots   [churnRound]slot
	missing int // broadcasts not delivered, and joins and leaves not acknowledged
	over    bool
	done    bool
	units   int
	latency histogram
}

// churner is what a client may get.
type churner struct {
	member bool
	moving bool   // its join or leave is not acknowledged yet
	late   bool   // the first one need not be next
	limit  uint64 // the last one
	sure   uint64 // what it must get, from here on
}

func (l *load) churn() ([]result, error) {
	if len(l.conns) < churnShare {
		return nil, fmt.Errorf("needs %d clients", churnShare)
	}
	w := &churn{l: l, room: []byte(l.name("churn")), steady: len(l.conns) - len(l.conns)/churnShare}
	var members []*conn
	for _, c := range l.conns {
		j := c.i - w.steady
		c.next, c.attached = 0, false
		if c.churner = (churner{}); j >= 0 && j/2%2 == 0 {
			c.churner = churner{sure: none}
			continue
		}
		c.churner = churner{member: true, limit: none}
		members = append(members, c)
	}
	if err := l.enter(true, string(w.room), members); err != nil {
		return nil, err
	}
	l.expect(delivery, w.got)
	m, err := l.meter()
	if err != nil {
		return nil, err
	}
	if err := w.start(l.clock()); err != nil {
		return nil, err
	}
	if err := l.run(); err != nil {
		return nil, err
	}
	w.over = true
	if err := l.until(func() bool { return w.done }); err != nil {
		return nil, err
	}
	r, err := m.result("delivery", w.units)
	if err != nil {
		return nil, err
	}
	w.latency.fill(&r)
	// Some may still get what they need not get.
	if err := l.barrier(w.got); err != nil {
		return nil, err
	}
	members = members[:0]
	for _, c := range l.conns {
		if c.churner.member {
			members = append(members, c)
		}
	}
	return []result{r}, l.enter(false, string(w.room), members)
}

// start begins a round that was due at a moment.
func (w *churn) start(due int64) error {
	moving := w.l.conns[w.steady:]
	settled := 0
	for j, c := range moving {
		if (w.round+j)%2 == 1 && c.churner.member {
			settled++
		}
	}
	w.missing = churnRound
	j := w.round % 2
	for i := range churnRound {
		number := w.first + uint64(i)
		seq := number<<slotBits | uint64(i)
		w.slots[i] = slot{seq: seq, due: due, left: w.steady + settled}
		if err := w.l.conns[0].broadcast(w.room, seq, false); err != nil {
			return err
		}
		for ; j < len(moving)*(i+1)/churnRound; j += 2 {
			if err := w.toggle(moving[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// toggle makes a client join or leave.
func (w *churn) toggle(c *conn) error {
	w.missing++
	end := w.first + churnRound
	if c.churner.member {
		c.churner = churner{moving: true, limit: end - 1, sure: none}
	} else {
		c.next = w.first
		c.churner = churner{member: true, moving: true, late: true, limit: end, sure: end}
	}
	return c.member(c.churner.member, w.room)
}

func (w *churn) got(c *conn, k kind, seq uint64) error {
	switch {
	case c.churner.moving && (k == joined && c.churner.member || k == left && !c.churner.member):
		c.churner.moving = false
		return w.finish()
	case k != delivery || seq%maxSlots >= churnRound:
		return fmt.Errorf("unexpected message during broadcasts")
	}
	number, state := seq>>slotBits, &c.churner
	switch {
	case number > state.limit:
		return fmt.Errorf("broadcast %d arrived at a client that was to get %d at last: lost, or sent to the wrong client", number, state.limit)
	case state.late && number > c.next:
		c.next = number + 1
	default:
		if err := c.inOrder(number); err != nil {
			return err
		}
	}
	if state.late {
		state.late, state.limit = false, none
	}
	w.units++
	s := &w.slots[seq%maxSlots]
	if s.seq != seq {
		return nil // came too late to one that has just joined or left
	}
	w.latency.record(w.l.now - s.due)
	if number < state.sure {
		return nil
	}
	if s.left--; s.left == 0 {
		return w.finish()
	}
	return nil
}

// finish takes note of a broadcast that is delivered, or a join or leave that is acknowledged.
func (w *churn) finish() error {
	w.missing--
	if w.missing > 0 {
		return nil
	}
	if w.over {
		w.done = true
		return nil
	}
	w.first += churnRound
	w.round++
	return w.start(w.l.now)
}
