package sio

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
)

// traveller is a client that comes back: it keeps what the official one keeps. It
// belongs to one goroutine.
type traveller struct {
	*peer
	r    *rig
	nsp  string
	sid  string
	pid  string
	last *string // offset
	auth string  // more of the auth payload: `,"token":1`

	recovered bool
	early     []string // what came in front of the answer to CONNECT
}

func withRecovery(cfg Config) Config {
	if cfg.Recovery == nil {
		cfg.Recovery = new(Recovery)
	}
	return cfg
}

// traveller connects a client to the namespace.
func (r *rig) traveller(nsp string) *traveller {
	c := &traveller{r: r, nsp: nsp}
	c.connect(r.websocket())
	return c
}

// back is a new connection of a client that was away.
func (c *traveller) back() *traveller {
	c.r.t.Helper()
	c.connect(c.r.websocket())
	return c
}

// wantBack is back for a client that must be recovered.
func (c *traveller) wantBack() *Socket {
	c.r.t.Helper()
	sid := c.sid
	c.back()
	if !c.recovered || c.sid != sid {
		c.r.t.Fatalf("not recovered: %s is now %s\n%s", sid, c.sid, c.r.log)
	}
	s := c.socket()
	if s == nil || !s.Recovered() {
		c.r.t.Fatalf("the server's socket is %v", s)
	}
	return s
}

// wantStranger is back for a client that must not be recovered.
func (c *traveller) wantStranger() *Socket {
	c.r.t.Helper()
	sid := c.sid
	c.back()
	if c.recovered || c.sid == sid || len(c.early) > 0 {
		c.r.t.Fatalf("recovered %s (%s), got %q before", sid, c.sid, c.early)
	}
	s := c.socket()
	if s == nil || s.Recovered() {
		c.r.t.Fatalf("the server's socket is %v", s)
	}
	return s
}

// connect joins the namespace as the official client does.
func (c *traveller) connect(p *peer) {
	c.r.t.Helper()
	c.peer = p
	auth := c.auth
	if c.pid != "" {
		auth = `,"pid":"` + c.pid + `"` + auth
		if c.last != nil {
			text, err := json.Marshal(c.last)
			must(c.r.t, err)
			auth = `,"offset":` + string(text) + auth
		}
	}
	if auth != "" {
		auth = "{" + auth[1:] + "}"
	}
	p.send("40" + prefix(c.nsp) + auth)
	c.early = nil
	for {
		got := p.next().data
		body, ok := strings.CutPrefix(got, "40"+prefix(c.nsp))
		if !ok {
			c.early = append(c.early, got)
			continue
		}
		var reply struct{ SID, PID string }
		must(c.r.t, json.Unmarshal([]byte(body), &reply))
		c.recovered = c.pid == reply.PID
		c.sid, c.pid = reply.SID, reply.PID
		break
	}
	for _, e := range c.early {
		c.took(e)
	}
}

// took notes the offset of an event, as the official client does, and returns the event
// without it.
func (c *traveller) took(packet string) string {
	c.r.t.Helper()
	body, ok := strings.CutPrefix(packet, "42"+prefix(c.nsp))
	if !ok || body[0] != '[' {
		return packet
	}
	var args []json.RawMessage
	must(c.r.t, json.Unmarshal([]byte(body), &args))
	var s string
	if json.Unmarshal(args[len(args)-1], &s) != nil {
		return packet
	}
	c.last = &s
	return strings.TrimSuffix(packet, fmt.Sprintf(",%q]", s)) + "]"
}

// wantEvents checks the next events, each with an offset.
func (c *traveller) wantEvents(want ...string) {
	c.r.t.Helper()
	for _, w := range want {
		got := c.next().data
		if bare := c.took(got); bare != w || bare == got {
			c.r.t.Fatalf("got %q, want %q with an offset", got, w)
		}
	}
}

// wantEarly checks what came in front of the answer to CONNECT.
func (c *traveller) wantEarly(want ...string) {
	c.r.t.Helper()
	var got []string
	for _, e := range c.early {
		got = append(got, c.took(e))
	}
	if !slices.Equal(got, want) {
		c.r.t.Fatalf("missed %q, want %q", got, want)
	}
}

// lose ends the connection without a word.
func (c *traveller) lose() {
	c.close()
	synctest.Wait()
}

func (c *traveller) socket() *Socket {
	c.r.t.Helper()
	return c.r.srv.namespace(c.nsp).Socket(c.sid)
}
