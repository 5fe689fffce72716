package sio

import (
	"fmt"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/gcra"
)

// Rate is how often something may happen. The zero value is no limit.
type Rate = eio.Rate

// Rates bounds what one connection may do, over all of its namespaces: a client can join as many as
// it likes. Several connections of a client count by themselves: Engine.Admission bounds how many an
// address may have. The zero value has no limits.
type Rates struct {
	// Events bounds the events that the client sends. Acknowledgements do not count.
	Events Rate
	// WhenOver says what happens to events over that rate. Default DropWhenOver.
	WhenOver OverPolicy
	// Joins bounds the attempts to join a namespace. More of them close the connection
	// with the reason RateExceeded.
	Joins Rate
}

// OverPolicy says what to do with events over the rate.
type OverPolicy uint8

const (
	// DropWhenOver drops the event. Hooks.Throttle is told. A client that waits for an
	// acknowledgement gets {"error":{"message":"rate limit exceeded"}}.
	DropWhenOver OverPolicy = iota
	// CloseWhenOver closes the connection with the reason RateExceeded.
	CloseWhenOver
	// SlowDownWhenOver handles the event and does not read the connection until the rate is
	// kept again, so that TCP slows the client down. Acknowledgements behind the event wait,
	// too.
	SlowDownWhenOver
)

// rateText is what clients are told.
const rateText = "rate limit exceeded"

// rateLimits is Rates, ready for use.
type rateLimits struct {
	events, joins gcra.Limit
	over          OverPolicy
}

func (r rateLimits) on() bool { return r.events.On() || r.joins.On() }

func (r Rates) limits() rateLimits {
	return rateLimits{
		events: gcra.New(r.Events.PerSecond, r.Events.Burst),
		joins:  gcra.New(r.Joins.PerSecond, r.Joins.Burst),
		over:   r.WhenOver,
	}
}

// normalizeRates checks Rates and MaxRooms.
func (c *Config) normalizeRates(bad func(field, format string, args ...any)) {
	if p := c.Rates.Events.Normalize(); p != "" {
		bad("Rates.Events", "%s", p)
	}
	if p := c.Rates.Joins.Normalize(); p != "" {
		bad("Rates.Joins", "%s", p)
	}
	if c.Rates.WhenOver > SlowDownWhenOver {
		bad("Rates.WhenOver", "%d is not a policy", c.Rates.WhenOver)
	}
	if c.MaxRooms < 0 {
		bad("MaxRooms", "%d is negative", c.MaxRooms)
	}
}

// limiter is a connection's state of Rates.
type limiter struct {
	c     *client
	timer engine.Timer // ends the pause of SlowDownWhenOver

	// owned by whoever delivers messages of the session
	events, joins gcra.Bucket
	warned        bool

	// guarded by client.mu
	dropped int  // not reported yet
	telling bool // a goroutine reports
}

func newLimiter(c *client) *limiter {
	l := &limiter{c: c}
	l.timer.Init(c.srv.engine.Engine().Wheel(), l)
	return l
}

// Expire implements engine.Expirer: the rate is kept again.
func (l *limiter) Expire(*engine.Timer) {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load.throttled = false
	if !c.load.held {
		c.sess.Resume() // with c.mu held, see resumeLocked
	}
}

// admit reports whether an event may be handled. If not it takes in.
func (c *client) admit(s *Socket, in *codec.In) bool {
	l, r := c.limit, &c.srv.rates
	w := c.srv.engine.Engine().Wheel()
	now := w.Now()
	if r.over == SlowDownWhenOver {
		if wait := l.events.Borrow(r.events, now); wait > 0 {
			c.throttle(now + wait)
		}
		return true
	}
	if l.events.Take(r.events, now) == 0 {
		return true
	}
	c.srv.counts.throttled.Add(1)
	if !l.warned {
		l.warned = true
		c.srv.log.Warn("sio: events over the rate", "remote", c.remote(), "namespace", brief(s.nsp), "id", s.id)
	}
	if r.over == CloseWhenOver {
		in.Release()
		c.sess.Close(eio.Reason(RateExceeded))
		return false
	}
	if in.HasID {
		if f, err := c.srv.cfg.Parser.EncodeAck(s.name(), in.ID, []any{newAckError(&Error{Message: rateText})}); err == nil {
			_ = s.send(f) // the client may be gone, or full
		}
	}
	in.Release()
	if c.srv.cfg.Hooks.Throttle != nil {
		c.mu.Lock()
		l.dropped++
		start := !l.telling
		l.telling = true
		c.mu.Unlock()
		if start {
			go c.tellThrottled(s)
		}
	}
	return false
}

// throttle stops reading until the time at.
func (c *client) throttle(at time.Duration) {
	c.srv.counts.throttled.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.load.throttled = true
	c.sess.Pause()
	c.limit.timer.Reset(at)
}

// tellThrottled reports dropped events until there are no more.
func (c *client) tellThrottled(s *Socket) {
	done := false
	defer func() {
		if !done { // the hook has called runtime.Goexit
			go c.tellThrottled(s)
		}
	}()
	for {
		c.mu.Lock()
		n := c.limit.dropped
		c.limit.dropped = 0
		c.limit.telling = n > 0
		c.mu.Unlock()
		if n == 0 {
			done = true
			return
		}
		c.srv.observe("Throttle", func() { c.srv.cfg.Hooks.Throttle(s, n) })
	}
}

// admitJoin reports whether the client may try to join a namespace; if not, it is
// over.
func (c *client) admitJoin() bool {
	if c.limit.joins.Take(c.srv.rates.joins, c.srv.engine.Engine().Wheel().Now()) == 0 {
		return true
	}
	c.srv.log.Warn("sio: joins over the rate", "remote", c.remote())
	c.sess.Close(eio.Reason(RateExceeded))
	return false
}

// String returns the policy's name for logs.
func (p OverPolicy) String() string {
	switch p {
	case DropWhenOver:
		return "drop"
	case CloseWhenOver:
		return "close"
	case SlowDownWhenOver:
		return "slow down"
	}
	return fmt.Sprintf("OverPolicy(%d)", uint8(p))
}
