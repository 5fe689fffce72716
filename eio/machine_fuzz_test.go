package eio

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/epio-go/epio/codec"
)

// machineRun drives a machine as a session does, with numbers for packets, and holds what
// must be true after every event.
type machineRun struct {
	t   *testing.T
	m   machine
	tm  timing
	now time.Duration

	waiting []int // in the outbox
	sent    int   // numbers given to packets so far
	got     []int // by the client, over whatever transport

	park                    bool   // a GET waits, or has been woken and has not run yet
	woken                   action // what for
	post                    bool
	cand                    bool // the second transport is there
	held                    bool // and nobody reads from it
	onConn                  bool // packets go straight to a connection
	shut                    bool // which has got its last frame
	switches, ends, removed int
	dropped                 bool // doDiscard came: what waited is lost, and may be
}

// do executes e and checks it.
func (r *machineRun) do(e effect) {
	r.t.Helper()
	fail := func(what string) {
		r.t.Helper()
		r.t.Fatalf("%s: effect %b, %+v", what, e.do, r.m)
	}
	if e.do.has(doDiscard) {
		r.dropped, r.waiting = true, nil
	}
	if e.do.has(doNoop | doClosePoll) {
		if !r.park {
			fail("an answer for a poll that is not there")
		}
		r.wake(e.do & (doNoop | doClosePoll))
	}
	if e.do.has(doProbe) && !r.cand || e.do.has(doHold) && (!r.cand || r.held) {
		fail("no candidate for it")
	}
	r.held = r.held || e.do.has(doHold)
	if e.do.has(doSwitch) {
		if !r.cand || r.onConn {
			fail("nothing to switch to")
		}
		r.switches++
		r.got, r.waiting = append(r.got, r.waiting...), nil
		r.cand, r.held, r.onConn = false, false, true
	}
	if e.do.has(doDrop) {
		if !r.cand {
			fail("no candidate to drop")
		}
		r.cand, r.held = false, false
	}
	if e.do.has(doShut) {
		if !r.onConn || r.shut {
			fail("no connection to shut")
		}
		r.shut = true
	}
	if e.do.has(doEnd) {
		r.ends++
		if e.reason == "" {
			fail("an end without a reason")
		}
	}
	if e.do.has(doRemove) {
		r.removed++
	}
	if e.do.has(doPing|doPong|doDeliver) && r.ends > 0 {
		fail("after the end")
	}
	if e.do.has(doPing|doPong) && !r.onConn {
		r.wake(doAnswer)
	}
}

func (r *machineRun) wake(reply action) {
	if r.park && (r.woken == 0 || reply == doClosePoll) {
		r.woken = reply
	}
}

// collect is the GET that was woken.
func (r *machineRun) collect() {
	if !r.park || r.woken == 0 {
		return
	}
	r.park, r.woken = false, 0
	r.m.answered()
	if !r.onConn {
		r.got, r.waiting = append(r.got, r.waiting...), nil
	}
}

func (r *machineRun) check() {
	r.t.Helper()
	m := &r.m
	fail := func(what string) {
		r.t.Helper()
		r.t.Fatalf("%s: %+v", what, *m)
	}
	all := slices.Concat(r.got, r.waiting)
	for i, n := range all {
		if n != i {
			fail("packets are lost, doubled or out of order")
		}
	}
	switch {
	case len(all) != r.sent && !r.dropped:
		fail("packets are lost")
	case r.dropped && m.phase != phaseClosed:
		fail("packets dropped and the session goes on")
	case r.switches > 1:
		fail("two upgrades")
	case r.ends > 1 || r.removed > 1:
		fail("ends twice")
	case (r.ends > 0) != (m.phase != phaseOpen):
		fail("the application is not told, or too early")
	case (r.removed > 0) != (m.phase == phaseClosed):
		fail("the session is not forgotten, or too early")
	case (m.candidate != stageNone) != r.cand:
		fail("wrong about the candidate")
	case (m.candidate == stagePending) != r.held:
		fail("the candidate is held for ever, or not")
	case r.held && !r.post:
		fail("the candidate waits for no POST")
	case (m.transport == Polling) == r.onConn:
		fail("wrong about the transport")
	case m.parked != r.park, m.posting != r.post:
		fail("wrong about the requests")
	case r.onConn && r.park && r.woken == 0:
		fail("a poll waits for a transport that is not in use")
	case m.phase == phaseClosed && (r.cand || r.onConn && !r.shut || r.park && r.woken == 0):
		fail("something of a closed session is left")
	case r.shut && m.phase != phaseClosed:
		fail("the connection is shut and the session goes on")
	case m.phase == phaseClosed && m.next() != never:
		fail("a closed session has a timer")
	}
}

// fire runs the timer, as often as it is due, and checks that it gets somewhere.
func (r *machineRun) fire() {
	r.t.Helper()
	for n := 0; r.m.next() <= r.now; n++ {
		if n > 3 {
			r.t.Fatalf("the timer is due for ever: %+v", r.m)
		}
		r.do(r.m.timer(r.now, &r.tm))
		r.check()
	}
}

// pass lets time go by, the timer firing when it should.
func (r *machineRun) pass(d time.Duration) {
	r.t.Helper()
	for end := r.now + d; ; {
		at := r.m.next()
		if at > end {
			r.now = end
			return
		}
		r.now = max(r.now, at)
		r.fire()
	}
}

