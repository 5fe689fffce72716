package main

import (
	"errors"
	"fmt"

	"github.com/epio-go/epio/bench/internal/ws"
)

// upgrader is a client that opens one session after the other: over polling, as
// Socket.IO's client does by default, then on a WebSocket.
type upgrader struct {
	*poller
	ws      *conn
	probed  bool
	pending int          // calls not answered
	next    func() error // called when a session has ended
}

// upgrade keeps upgrades under way. Each session ends with two calls and a close frame, whose
// answer comes after everything else the server has sent.
func (l *load) upgrade() ([]result, error) {
	if l.wire == plain {
		return nil, errPlain
	}
	n := min(pollers, l.o.clients)
	latency := new(histogram)
	units, waiting, over := 0, n, false
	var all []*upgrader
	defer func() {
		for _, u := range all {
			u.close()
			if u.ws != nil {
				l.remove(u.ws.fd)
			}
		}
	}()
	for i := range n {
		p, err := l.newPoller(i)
		if err != nil {
			return nil, err
		}
		u := &upgrader{poller: p}
		all = append(all, u)
		p.got = func(_ *poller, k kind, _ uint64) error { return u.connected(k) }
		p.paused = func(*poller) error { return u.finish() }
	}
	l.expect(answer, func(c *conn, k kind, seq uint64) error {
		if c.i >= n || all[c.i].ws != c {
			return errors.New("unexpected message on a WebSocket")
		}
		return all[c.i].message(k, seq)
	})
	m, err := l.meter()
	if err != nil {
		return nil, err
	}
	for _, u := range all {
		u.next = func() error {
			units++
			latency.record(l.now - u.due)
			if over {
				waiting--
				return nil
			}
			return u.begin(l.now)
		}
		if err := u.begin(l.clock()); err != nil {
			return nil, err
		}
	}
	if err := l.run(); err != nil {
		return nil, err
	}
	over = true
	if err := l.until(func() bool { return waiting == 0 }); err != nil {
		return nil, err
	}
	r, err := m.result("upgrade", units)
	r.Clients = n
	latency.fill(&r)
	return []result{r}, err
}

// connected opens the WebSocket, while the next GET waits already.
func (u *upgrader) connected(k kind) error {
	if k != connected || u.ws != nil {
		return errors.New("unexpected message while connecting")
	}
	c, err := u.l.open(u.sid, 0)
	if err != nil {
		return err
	}
	c.i, c.probe, c.ended = u.i, true, u.ended
	u.ws, u.probed, u.pending = c, false, 2
	return nil
}

// message handles what comes on the WebSocket.
func (u *upgrader) message(k kind, seq uint64) error {
	switch {
	case k == pong && !u.probed:
		u.probed, u.pause = true, true
		if u.get.busy {
			return nil // the server ends it with a noop
		}
		return u.finish()
	case k != answer || seq != u.want || u.pending == 0:
		return fmt.Errorf("answer %d arrived where %d was due: lost, doubled or reordered", seq, u.want)
	}
	u.want++
	if u.pending--; u.pending == 0 {
		return u.ws.send([]byte{3, 232}, ws.Close)
	}
	return nil
}

// finish ends the upgrade when polling has stopped.
func (u *upgrader) finish() error {
	if err := u.ws.send([]byte("5"), ws.Text); err != nil {
		return err
	}
	u.want = u.l.calls + 1
	for range u.pending {
		if err := u.ws.call(); err != nil {
			return err
		}
	}
	return nil
}

// ended takes note of the server's end of the WebSocket.
func (u *upgrader) ended() error {
	if u.pending > 0 {
		return errClosed
	}
	u.l.remove(u.ws.fd)
	u.ws = nil
	return u.next()
}
