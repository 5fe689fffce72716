package sio

import (
	"sync"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// incomplete watches for attachments that do not come. A connection has one from the first
// packet that is not complete at once, until a time limit passes in which all were.
type incomplete struct {
	engine.Timer
	c *client

	since time.Duration // guarded by c.mu: when the last part came; 0 if nothing is outstanding
}

// partial notes that a part of a packet has come and others are outstanding.
func (c *client) partial() {
	w := c.srv.engine.Engine().Wheel()
	now := w.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rest == nil {
		if c.ended {
			return
		}
		c.rest = &incomplete{c: c}
		c.rest.Init(w, c.rest)
		c.rest.Reset(now + c.srv.cfg.AttachmentTimeout)
	}
	c.rest.since = max(now, 1) // the clock starts with the server
}

// whole notes that nothing is outstanding.
func (c *client) whole() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rest != nil {
		c.rest.since = 0
	}
}

// Expire implements engine.Expirer.
func (r *incomplete) Expire(*engine.Timer) {
	c := r.c
	now, limit := c.srv.engine.Engine().Wheel().Now(), c.srv.cfg.AttachmentTimeout
	c.mu.Lock()
	if (c.load.held || c.load.throttled) && r.since != 0 {
		r.since = max(now, 1) // it is us who do not read
	}
	late := false
	switch {
	case c.ended || r.since == 0:
		c.rest = nil
	case now-r.since < limit:
		r.Reset(r.since + limit)
	default:
		late = true
		c.rest = nil
	}
	c.mu.Unlock()
	if late {
		c.srv.log.Info("sio: attachments did not come in time", "remote", c.remote())
		c.sess.Close(eio.ParseError)
	}
}

// manyAttachments remembers the events that have been warned of.
type manyAttachments struct {
	mu     sync.Mutex
	events map[string]struct{}
}

// maxWarned bounds the events that are remembered. Names beyond it are not warned of.
const maxWarned = 100

// warnAttachments warns, once for each event name, of an event that many clients do not take.
// It borrows f.
func (srv *Server) warnAttachments(event string, f *pool.Frame) {
	if n := codec.AttachmentsIn(f.Bytes()); n > codec.DefaultMaxAttachments {
		srv.warnMany("event", event, n)
	}
}

// warnAnswer is warnAttachments for the answer to m.
func (m *Message) warnAnswer(f *pool.Frame) {
	if n := codec.AttachmentsIn(f.Bytes()); n > codec.DefaultMaxAttachments {
		m.s.ns.srv.warnMany("answer", m.Event(), n)
	}
}

func (srv *Server) warnMany(kind, event string, n int) {
	m := &srv.warned
	key := kind + " " + event
	m.mu.Lock()
	_, again := m.events[key]
	again = again || len(m.events) >= maxWarned
	if !again {
		if m.events == nil {
			m.events = make(map[string]struct{})
		}
		m.events[key] = struct{}{}
	}
	m.mu.Unlock()
	if !again {
		srv.log.Warn("sio: more attachments than JavaScript clients of today accept by default; they end the connection",
			"kind", kind, "event", event, "attachments", n, "limit", codec.DefaultMaxAttachments)
	}
}
