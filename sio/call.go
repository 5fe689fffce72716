package sio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
)

// Call emits an event and waits for its acknowledgement. It returns the first
// argument of that, decoded into T ([None] if it does not matter).
//
// For a selection it returns the first good answer, or the last error when there
// is none, and ErrNoReceivers when nobody was selected.
//
// The wait ends with ErrAckTimeout after the target's Timeout (Config.AckTimeout by
// default), with ctx's error, or with the Reason when the socket disconnects. A
// deadline of ctx replaces the default, not a Timeout. An answer that does not fit T is a
// *codec.DecodeError; the other errors are those of Emit.
func Call[T any](ctx context.Context, to Callee, event string, args ...any) (T, error) {
	t := to.callee()
	if t.only != nil {
		return callOne[T](ctx, &t, event, args)
	}
	err := ErrNoReceivers
	for a, e := range Gather[T](ctx, t, event, args...) {
		if e == nil {
			return a.Value, nil
		}
		err = e
	}
	var zero T
	return zero, err
}

// callOne is Call for a target of one socket on this server.
func callOne[T any](ctx context.Context, t *Target, event string, args []any) (v T, err error) {
	if ctx.Err() != nil { // nobody would hear the answer
		return v, fmt.Errorf("sio: %q: %w", event, context.Cause(ctx))
	}
	seen := observeAcks(t.ns.srv, event)
	i, err := t.call(ctx, event, args)
	if err == nil {
		err = i.decode(&v)
	}
	seen.answer(t.only.id, err)
	return v, err
}

// waiter waits for the acknowledgement of one socket.
type waiter struct {
	got   gathered
	done  chan struct{} // capacity 1; filled when got is set, once for each expect
	timer *time.Timer
}

// waiters is a pool of one server's: a channel must not get from one bubble of a test into
// another.
type waiters struct{ pool sync.Pool }

func (p *waiters) get() *waiter {
	if w, ok := p.pool.Get().(*waiter); ok {
		return w
	}
	w := &waiter{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	w.timer.Stop()
	return w
}

// put takes w, which nobody else knows any more and whose done is empty.
func (p *waiters) put(w *waiter) {
	w.got = gathered{}
	p.pool.Put(w)
}

// answered implements ackWaiter.
func (w *waiter) answered(s *Socket, in *codec.In) {
	w.got = gathered{id: s.id, in: in}
	w.done <- struct{}{}
}

// failed implements ackWaiter.
func (w *waiter) failed(s *Socket, err error) {
	w.got = gathered{id: s.id, err: err}
	w.done <- struct{}{}
}

// call sends the event to the target's one socket and waits for the answer, which the caller
// has to decode.
func (t *Target) call(ctx context.Context, event string, args []any) (gathered, error) {
	s := t.only
	pool := &s.c.srv.waiters
	w := pool.get()
	id := s.ns.ackID.Add(1) - 1
	if !s.expect(id, w) {
		pool.put(w)
		return gathered{}, s.cause()
	}
	if err := s.emitAs(event, int64(id), args, t.flags&^adapter.Volatile, t.full.policy(s.c.srv)); err != nil {
		if s.unexpect(id) == nil {
			<-w.done // the socket left, or its client guesses ids
			w.got.drop()
		}
		pool.put(w)
		if errors.Is(err, ErrClosed) {
			err = s.cause()
		}
		return gathered{}, err
	}
	err := w.wait(ctx, t, event)
	if err != nil && s.unexpect(id) == nil {
		<-w.done // it came just now
		err = nil
	}
	got := w.got
	pool.put(w)
	return got, err
}

// wait waits for the answer, which is in w.got then, or returns why there is none.
func (w *waiter) wait(ctx context.Context, t *Target, event string) error {
	var limit <-chan time.Time
	if _, has := ctx.Deadline(); t.timeout > 0 || !has {
		w.timer.Reset(t.wait())
		defer w.timer.Stop()
		limit = w.timer.C
	}
	select {
	case <-w.done:
		return nil
	case <-limit:
		return ErrAckTimeout
	case <-ctx.Done():
		return fmt.Errorf("sio: %q: %w", event, context.Cause(ctx))
	}
}

// ackMaps keeps the maps of sockets that wait for no acknowledgement any more.
var ackMaps = sync.Pool{New: func() any { return make(map[uint64]ackWaiter) }}