// The events of the fuzz target, each with what a driver makes of it.
func (r *machineRun) event(kind, arg byte) {
	r.t.Helper()
	m := &r.m
	packet := codec.PacketType("0123456"[arg%7])
	switch kind % 16 {
	case 0: // the application sends
		if m.phase != phaseOpen {
			return
		}
		if r.onConn {
			r.got = append(r.got, r.sent)
		} else {
			r.waiting = append(r.waiting, r.sent)
			r.wake(doAnswer)
		}
		r.sent++
	case 1:
		e := m.poll(r.now, len(r.waiting) > 0)
		switch {
		case e.do.has(doRefuse):
		case e.do.has(doAnswer):
			r.got, r.waiting = append(r.got, r.waiting...), nil
		default:
			r.park, r.woken = true, 0
		}
		r.do(e)
	case 2:
		r.collect()
	case 3:
		if r.park {
			r.park, r.woken = false, 0
			phase := m.phase
			r.do(m.aborted())
			if r.onConn && m.phase != phase {
				r.t.Fatalf("a poll that has outlived polling ends the session: %+v", *m)
			}
		}
	case 4:
		e := m.post()
		r.post = r.post || !e.do.has(doRefuse)
		r.do(e)
	case 5:
		if r.post {
			r.post = false
			var err error
			if arg%4 == 0 && m.phase != phaseClosed {
				err = ErrPostAborted
			}
			r.do(m.posted(err))
			if err != nil && m.phase != phaseClosed {
				r.t.Fatalf("a POST has broken off and the session goes on: %+v", *m)
			}
		}
	case 6: // a packet in the POST, or on the connection
		if r.post || r.onConn && !r.shut {
			before := *m
			passes := m.passes(packet)
			e := m.packet(r.now, mainLink, packet, nil, &r.tm)
			if passes && (e != effect{do: doDeliver} || *m != before) {
				r.t.Fatalf("passes, but has another effect: %+v", before)
			}
			r.do(e)
		}
	case 7:
		if r.post || r.onConn && !r.shut {
			r.do(m.invalid(mainLink, errors.New("bad packet")))
		}
	case 8:
		e := m.open(r.now, []Transport{WebSocket, WebTransport}[arg%2], &r.tm)
		if !e.do.has(doRefuse) {
			r.cand = true
		}
		r.do(e)
	case 9:
		if r.cand && !r.held {
			data := ""
			if packet == codec.Ping && arg >= 7 {
				data = "probe"
			}
			r.do(m.packet(r.now, candidateLink, packet, []byte(data), &r.tm))
		}
	case 10:
		if r.cand && !r.held {
			r.do(m.packet(r.now, candidateLink, codec.Upgrade, nil, &r.tm))
		}
	case 11:
		if r.cand && arg%2 == 0 {
			r.do(m.lost(candidateLink, TransportClose, nil))
		} else if r.onConn && !r.shut {
			r.do(m.lost(mainLink, TransportClose, nil))
			r.shut = true
		}
	case 12:
		m.hold(r.now, arg%2 == 0, &r.tm)
	case 13:
		r.do(m.close(r.now, ForcedClose, len(r.waiting) > 0, &r.tm))
	case 14:
		r.do(m.discard(ForcedClose))
	case 15:
		if arg%8 == 0 { // the process was stopped
			r.now += time.Duration(arg) * time.Second / 4
			r.fire()
		} else {
			r.pass(time.Duration(arg) * 60 * time.Millisecond)
		}
	}
}

// FuzzMachine reads its input as a list of events, two bytes each: the kind, and what it
// needs to know. Whatever they are, packets arrive in order and once, there is at most
// one upgrade, a closed session holds nothing, and a session whose client has gone silent
// comes to its end.
func FuzzMachine(f *testing.F) {
	upgrade := []byte{8, 0, 9, 9, 10, 0}
	for _, events := range [][]byte{
		{},
		slices.Concat([]byte{1, 0, 0, 0, 2, 0, 0, 0}, upgrade, []byte{0, 0, 15, 200, 6, 3, 13, 0}),
		slices.Concat([]byte{4, 0, 0, 0}, upgrade, []byte{5, 1, 0, 0, 11, 1}),
		{0, 0, 13, 0, 15, 200, 1, 0, 1, 0},
		{1, 0, 13, 0, 2, 0},
		{1, 0, 8, 1, 9, 9, 15, 3, 15, 3, 2, 0, 1, 0, 15, 201},
		{12, 0, 15, 255, 15, 255, 15, 255, 12, 1, 15, 255, 15, 255},
		{4, 0, 6, 2, 6, 3, 6, 4, 6, 1, 5, 0},
		{1, 0, 1, 0},
		{4, 0, 4, 0},
		{15, 248, 15, 248, 15, 248},
	} {
		for start := range byte(5) {
			f.Add(start, events)
		}
	}
	f.Fuzz(func(t *testing.T, start byte, events []byte) {
		if len(events) > 1024 {
			return
		}
		r := &machineRun{t: t, tm: timing{interval: 2500 * time.Millisecond, timeout: 2 * time.Second, upgrade: time.Second, linger: 3 * time.Second}}
		r.tm.clientPings = start >= 3
		from := []Transport{Polling, WebSocket, WebTransport, Polling, WebSocket}[start%5]
		r.m.start(r.now, from, &r.tm)
		r.onConn = from != Polling
		r.check()
		for ; len(events) >= 2; events = events[2:] {
			r.event(events[0], events[1])
			r.check()
			r.fire()
		}
		// Silence: no client, and an application that listens.
		r.m.hold(r.now, false, &r.tm)
		r.collect()
		r.pass(2 * (r.tm.interval + r.tm.timeout + r.tm.linger + r.tm.upgrade))
		r.collect()
		r.check()
		if r.m.phase != phaseClosed || r.removed != 1 || r.ends != 1 {
			t.Fatalf("alive after the silence: %+v", r.m)
		}
	})
}
