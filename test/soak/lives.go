package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// actor is one client after another.
type actor struct {
	run   *run
	name  string
	rnd   *rand.Rand
	stop  <-chan struct{}
	trace []string // the last operations, for failures
}

// live goes on until the end of the run.
func (a *actor) live() {
	for a.turn() {
		a.trace = a.trace[:0]
		switch n := a.rnd.IntN(100); {
		case n < 74:
			a.visit()
		case n < 80:
			a.churn()
		case n < 88:
			a.garbage()
		case n < 92:
			a.silent()
		case n < 94:
			a.vanish()
		case n < 96:
			a.overwhelmed()
		default:
			a.unfinished()
		}
	}
}

// turn waits until the next operation may begin. It reports false at the end of the run.
func (a *actor) turn() bool { return a.run.limit.wait(a.stop) }

// did counts an operation.
func (a *actor) did(name string) {
	a.run.count.add(name)
	if len(a.trace) == 16 {
		a.trace = append(a.trace[:0], a.trace[1:]...)
	}
	a.trace = append(a.trace, name)
}

func (a *actor) failf(h how, format string, args ...any) {
	a.run.failf("%s on %s: %s\n    after: %s", a.name, h, fmt.Sprintf(format, args...), strings.Join(a.trace, ", "))
}

// how draws a way to connect.
func (a *actor) how() how {
	h := how{
		node:    a.run.node(a.rnd),
		direct:  a.rnd.IntN(2) == 0,
		via:     a.rnd.IntN(vias),
		deflate: a.rnd.IntN(3) == 0,
	}
	if h.node.Parser == "json" && a.rnd.IntN(8) == 0 {
		h.v3, h.via = true, viaWebSocket
	}
	return h
}

// connect opens a connection. nil means that it could not, for a good reason or with a failure.
func (a *actor) connect(h how) *client {
	c, err := a.run.connect(h)
	if err != nil {
		if !a.run.draining(h.node.ID) {
			a.failf(h, "cannot connect: %v", err)
		}
		return nil
	}
	a.did("connect: " + [vias]string{"WebSocket", "polling", "polling, to upgrade", "polling, to break the upgrade"}[h.via])
	if h.v3 {
		a.did("connect: Engine.IO v3")
	}
	return c
}

// ended waits for the end of a connection that must end, unless the run ends before.
func (a *actor) ended(c *client, why string) {
	select {
	case <-c.sess.ended:
	case <-a.stop:
	case <-time.After(a.run.o.endTime()):
		a.failf(c.sess.how, "%s, but the connection is open after %v\n    the server about %s: %s", why, a.run.o.endTime(), c.sess.sid, a.run.why(c.sess.sid))
	}
	c.sess.shut(false)
}

// visit is the life of a client that behaves.
func (a *actor) visit() {
	h := a.how()
	c := a.connect(h)
	if c == nil {
		return
	}
	v := &visit{actor: a, c: c}
	defer func() { v.c.sess.shut(a.rnd.IntN(2) == 0) }()
	if err := v.begin(); err != nil {
		v.broken(err)
		return
	}
	for range 3 + a.rnd.IntN(40) {
		if !a.turn() {
			break
		}
		if err := v.operation(); err != nil {
			v.broken(err)
			return
		}
		if v.over {
			return
		}
	}
	if err := v.finish(); err != nil {
		v.broken(err)
	}
}

// broken judges the error that ended a visit.
func (v *visit) broken(err error) {
	if errors.Is(err, errGone) {
		if v.c.excused() {
			v.did("cut off by a drain or an eviction")
			return
		}
		select {
		case <-v.c.sess.ended:
			err = fmt.Errorf("%w: %w", err, v.c.sess.err)
		default:
		}
	}
	sess := v.c.sess
	v.failf(sess.how, "%v, %.1f s after it began to connect\n    the server about %s: %s", err, time.Since(sess.began).Seconds(), sess.sid, v.run.why(sess.sid))
}

// begin joins namespaces and upgrades.
func (v *visit) begin() error {
	h := v.c.sess.how
	early := v.rnd.IntN(2) == 0 // an upgrade before anything else
	if early {
		if err := v.upgrade(); err != nil {
			return err
		}
	}
	if h.v3 || v.rnd.IntN(2) == 0 {
		if err := v.join("/"); err != nil {
			return err
		}
	}
	for range v.rnd.IntN(3) {
		if err := v.join(v.namespace()); err != nil {
			return err
		}
	}
	if len(v.socks) == 0 {
		if err := v.join(v.namespace()); err != nil {
			return err
		}
	}
	if !early {
		return v.upgrade()
	}
	return nil
}

