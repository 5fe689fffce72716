package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// client is a connection and the namespaces it has joined. Its methods belong to one goroutine; the reader's are on* ones.
type client struct {
	run  *run
	sess *session
	v3   bool
	dec  decoder // the reader's

	mu sync.Mutex
	// guarded by mu
	socks     map[string]*sock // by namespace
	root      *packet          // of Engine.IO v3: the answer to a CONNECT that nobody has sent yet
	dismissed map[string]bool  // namespaces in which a sock was disconnected by the server
}

// sock is a client in a namespace. It outlives its connection when it is recovered.
type sock struct {
	c       *client // the one it has now
	nsp     string
	answers sync.Mutex  // held to answer, and to leave: who has left must not answer any more
	leaving atomic.Bool // what still comes is of no interest

	mu sync.Mutex
	// guarded by mu
	sid, pid  string
	again     bool          // came back, perhaps recovered
	lost      bool          // came back, but was evicted before
	offset    any           // nil or the last string at the end of an event
	connected chan *packet  // gets the answer to CONNECT
	gone      chan struct{} // closed when the server has sent DISCONNECT
	acks      map[int]chan []any
	nextAck   int
	got       int // the last "msg"
	moved     chan struct{}
	all       int // the last "all"; 0 before the first
	rooms     map[string]*membership
	heard     [12]heard // the last events, in a circle
	count     int
	want      int // events that the server was asked for
	sent      int // the last "seq"
}

// membership is what a client knows about a room it is in, or about to be in.
type membership struct {
	pending bool  // join is not answered
	early   []int // events meanwhile
	last    int   // the last event, or the last one before it joined
	seen    int   // the last event that came, 0 before
	evicts  int   // how many evictions of the room were over before
}

var (
	errGone  = errors.New("the connection is gone")
	errStuck = errors.New("no answer")
)

// connect opens a connection.
func (r *run) connect(h how) (*client, error) {
	c := &client{run: r, v3: h.v3, socks: make(map[string]*sock), dismissed: make(map[string]bool)}
	c.dec.parser = h.node.Parser
	sess, err := open(h, c.onMessage)
	if err != nil {
		return nil, err
	}
	c.sess = sess
	return c, nil
}

// join joins a namespace, with a new sock.
func (c *client) join(nsp string) (*sock, error) {
	s := &sock{
		c: c, nsp: nsp,
		acks:  make(map[int]chan []any),
		moved: make(chan struct{}, 1),
		rooms: make(map[string]*membership),
	}
	p, err := s.enter(nil)
	if err != nil {
		return nil, err
	}
	if p.typ != tConnect {
		return nil, fmt.Errorf("refused: %v", p.data)
	}
	return s, nil
}

// enter sends CONNECT and returns the answer.
func (s *sock) enter(auth any) (*packet, error) {
	answer := make(chan *packet, 1)
	s.mu.Lock()
	s.connected, s.gone, s.again = answer, make(chan struct{}), auth != nil
	s.mu.Unlock()
	s.c.mu.Lock()
	s.c.socks[s.nsp] = s
	if s.nsp == "/" && s.c.root != nil {
		s.onConnect(s.c.root)
		s.c.root = nil
	}
	s.c.mu.Unlock()
	if !s.c.v3 || s.nsp != "/" { // there the server connects by itself
		if err := s.c.send(packet{typ: tConnect, nsp: s.nsp, id: -1, data: auth}); err != nil {
			return nil, err
		}
	}
	select {
	case p := <-answer:
		return p, nil
	case <-s.c.sess.ended:
		return nil, errGone
	case <-time.After(s.c.run.o.answerTime()):
		return nil, fmt.Errorf("%w to CONNECT", errStuck)
	}
}

