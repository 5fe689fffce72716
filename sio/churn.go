package sio

import (
	"math"

	"github.com/epio-go/epio/codec"
)

// A client may join namespaces and leave them as fast as it can send. What that costs until the
// middlewares, connect handlers and disconnect handlers have run is counted like events that
// wait, so that the connection is not read while there is too much of it.

// joinSize returns the bytes that a socket keeps of its CONNECT: the auth payload, and the name
// unless it is one that Of has made. Nobody else may need the name of a child.
func (c *client) joinSize(nsp []byte, auth *codec.In) int {
	n := 0
	if auth != nil {
		n = auth.Size()
	}
	if c.srv.static(nsp) == nil {
		n += len(nsp)
	}
	return n
}

// maxKept bounds what the sockets of one connection keep of their CONNECTs, as it can be
// read for as long as the sockets live: to ten of the largest.
func (c *client) maxKept() int {
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
func brief(name string) string { return shortened(name, 100) }

// briefErr shortens an error, for the log: many quote what a client has sent.
func briefErr(err error) any {
	const most = 2000
	if text := err.Error(); len(text) > most {
		return shortened(text, most)
	}
	return err
}

func shortened(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