func (v *visit) upgrade() error {
	s := v.c.sess
	switch s.via {
	case viaUpgrade:
		v.did("upgrade")
		if err := s.upgrade(); err != nil {
			return fmt.Errorf("%w: upgrade: %w", errGone, err)
		}
	case viaBrokenUpgrade:
		v.did("upgrade that breaks off")
		if err := s.breakUpgrade(v.rnd); err != nil {
			return fmt.Errorf("%w: broken upgrade: %w", errGone, err)
		}
	}
	return nil
}

// finish checks that everything has come, and leaves in one way or another.
func (v *visit) finish() error {
	for _, s := range v.socks {
		if err := s.settle(); err != nil {
			return err
		}
		n, err := s.callInt("resync", s.sent)
		if err != nil {
			return err
		}
		if n != s.sent {
			return fmt.Errorf("lost: %s has sent %d events, the server got %d", s.nsp, s.sent, n)
		}
		if err := v.leaveRooms(s); err != nil {
			return err
		}
	}
	sess := v.c.sess
	switch v.rnd.IntN(5) {
	case 0:
		v.did("end: reset")
		sess.shut(true)
	case 1:
		v.did("end: connection closed")
		sess.shut(false)
	case 2:
		v.did("end: half closed")
		sess.half()
		v.ended(v.c, "the client has closed its direction")
	case 3:
		for _, s := range v.socks {
			if err := v.leave(s); err != nil {
				return err
			}
		}
		fallthrough
	default:
		v.did("end: closed by the protocol")
		sess.leave()
	}
	return nil
}

// churn connects and goes away at once, some times.
func (a *actor) churn() {
	for range 2 + a.rnd.IntN(10) {
		if !a.turn() {
			return
		}
		h := a.how()
		c := a.connect(h)
		if c == nil {
			return
		}
		if n := a.rnd.IntN(4); n > 0 {
			s := &sock{c: c, nsp: "/chat", acks: make(map[int]chan []any), moved: make(chan struct{}, 1), rooms: make(map[string]*membership)}
			if n == 1 { // gone before the answer
				s.leaving.Store(true)
				c.mu.Lock()
				c.socks["/chat"] = s
				c.mu.Unlock()
				c.send(packet{typ: tConnect, nsp: "/chat", id: -1})
			} else if _, err := s.enter(nil); err != nil && !a.run.draining(h.node.ID) {
				a.failf(h, "CONNECT: %v, %s", err, c.sess.sid)
			}
		}
		a.did("churn")
		c.sess.shut(a.rnd.IntN(2) == 0)
	}
}

// vanish stops answering pings, and keeps the connection.
func (a *actor) vanish() {
	c := a.connect(a.how())
	if c == nil {
		return
	}
	defer c.sess.shut(false)
	if _, err := c.join("/"); err != nil {
		if !c.excused() {
			a.failf(c.sess.how, "CONNECT: %v", err)
		}
		return
	}
	a.did("vanish")
	c.sess.pong.Store(false)
	a.ended(c, "pings are not answered")
}

// silent opens a session and joins nothing.
func (a *actor) silent() {
	h := a.how()
	h.v3 = false
	c := a.connect(h)
	if c == nil {
		return
	}
	a.did("join no namespace")
	a.ended(c, "no namespace was joined")
}

// overwhelmed asks for more than its send buffer holds, and does not read.
func (a *actor) overwhelmed() {
	h := a.how()
	h.v3 = false
	c := a.connect(h)
	if c == nil {
		return
	}
	defer c.sess.shut(false)
	s, err := c.join("/chat")
	if err != nil {
		if !c.excused() {
			a.failf(h, "CONNECT: %v, %s", err, c.sess.sid)
		}
		return
	}
	a.did("overwhelmed: send buffer full")
	c.sess.gate.Lock()
	const count, size = 160, 60_000 // beyond what kernels buffer, too
	err = s.emit("burst", count, size, true)
	// Time for the server to write until nothing goes any more; if that is too short, it sees a client that is not slow.
	time.Sleep(time.Second)
	c.sess.gate.Unlock()
	if err != nil && !c.excused() {
		a.failf(h, "emit: %v", err)
	}
	deadline := time.After(a.run.o.endTime())
	for {
		select {
		case <-c.sess.ended:
			return
		case <-s.moved:
			s.mu.Lock()
			got := s.got
			s.mu.Unlock()
			if got == count {
				a.did("overwhelmed: but got everything")
				return
			}
		case <-deadline:
			s.mu.Lock()
			a.failf(h, "slow client: neither closed nor served, %d events have come\n    the server about %s: %s", s.got, c.sess.sid, a.run.why(c.sess.sid))
			s.mu.Unlock()
			return
		}
	}
}
