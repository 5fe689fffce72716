package main

import (
	"fmt"
	"strconv"
	"time"
)

// ahead is how many handshakes or calls are under way at once in connect and where
// works are prepared.
const ahead = 64

// works are those without numbers in their names.
var works = map[string]work{
	"connect": (*load).connect,
	"idle":    (*load).idle,
	"rooms":   (*load).rooms,
	"churn":   (*load).churn,
	"slow":    (*load).slow,
	"poll":    (*load).poll,
	"upgrade": (*load).upgrade,
}

// connect opens the clients, and puts them into the room "all" after the measurement.
func (l *load) connect() ([]result, error) {
	l.disconnect()
	m, err := l.meter()
	if err != nil {
		return nil, err
	}
	latency := new(histogram)
	if err := l.openAll(latency); err != nil {
		return nil, err
	}
	r, err := m.result("connection", len(l.conns))
	if err != nil {
		return nil, err
	}
	latency.fill(&r)
	return []result{r}, l.enter(true, l.name("all"), l.conns)
}

// openAll opens the clients. The latency is that of handshake and CONNECT.
func (l *load) openAll(latency *histogram) error {
	ready := 0
	open := func(due int64) error {
		c, err := l.open("", 0)
		if err != nil {
			return err
		}
		c.i, c.at = len(l.conns), due
		l.conns = append(l.conns, c)
		return nil
	}
	l.expect(unknown, func(c *conn, k kind, _ uint64) error {
		if k != connected {
			return fmt.Errorf("unexpected message while connecting")
		}
		ready++
		latency.record(l.now - c.at)
		if len(l.conns) < l.o.clients {
			return open(l.now)
		}
		return nil
	})
	for range min(ahead, l.o.clients) {
		if err := open(l.clock()); err != nil {
			return err
		}
	}
	return l.until(func() bool { return ready == l.o.clients })
}

// reconnect opens the clients outside of any measurement. After it has failed once it
// does not try again.
func (l *load) reconnect() error {
	if l.broken == nil {
		err := l.openAll(new(histogram))
		if err == nil {
			err = l.enter(true, l.name("all"), l.conns)
		}
		if err != nil {
			l.broken = fmt.Errorf("no clients: %w", err)
		}
	}
	return l.broken
}

// name returns the name of a room. Later clients use other rooms than those before
// them, whose last broadcasts the server may still have to send.
func (l *load) name(room string) string {
	if l.times == 0 {
		return room
	}
	return room + "-" + strconv.Itoa(l.times)
}

// enter makes clients join or leave a room.
func (l *load) enter(join bool, room string, conns []*conn) error {
	name := []byte(room)
	return l.members(join, len(conns), func(i int) (*conn, []byte) { return conns[i], name })
}

// members makes n joins or leaves. The answers of one client are alike, so that only
// their number is checked.
func (l *load) members(join bool, n int, call func(i int) (c *conn, room []byte)) error {
	want := left
	if join {
		want = joined
	}
	next, acked := 0, 0
	send := func() error {
		c, room := call(next)
		next++
		return c.member(join, room)
	}
	l.expect(unknown, func(_ *conn, k kind, _ uint64) error {
		if k != want {
			return fmt.Errorf("unexpected message while joining or leaving: doubled?")
		}
		acked++
		if next < n {
			return send()
		}
		return nil
	})
	for range min(ahead, n) {
		if err := send(); err != nil {
			return err
		}
	}
	return l.until(func() bool { return acked == n })
}

// barrier calls once on every client. A message that a work has left behind comes
// before the answer, and is given to late, or is an error when late is nil.
func (l *load) barrier(late func(c *conn, k kind, seq uint64) error) error {
	next, waiting := 0, 0
	call := func() error {
		c := l.conns[next]
		next++
		waiting++
		return c.call()
	}
	l.expect(answer, func(c *conn, k kind, seq uint64) error {
		if k != answer && late != nil {
			return late(c, k, seq)
		}
		if k != answer || seq != c.want {
			return fmt.Errorf("a message arrived after the end: doubled or sent to the wrong client")
		}
		c.want = none
		waiting--
		if next < len(l.conns) {
			return call()
		}
		return nil
	})
	for range min(ahead, len(l.conns)) {
		if err := call(); err != nil {
			return err
		}
	}
	return l.until(func() bool { return waiting == 0 })
}

// idle waits and reports the server's memory. Of two readings the lower one counts: what
// the server gives back while it has nothing to do is not the connections'.
func (l *load) idle() ([]result, error) {
	first, err := l.resident()
	if err != nil {
		return nil, err
	}
	end := l.clock() + int64(l.o.time)
	l.expect(unknown, func(*conn, kind, uint64) error { return fmt.Errorf("unexpected message while idle") })
	woken := false
	l.timer.fire = func() error { woken = true; return nil }
	if err := l.timer.at(end); err != nil {
		return nil, err
	}
	// The server's silence is what is wanted here.
	stall := l.o.stall
	l.o.stall += l.o.time + time.Second
	err = l.until(func() bool { return woken })
	l.o.stall, l.timer.fire = stall, nil
	if err != nil {
		return nil, err
	}
	last, err := l.resident()
	return []result{{Unit: "connection", Units: len(l.conns), Bytes: (min(first, last) - l.before) / len(l.conns)}}, err
}
