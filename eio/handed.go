package eio

import (
	"net"
	"sync"
	"time"
)

// handed is a connection that a doorman has given to the internal HTTP server. Its peer may
// not leave an answer unread for longer than it may be silent: net/http alone would wait for
// ever, with a goroutine, a descriptor and the answer. http.Server.WriteTimeout is no
// help, as it counts from the request, and answers to polls and POSTs may come late.
//
// The limit is for one Write, so that long answers of the fallback are not cut off.
type handed struct {
	net.Conn
	secure   bool
	patience time.Duration

	mu    sync.Mutex
	until time.Time // guarded by mu: the deadline for writing that others have set
}

// Write implements net.Conn.
func (c *handed) Write(p []byte) (int, error) {
	c.mu.Lock()
	until := time.Now().Add(c.patience)
	if !c.until.IsZero() && c.until.Before(until) {
		until = c.until
	}
	_ = c.Conn.SetWriteDeadline(until) // connections without deadlines, in-memory ones, have no slow peers
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// SetWriteDeadline implements net.Conn.
func (c *handed) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *handed) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	return c.Conn.SetDeadline(t)
}

// CloseWrite shuts down the sending half, see the engine's detached connections.
func (c *handed) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}
