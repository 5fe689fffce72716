package sio

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/gcra"
)

// client is one connection and the sockets it has, one for each namespace.
type client struct {
	// immutable after open
	srv  *Server
	sess *eio.Session

	// owned by whoever delivers messages of the session
	dec codec.Decoder

	mu sync.Mutex
	// guarded by mu
	first    *Socket            // the only socket of most connections
	more     map[string]*Socket // the others, by namespace
	timer    *connectTimer      // nil once a namespace was joined
	rest     *incomplete        // nil while no attachments are outstanding
	load     load
	ended    bool
	kept     int32       // bytes of the names and auth payloads that the sockets keep
	unlogged int32       // lines left out of the log since the last one
	lines    gcra.Bucket // see logger

	limit  *limiter        // immutable after open; nil unless Config.Rates limits something
	broken *ViolationError // set before the session is closed for it
}

// load is what a connection's waiting events cost.
type load struct {
	events, bytes int32
	calls         int32 // acknowledgements that are waited for
	held          bool  // the session is paused because of them
	throttled     bool  // the session is paused because of Rates
	leaving       bool  // the session is to be closed when nothing waits any more
	left          bool  // nothing waited any more: the session is being closed
}

// whileCalling is how many times the usual limits may be exceeded while an
// acknowledgement is waited for: it can only be read behind the events.
const whileCalling = 16

// connectTimer closes a connection that joins no namespace.
type connectTimer struct {
	engine.Timer
	c *client
}

// Expire implements engine.Expirer.
func (t *connectTimer) Expire(*engine.Timer) {
	t.c.srv.log.Debug("sio: no namespace joined in time", "remote", t.c.remote())
	t.c.sess.Close(eio.ForcedClose)
}

// sessions is the Server as eio sees it.
type sessions Server

// Open implements eio.Handler.
func (h *sessions) Open(sess *eio.Session) {
	srv := (*Server)(h)
	c := &client{srv: srv, sess: sess, dec: srv.cfg.Parser.NewDecoder(&srv.cfg.Limits)}
	c.timer = &connectTimer{c: c}
	if srv.rates.on() {
		c.limit = newLimiter(c)
	}
	sess.SetData(c)
	w := srv.engine.Engine().Wheel()
	c.timer.Init(w, c.timer)
	c.timer.Reset(w.Now() + srv.cfg.ConnectTimeout)
	if c.old() {
		c.join([]byte("/"), nil)
	}
}

// Message implements eio.Handler.
func (h *sessions) Message(sess *eio.Session, data []byte, binary bool) {
	c := sess.Data().(*client)
	c.srv.traffic.received(c, len(data))
	var in *codec.In
	var err error
	if binary {
		in, err = c.dec.Binary(data)
	} else {
		in, err = c.dec.Text(data)
	}
	if err != nil {
		c.violation(err)
		return
	}
	if in == nil {
		c.partial()
		return
	}
	if in.Attachments() > 0 {
		c.whole()
	}
	c.packet(in)
}

// Close implements eio.Handler.
func (h *sessions) Close(sess *eio.Session, r eio.Reason, err error) {
	c := sess.Data().(*client)
	if r := Reason(r); r == SlowClient || r == TooSlow {
		c.srv.log.Warn("sio: slow connection closed", "remote", c.remote(), "reason", string(r))
	} else if err != nil {
		c.srv.log.Debug("sio: connection closed", "remote", c.remote(), "reason", string(r), "err", err)
	}
	c.tellUnlogged()
	c.dec.Close()
	c.mu.Lock()
	c.ended = true
	all := c.socketsLocked()
	c.first, c.more = nil, nil
	t, rest := c.timer, c.rest
	c.timer, c.rest = nil, nil
	c.mu.Unlock()
	if t != nil {
		t.Stop()
	}
	if rest != nil {
		rest.Stop()
	}
	if c.limit != nil {
		c.limit.timer.Stop()
	}
	for _, s := range all {
		s.leave(Reason(r))
	}
}

// violation ends the connection of a client that broke the protocol. The
// reference closes with this reason, too.
func (c *client) violation(err error) {
	c.logger(slog.LevelInfo).Info("sio: protocol violation", "remote", c.remote(), "err", err)
	c.mu.Lock()
	c.broken = &ViolationError{Err: err}
	c.mu.Unlock()
	c.sess.Close(eio.ForcedClose)
}

// Violations that are not the codec's to find.
var (
	errNotJoined      = errors.New("sio: packet for a namespace that was not joined")
	errJoinedTwice    = errors.New("sio: CONNECT to a namespace that was joined already")
	errManyNamespaces = errors.New("sio: too many namespaces joined")
	errManyBytes      = errors.New("sio: too many bytes of namespaces' names and auth payloads")
)

// packet takes in.
func (c *client) packet(in *codec.In) {
	if in.Type == codec.Connect {
		c.connect(in)
		return
	}
	nsp := in.Namespace
	if c.old() {
		nsp, _ = splitQuery(nsp)
	}
	s := c.lookup(nsp)
	switch {
	case s == nil:
		in.Release()
		if !c.over() { // packets behind a close from our side are nobody's fault
			c.violation(errNotJoined)
		}
	case in.Type == codec.Event:
		if c.limit == nil || c.admit(s, in) {
			s.push(in)
		}
	case in.Type == codec.Ack:
		s.acknowledged(in)
	case in.Type == codec.Disconnect:
		in.Release()
		c.remove(s)
		c.leaving(s)
		s.leave(ClientDisconnect)
	}
}

