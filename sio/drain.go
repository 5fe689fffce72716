package sio

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/epio-go/epio/eio"
)

// Drain moves the clients to other servers without a wave of reconnections, and then
// shuts the server down. New sessions are refused with HTTP 503 from now on, while those that exist, and the
// listeners, go on. Over the given period, in random order and at random moments, each
// connection is closed with the reason ServerShutdown, which makes clients reconnect by
// themselves: at once if it is idle, else when its events are handled and the acknowledgements it
// owes have come or timed out. What it sends while it is being closed is not handled, so that
// what is handled can be answered. In the end, or when ctx ends, Shutdown(ctx) does the rest, and
// its error is returned.
//
// The HTTP server that uses this Server as a handler is its owner's to stop, after Drain. Take the
// server out of the load balancer first, see Draining: until then clients come back to it and are refused.
func (srv *Server) Drain(ctx context.Context, period time.Duration) error {
	srv.draining.Store(true)
	srv.engine.RefuseHandshakes()
	left := srv.depart(ctx, srv.remaining(), period)

	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for ctx.Err() == nil {
		left = slices.DeleteFunc(left, (*eio.Session).Closed)
		if len(left) == 0 {
			late := srv.remaining() // their handshakes were under way when Drain began
			if len(late) == 0 {
				break
			}
			left = srv.depart(ctx, late, 0)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return srv.Shutdown(ctx)
}

// drainTick is how often Drain looks whether the connections have been closed.
const drainTick = 20 * time.Millisecond

// Draining reports whether Drain or Shutdown has begun: what a readiness probe wants
// to know.
func (srv *Server) Draining() bool { return srv.draining.Load() }

// remaining returns the sessions that have not been closed.
func (srv *Server) remaining() (all []*eio.Session) {
	for sess := range srv.engine.All() {
		if !sess.Closed() {
			all = append(all, sess)
		}
	}
	return all
}

// depart tells connections to leave, one after the other over the period, and returns those that know.
func (srv *Server) depart(ctx context.Context, all []*eio.Session, period time.Duration) (told []*eio.Session) {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for i, sess := range all {
		// Each in its own slice of the period, somewhere.
		at := time.Duration(float64(period) * (float64(i) + rand.Float64()) / float64(len(all)))
		if wait := at - time.Since(start); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return told
			}
		}
		if sess.Opened() {
			sess.Data().(*client).depart()
			told = append(told, sess)
		}
	}
	return told
}

// depart closes the connection as soon as nothing waits for handlers or acknowledgements.
func (c *client) depart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.load.left {
		c.load.leaving = true
		c.leaveLocked()
	}
}

// leaveLocked closes a connection that is to leave, if it can.
func (c *client) leaveLocked() {
	if c.load.leaving && c.load.events == 0 && c.load.calls == 0 {
		c.load.leaving, c.load.left = false, true
		go c.sess.Close(eio.Reason(ServerShutdown)) // calls back into the client
	}
}
