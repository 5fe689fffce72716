package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// What fills the socket of a client that does not read, before the measurement: its
// receive buffer is small, and the server sends it far more than fits into its own.
const (
	slowShare   = 100 // one slow client for so many others
	slowReceive = 4 << 10
	fillSize    = 16 << 10
	fillCount   = 64
)

// slow broadcasts at a fixed rate, first among clients that read, then with others
// in the room that do not. A server may keep messages for them, drop messages or close their connections.
func (l *load) slow() ([]result, error) {
	paced, err := l.paced()
	if err != nil {
		return nil, fmt.Errorf("paced: %w", err)
	}
	paced.Work = "paced"
	slow, err := l.stopReading()
	defer func() {
		for _, c := range slow {
			l.remove(c.fd)
		}
	}()
	if err != nil {
		return nil, err
	}
	r, err := l.paced()
	r.Work = "slow"
	return []result{paced, r}, err
}

// paced broadcasts to all clients at a fixed rate.
func (l *load) paced() (result, error) {
	f := l.fanout(maxSlots)
	f.interval = max(int64(len(l.conns))*1_000_000_000/int64(l.o.rate), 1)
	f.whole(l.name("all"), len(l.conns))
	return f.measure()
}

// stopReading opens clients that join the room, stop reading, and are sent so much that
// no further byte fits into their sockets.
func (l *load) stopReading() ([]*conn, error) {
	all, filled := []byte(l.name("all")), []byte(l.name("slow"))
	n := max(len(l.conns)/slowShare, 1)
	var slow []*conn
	done := 0
	l.expect(unknown, func(c *conn, k kind, _ uint64) error {
		switch k {
		case connected:
			return c.member(true, all)
		case joined:
			if c.next++; c.next == 1 {
				return c.member(true, filled)
			}
			done++
			return unix.EpollCtl(l.epfd, unix.EPOLL_CTL_DEL, c.fd, nil)
		}
		return fmt.Errorf("unexpected message while connecting")
	})
	for len(slow) < n {
		c, err := l.open("", slowReceive)
		if err != nil {
			return slow, err
		}
		slow = append(slow, c)
		if err := l.until(func() bool { return len(slow)-done < ahead }); err != nil {
			return slow, err
		}
	}
	if err := l.until(func() bool { return done == n }); err != nil {
		return slow, err
	}
	sender, text := l.conns[0], l.text
	l.text = newContent(fillSize, 'x')
	for range fillCount {
		if err := sender.broadcast(filled, 0, false); err != nil {
			return slow, err
		}
	}
	l.text = text
	// The server has dealt with them when it answers the sender.
	answered := false
	l.expect(answer, func(c *conn, k kind, seq uint64) error {
		if k != answer || c != sender || seq != c.want {
			return fmt.Errorf("a broadcast arrived at a client outside the room")
		}
		answered = true
		return nil
	})
	if err := sender.call(); err != nil {
		return slow, err
	}
	return slow, l.until(func() bool { return answered })
}
