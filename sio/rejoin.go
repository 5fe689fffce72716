package sio

import (
	"context"
	"errors"
	"sync"

	"github.com/epio-go/epio/adapter"
)

// departures tells sockets that wait for an id when another one has given up its own.
// Only clients of Engine.IO v3 need it: all their sockets in a namespace have the same id,
// one after the other, and the next may ask to join while the last disconnect handler of
// the one before still runs.
type departures struct {
	mu   sync.Mutex
	cond sync.Cond
	n    uint64 // guarded by mu: how many there were
}

func (d *departures) init() { d.cond.L = &d.mu }

func (d *departures) count() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
}

func (d *departures) add() {
	d.mu.Lock()
	d.n++
	d.cond.Broadcast()
	d.mu.Unlock()
}

// wait returns when there are more than n, or with the cause when ctx ends.
func (d *departures) wait(ctx context.Context, n uint64) error {
	stop := context.AfterFunc(ctx, func() {
		d.mu.Lock()
		d.cond.Broadcast()
		d.mu.Unlock()
	})
	defer stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.n == n {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.cond.Wait()
	}
	return nil
}

// attach makes the socket known in its namespace under its id. If that is still its
// predecessor's, it waits.
func (s *Socket) attach() error {
	d := &s.c.srv.departures
	for {
		n := d.count()
		err := s.index().Attach(&s.member, (*receiver)(s))
		if !s.c.old() || !errors.Is(err, adapter.ErrDuplicateID) {
			return err
		}
		if err := d.wait(s.Context(), n); err != nil {
			return err
		}
	}
}

// detach is the counterpart of attach.
func (s *Socket) detach() {
	s.index().Detach(&s.member)
	if s.c.old() {
		s.c.srv.departures.add()
	}
}
