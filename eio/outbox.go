package eio

import (
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// outbox holds the packets of a session while no WebSocket takes them, and the
// HTTP requests that are open. Guarded by Session.mu.
type outbox struct {
	frames []*pool.Frame
	bytes  int
	loose  int    // how many of frames are droppable
	taken  int    // bytes of answers to polls that are being written
	park   *park  // the GET that waits, until it has taken its packets
	post   *post  // the POST in progress
	script string // immutable: what scripts begin with, if answers to polls are scripts
}

// park is a GET that waits for packets. Its handler goroutine receives from
// woken; whoever has something for it closes woken, under Session.mu and once.
type park struct {
	woken chan struct{}
	done  bool   // woken is closed
	reply action // doAnswer, doNoop or doClosePoll
}

// post is a POST in progress. Its handler goroutine reads the body, delivers its
// packets, and waits on change while the session is paused.
type post struct {
	change  chan struct{} // capacity 1; sent by Resume, interrupt and a GET that parks
	unblock func()        // makes a pending read of the body fail; nil once the body is read
	overlap bool          // a second POST came: no answer, the connection is cut
}

// signal wakes the POST's goroutine if it waits on change.
func (p *post) signal() {
	select {
	case p.change <- struct{}{}:
	default:
	}
}

// interrupt ends all waiting of the POST's goroutine, which then finds the session
// closed.
func (p *post) interrupt() {
	if p.unblock != nil {
		p.unblock()
	}
	p.signal()
}

// put takes f and wakes the parked GET. The GET collects the packets itself, so
// that those sent right after f go along and the sender does no encoding.
func (o *outbox) put(f *pool.Frame) {
	o.bytes += f.Len()
	if f.Droppable() {
		o.loose++
	}
	if n := len(o.frames); n >= crowded {
		f = pool.Pack(o.frames[n-1], f)
	}
	if f != nil {
		o.frames = append(o.frames, f)
	}
	o.wake(doAnswer)
}

// crowded is the number of frames from which on small ones are packed.
const crowded = 64

// wake answers the parked GET, if there is one. A CLOSE is stronger than packets.
func (o *outbox) wake(reply action) {
	p := o.park
	if p == nil {
		return
	}
	if !p.done {
		p.done = true
		p.reply = reply
		close(p.woken)
	} else if reply == doClosePoll {
		p.reply = reply
	}
}

// writable reports whether a packet put now leaves at once, alone.
func (o *outbox) writable() bool {
	return o.park != nil && !o.park.done && len(o.frames) == 0
}

// drop releases all packets.
func (o *outbox) drop() {
	for _, f := range o.frames {
		f.Release()
	}
	o.frames, o.bytes, o.loose = nil, 0, 0
}

// payload moves all packets into one polling payload of the form f, which the caller
// releases.
// A payload is never empty: without packets it is a NOOP. CLOSE alone answers a
// parked poll; a poll that finds the session closing gets doAnswer|doClosePoll,
// and thus what is buffered, or a NOOP, in front of the CLOSE as in the reference.
func (o *outbox) payload(reply action, f codec.Form) payload {
	p := newPayload(f, o.frames...)
	for _, f := range o.frames {
		f.ReleaseSent()
	}
	o.frames, o.bytes, o.loose = nil, 0, 0
	if p.empty() && reply != doClosePoll {
		p.add(codec.NoopFrame)
	}
	if reply.has(doClosePoll) {
		p.add(codec.CloseFrame)
	}
	return p
}
