package sio

import (
	"math"

	"github.com/epio-go/epio/codec"
)

// A client may join namespaces and leave them as fast as it can send. What that costs until the
// middlewares, connect handlers and disconnect handlers have run is counted like events that
// wait, so that the connection is not read while there is too much of it.

// authSize returns the bytes that an auth payload keeps.
func authSize(auth *codec.In) int {
	if auth == nil {
		return 0
	}
	return auth.Size()
}

// maxAuths bounds the auth payloads that the sockets of one connection keep, as they can be
// read for as long as the sockets live: to ten of the largest.
func (c *client) maxAuths() int {
	return min(max(codec.DefaultMaxAttachmentBytes, 10*c.srv.cfg.Engine.MaxPayload), math.MaxInt32)
}

// leaving accounts for a socket that its client disconnects, until its end. It is called by
// whoever delivers the connection's messages.
func (c *client) leaving(s *Socket) {
	c.queued(0)
	s.mu.Lock()
	again := s.ended || s.leaving
	s.leaving = true
	s.mu.Unlock()
	if again { // somebody else disconnected it, and it is at its end already
		c.handled(0)
	}
}

// brief shortens a name that a client has chosen, for the log.
func brief(name string) string {
	const most = 100
	if len(name) <= most {
		return name
	}
	return name[:most] + "…"
}
