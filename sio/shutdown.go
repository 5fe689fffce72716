package sio

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/epio-go/epio/eio"
)

// busy counts the goroutines that run handlers.
type busy struct {
	n       atomic.Int64
	waiting atomic.Bool // somebody waits for n to become 0
	mu      sync.Mutex
	cond    sync.Cond
}

func (b *busy) init() { b.cond.L = &b.mu }

func (b *busy) add() { b.n.Add(1) }

func (b *busy) done() {
	if b.n.Add(-1) == 0 && b.waiting.Load() {
		b.wake()
	}
}

func (b *busy) wake() {
	b.mu.Lock()
	b.cond.Broadcast()
	b.mu.Unlock()
}

// wait waits until no handler runs or ctx ends.
func (b *busy) wait(ctx context.Context) error {
	b.waiting.Store(true)
	stop := context.AfterFunc(ctx, b.wake)
	defer stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.n.Load() > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.cond.Wait()
	}
	return nil
}

// Shutdown ends the server in good order: it accepts no more connections and no more
// events, lets the handlers that run, and those of events that wait, finish and their
// packets leave, then disconnects every
// socket with the reason ServerShutdown, waits for the disconnect handlers, and
// closes adapters and connections. Clients reconnect to another server.
//
// When ctx ends first, what remains is cut off and ctx's error is returned.
// Shutting down twice is harmless.
//
// In a cluster, what was emitted before the adapters are closed is still published. From
// then on Emit returns a *PublishError that wraps net.ErrClosed.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.mu.Lock()
	first := !srv.closing
	srv.closing = true
	srv.mu.Unlock()

	srv.draining.Store(true)
	srv.engine.Refuse()
	srv.deaf.Store(true) // else there would always be a handler that runs
	err := srv.busy.wait(ctx)
	srv.endLife()
	for sess := range srv.engine.All() {
		sess.Close(eio.Reason(ServerShutdown))
	}
	if werr := srv.busy.wait(ctx); err == nil {
		err = werr
	}
	if eerr := srv.engine.Shutdown(ctx); err == nil {
		err = eerr
	}
	srv.workers.close()
	srv.stopLingering()
	if first {
		for ns := range srv.Namespaces() {
			srv.closeAdapter(ctx, ns)
		}
	}
	return err
}

// Close ends the server at once. Handlers that run are not waited for, but their
// contexts end.
func (srv *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := srv.Shutdown(ctx); err != context.Canceled {
		return err
	}
	return nil
}
