package sio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/epio-go/epio/codec"
)

// Retry says how Deliver repeats an event. The zero value is ready for use.
type Retry struct {
	// ID is the message's id, which the client gets as the last argument. Set it to the
	// id of a record to go on with a delivery after a restart. Default: 20 random characters.
	ID string
	// Attempts is how often the event is sent at most. 0 means until ctx ends.
	Attempts int
	// Timeout is how long to wait for the acknowledgement of one attempt. Default: the
	// target's Timeout, or Config.AckTimeout.
	Timeout time.Duration
	// MinWait and MaxWait are the pause before the second attempt, and the longest: it doubles every
	// time, and varies by a quarter. Defaults 1 s and 30 s.
	MinWait, MaxWait time.Duration
}

// Deliver emits an event until it is acknowledged, and returns the first argument of the
// acknowledgement ([None] if it does not matter): delivery at least once. An attempt fails
// when nobody is there, when the acknowledgement does not come in time, when the send buffer is full,
// when the socket disconnects, or when other servers cannot be reached; then comes the next. For a selection the first answer counts, see Call.
//
// A socket that has disconnected does not come back. To reach a client across
// reconnections, send to a room that it joins whenever it connects:
//
//	srv.OnConnect(func(ctx context.Context, s *sio.Socket) error { return s.Join("user:" + userOf(s)) })
//	_, err := sio.Deliver[sio.None](ctx, srv.To("user:7"), sio.Retry{}, "order", order)
//
// The client gets the event again when its acknowledgement was lost. The official client does not
// look for duplicates; the id, the last argument, lets the page do it:
//
//	const seen = new Set();
//	socket.on("order", (order, id, ack) => {
//		if (!seen.has(id)) { seen.add(id); show(order); }
//		ack();
//	});
//
// The error is ctx's, or the last attempt's when there are no more, or at once: that of
// a socket that is gone, an event that cannot be sent, or, with the event delivered, an answer that is no T.
func Deliver[T any](ctx context.Context, to Callee, r Retry, event string, args ...any) (T, error) {
	t := to.callee()
	if r.ID == "" {
		r.ID = newID()
	}
	if r.Timeout > 0 {
		t = t.Timeout(r.Timeout)
	} else {
		t = t.Timeout(t.wait()) // a deadline of ctx is for all attempts
	}
	all := append(append(make([]any, 0, len(args)+1), args...), r.ID)
	// What cannot be encoded will not be later.
	f, err := t.ns.srv.cfg.Parser.EncodeEvent(t.ns.name, 0, event, all)
	if err != nil {
		var zero T
		return zero, &EncodeError{Event: event, Err: err}
	}
	f.Release()
	wait := r.minWait()
	var last error // of an attempt that ctx did not end, if there was one
	for attempt := 1; ; attempt++ {
		v, err := Call[T](ctx, t, event, all...)
		if err == nil || !r.again(&t, attempt, err) {
			return v, err
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		timer := time.NewTimer(time.Duration(float64(wait) * (0.75 + rand.Float64()/2)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return v, fmt.Errorf("sio: %q not delivered after %d attempts: %w (last: %w)", event, attempt, context.Cause(ctx), last)
		}
		wait = min(2*wait, r.maxWait())
	}
}

func (r *Retry) minWait() time.Duration {
	if r.MinWait > 0 {
		return r.MinWait
	}
	return time.Second
}

func (r *Retry) maxWait() time.Duration {
	if r.MaxWait > 0 {
		return max(r.MaxWait, r.minWait())
	}
	return max(30*time.Second, r.minWait())
}

// again reports whether another attempt makes sense after err.
func (r *Retry) again(t *Target, attempt int, err error) bool {
	if r.Attempts > 0 && attempt >= r.Attempts {
		return false
	}
	if _, delivered := errors.AsType[*codec.DecodeError](err); delivered {
		return false
	}
	return t.only == nil || t.only.state.Load() != gone
}
