package sio

import (
	"context"
	"math/rand/v2"
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
	left := srv.depart(ctx, period)

	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for len(left) > 0 && ctx.Err() == nil {
		open := left[:0]
		for _, sess := range left {
			if !sess.Closed() {
				open = append(open, sess)
			}
		}
		if left = open; len(left) == 0 {
			break
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

// depart tells all connections to leave, one after the other over the period, and returns
// them.
func (srv *Server) depart(ctx context.Context, period time.Duration) []*eio.Session {
	var all []*eio.Session
	for sess := range srv.engine.All() {
		all = append(all, sess)
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	clients := srv.clients()
	for i, sess := range all {
		// Each in its own slice of the period, somewhere.
		at := time.Duration(float64(period) * (float64(i) + rand.Float64()) / float64(len(all)))
		if wait := at - time.Since(start); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return all
			}
			if i%departRefresh == 0 {
				clients = srv.clients() // others have joined a namespace meanwhile
			}
		}
		if c := clients[sess]; c != nil {
			c.depart()
		} else {
			sess.Close(eio.Reason(ServerShutdown)) // it has joined nothing
		}
	}
	return all
}

// departRefresh is after how many connections depart looks again who has joined a namespace.
const departRefresh = 1024

// clients returns the clients that are in a namespace, by session. Those that are not have
// nothing to finish.
func (srv *Server) clients() map[*eio.Session]*client {
	all := make(map[*eio.Session]*client)
	for ns := range srv.Namespaces() {
		for s := range ns.Sockets() {
			all[s.c.sess] = s.c
		}
	}
	return all
}

// depart closes the connection as soon as nothing waits for handlers or acknowledgements.
func (c *client) depart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load.leaving = true
	c.leaveLocked()
}

// leaveLocked closes a connection that is to leave, if it can.
func (c *client) leaveLocked() {
	if c.load.leaving && c.load.events == 0 && c.load.calls == 0 {
		c.load.leaving, c.load.left = false, true
		go c.sess.Close(eio.Reason(ServerShutdown)) // calls back into the client
	}
}