// connect starts joining a namespace. It takes in.
func (c *client) connect(in *codec.In) {
	defer in.Release()
	if c.old() {
		name, query := splitQuery(in.Namespace)
		c.join(name, queryAuth(query))
		return
	}
	var auth *codec.In
	if in.HasPayload {
		auth = in.Clone()
	}
	c.join(in.Namespace, auth)
}

// join starts joining the namespace nsp, which is borrowed. auth is a clone, or nil.
func (c *client) join(nsp []byte, auth *codec.In) {
	if c.limit != nil && !c.admitJoin() {
		return
	}
	cost := c.joinSize(nsp, auth)
	c.mu.Lock()
	var err error
	switch {
	case c.ended:
		c.mu.Unlock()
		return
	case c.lookupLocked(nsp) != nil:
		err = errJoinedTwice
	case c.countLocked() >= c.srv.cfg.MaxNamespaces:
		err = errManyNamespaces
	case int(c.kept)+cost > c.maxKept():
		err = errManyBytes
	}
	if err != nil {
		c.mu.Unlock()
		c.violation(err)
		return
	}
	s := newSocket(c, nsp, auth)
	s.size = int32(cost)
	if c.first == nil {
		c.first = s
	} else {
		if c.more == nil {
			c.more = make(map[string]*Socket)
		}
		c.more[s.nsp] = s
	}
	c.kept += int32(cost)
	c.mu.Unlock()
	c.queued(cost) // the connect job is counted as an event; see serve
	c.srv.resume(s)
}

func (c *client) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (c *client) lookup(nsp []byte) *Socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lookupLocked(nsp)
}

func (c *client) lookupLocked(nsp []byte) *Socket {
	if s := c.first; s != nil && s.nsp == string(nsp) {
		return s
	}
	return c.more[string(nsp)]
}

func (c *client) countLocked() int {
	n := len(c.more)
	if c.first != nil {
		n++
	}
	return n
}

func (c *client) socketsLocked() []*Socket {
	all := make([]*Socket, 0, c.countLocked())
	if c.first != nil {
		all = append(all, c.first)
	}
	for _, s := range c.more {
		all = append(all, s)
	}
	return all
}

// remove makes the namespace of s free to be joined again.
func (c *client) remove(s *Socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == s {
		c.first = nil
		c.kept -= s.size
	} else if c.more[s.nsp] == s {
		c.kept -= s.size
		delete(c.more, s.nsp)
		if len(c.more) == 0 {
			c.more = nil
		}
	}
}

// joined ends the time limit for joining a first namespace, for good.
func (c *client) joined() {
	c.mu.Lock()
	t := c.timer
	c.timer = nil
	c.mu.Unlock()
	if t != nil {
		t.Stop()
	}
}

// accept is queued for what the client wants to have handled. It reports false when it is
// too late for that: the connection is being closed by Drain, and could not take an answer,
// or all are going to be, when the handlers that run have finished.
func (c *client) accept(size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.load.left || c.srv.deaf.Load() {
		return false
	}
	c.queuedLocked(size)
	return true
}

// queued accounts for an event that waits, and stops reading when it is one too
// many.
func (c *client) queued(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queuedLocked(size)
}

func (c *client) queuedLocked(size int) {
	c.load.events++
	c.load.bytes += int32(size)
	if !c.load.held && c.excessLocked(1) {
		c.load.held = true
		c.sess.Pause()
	}
}

// handled is the counterpart of queued.
func (c *client) handled(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load.events--
	c.load.bytes -= int32(size)
	c.resumeLocked()
	c.leaveLocked()
}

// calling accounts for n more (or fewer) acknowledgements that are waited for.
func (c *client) calling(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load.calls += int32(n)
	c.resumeLocked()
	c.leaveLocked()
}

// resumeLocked reads again once half of the limit is free. The session is told
// with c.mu held: a Pause that came after its Resume would last for ever.
func (c *client) resumeLocked() {
	if c.load.held && !c.excessLocked(2) {
		c.load.held = false
		if !c.load.throttled {
			c.sess.Resume()
		}
	}
}

// excessLocked reports whether the load exceeds the limits divided by div.
func (c *client) excessLocked(div int) bool {
	f := 1
	if c.load.calls > 0 {
		f = whileCalling
	}
	return int(c.load.events) > c.srv.cfg.QueueEvents*f/div || int(c.load.bytes) > c.srv.cfg.QueueBytes*f/div
}

// full closes a connection whose send buffer is full. It may be called with an index
// lock held.
func (c *client) full() { go c.sess.Discard(eio.Reason(SlowClient)) }

// context returns the parent of the sockets' contexts.
func (c *client) context() context.Context {
	if h := c.sess.Handshake(); h != nil {
		return h.Context()
	}
	return c.srv.base
}

func (c *client) remote() string {
	if h := c.sess.Handshake(); h != nil {
		return h.RemoteAddr()
	}
	return ""
}