func (c *client) send(p packet) error {
	all, err := p.encode(c.sess.node.Parser)
	if err != nil {
		panic(err) // our own arguments
	}
	if err := c.sess.send(all...); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// emit sends an event.
func (s *sock) emit(event string, args ...any) error {
	return s.c.send(packet{typ: tEvent, nsp: s.nsp, id: -1, data: append([]any{event}, args...)})
}

// call sends an event and returns the acknowledgement.
func (s *sock) call(event string, args ...any) ([]any, error) {
	answer := make(chan []any, 1)
	s.mu.Lock()
	s.nextAck++
	id := s.nextAck
	s.acks[id] = answer
	gone := s.gone
	s.mu.Unlock()
	if err := s.c.send(packet{typ: tEvent, nsp: s.nsp, id: id, data: append([]any{event}, args...)}); err != nil {
		return nil, err
	}
	select {
	case a := <-answer:
		return a, nil
	case <-s.c.sess.ended:
		return nil, errGone
	case <-gone:
		return nil, errGone
	case <-time.After(s.c.run.o.answerTime()):
		return nil, fmt.Errorf("%w to %s", errStuck, event)
	}
}

// callInt is call for an acknowledgement that is a number.
func (s *sock) callInt(event string, args ...any) (int, error) {
	a, err := s.call(event, args...)
	if err != nil {
		return 0, err
	}
	if len(a) == 1 {
		if n, ok := integer(a[0]); ok {
			return n, nil
		}
	}
	return 0, fmt.Errorf("answer to %s: %v", event, a)
}

// settle waits until everything that the server was asked for has come.
func (s *sock) settle() error {
	deadline := time.NewTimer(s.c.run.o.answerTime())
	defer deadline.Stop()
	for {
		s.mu.Lock()
		got, want, gone := s.got, s.want, s.gone
		s.mu.Unlock()
		switch {
		case got == want:
			return nil
		case got > want:
			return fmt.Errorf("%d events have come in %s, %d were asked for", got, s.nsp, want)
		}
		select {
		case <-s.moved:
		case <-s.c.sess.ended:
			return errGone
		case <-gone:
			return errGone
		case <-deadline.C:
			return fmt.Errorf("lost: %d of %d events have come in %s", got, want, s.nsp)
		}
	}
}

// enterRoom joins a room, and checks what came before the answer.
func (s *sock) enterRoom(room string) error {
	s.mu.Lock()
	s.rooms[room] = &membership{pending: true, evicts: s.c.run.evictionsOver(s.key(room))}
	s.mu.Unlock()
	n, err := s.callInt("join", room)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.rooms[room]
	if m == nil {
		return errGone // forgotten meanwhile
	}
	m.pending, m.last = false, n
	if k := len(m.early); k > 0 {
		if m.early[0] != n+1 {
			return fmt.Errorf("%s: joined room %s behind event %d, but the first was %d", s.nsp, room, n, m.early[0])
		}
		m.last = m.early[k-1]
		m.seen = m.last
	}
	return nil
}

// leaveRoom leaves a room, whose events up to then must have come.
func (s *sock) leaveRoom(room string) error {
	n, err := s.callInt("leave", room)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.rooms[room]; m != nil && m.last != n {
		return fmt.Errorf("lost: left room %s of %s behind event %d, having got up to %d", room, s.nsp, n, m.last)
	}
	delete(s.rooms, room)
	return nil
}

func (s *sock) key(room string) roomKey { return roomKey{s.c.sess.node.ID, s.nsp, room} }

// excused reports whether the connection, or the sock, may have been ended by somebody else: its server is drained, or all in
// one of its rooms were disconnected.
func (c *client) excused() bool {
	if c.run.draining(c.sess.node.ID) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dismissed) > 0 {
		return true
	}
	for _, s := range c.socks {
		if s.evicted() {
			return true
		}
	}
	return false
}

// evicted reports whether somebody has had a room of the sock disconnected since it joined.
func (s *sock) evicted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost || s.evictedLocked()
}

func (s *sock) evictedLocked() bool {
	for room, m := range s.rooms {
		if s.c.run.evictionsBegun(s.key(room)) != m.evicts {
			return true
		}
	}
	return false
}

// same reports whether the answer to an echo is what was sent.
func same(sent, got any) bool {
	switch a := sent.(type) {
	case []any:
		b, ok := got.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case map[string]any:
		b, ok := got.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if !same(a[k], b[k]) {
				return false
			}
		}
		return true
	case []byte:
		b, ok := got.([]byte)
		return ok && string(a) == string(b)
	case string:
		b, ok := got.(string)
		return ok && strings.Compare(a, b) == 0
	case int:
		b, ok := integer(got)
		return ok && a == b
	}
	return sent == got
}
