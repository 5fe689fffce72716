package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/epio-go/epio/adapter/cluster"
)

// hub holds the connections that receive, for all namespaces of one factory: usually
// one; in a Redis Cluster with sharded channels one for each node.
type hub struct {
	*client // immutable

	mu       sync.Mutex
	conns    []*link    // guarded by mu
	sessions []*session // guarded by mu

	readers map[string]*reader // guarded by mu: of streams, by name
}

// link is a connection to a node.
type link struct {
	*conn
	addr string // empty when it does not matter
}

func newHub(c *client) *hub { return &hub{client: c} }

// close ends everything. There are no sessions any more.
func (h *hub) close() error {
	h.mu.Lock()
	conns, readers := h.conns, h.readers
	h.conns, h.readers = nil, nil
	h.mu.Unlock()
	for _, l := range conns {
		l.close()
	}
	for _, r := range readers {
		r.stop()
	}
	err := h.rdb.Close()
	for _, r := range readers {
		r.end()
	}
	return err
}

// report logs in the name of one of the namespaces.
func (h *hub) report(err error) {
	h.mu.Lock()
	var a *cluster.Adapter
	if len(h.sessions) > 0 {
		a = h.sessions[0].a
	}
	for _, s := range h.sessions {
		s.look()
	}
	h.mu.Unlock()
	if a != nil {
		a.Report("adapter: connection to redis lost, and what others sent meanwhile", err)
	}
}

// linkFor returns a connection for topics that live at addr, which are its own now. It
// is one on which nobody else has taken them: two servers in one process that share a
// factory are two to the others.
func (h *hub) linkFor(addr string, from subscriber, handle handler, ts []topic) *link {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.conns {
		if l.addr == addr && !slices.ContainsFunc(ts, l.has) {
			l.take(handle, ts)
			return l
		}
	}
	l := &link{addr: addr, conn: newConn(from, addr != "", h.report, func(topic) { h.look() })}
	l.take(handle, ts)
	h.conns = append(h.conns, l)
	return l
}

// look has all sessions see to it that their topics are where they belong.
func (h *hub) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		s.look()
	}
}

// drop closes a connection that has nothing to receive.
func (h *hub) drop(l *link) {
	h.mu.Lock()
	if l.len() > 0 || !slices.Contains(h.conns, l) {
		h.mu.Unlock()
		return
	}
	h.conns = slices.DeleteFunc(h.conns, func(o *link) bool { return o == l })
	h.mu.Unlock()
	l.close()
}

// session is one namespace's part of a hub: its subscriptions.
type session struct {
	hub    *hub
	a      *cluster.Adapter
	handle handler
	stop   context.CancelFunc
	done   sync.WaitGroup
	kick   chan struct{} // capacity 1; from look to follow

	changing sync.Mutex // held while subscriptions change

	mu      sync.Mutex
	at      map[topic]*link // guarded by mu
	pending []topic         // guarded by mu: nowhere yet
}

// openSession returns a session whose messages handle gets, from any number of
// goroutines.
func (h *hub) openSession(a *cluster.Adapter, handle handler) *session {
	ctx, stop := context.WithCancel(context.Background())
	s := &session{hub: h, a: a, handle: handle, stop: stop, kick: make(chan struct{}, 1), at: make(map[topic]*link)}
	h.mu.Lock()
	h.sessions = append(h.sessions, s)
	h.mu.Unlock()
	if h.cluster() != nil {
		s.done.Go(func() { s.follow(ctx) })
	}
	return s
}

// openWait bounds the wait for Redis when a server starts.
const openWait = 5 * time.Second

// open makes the subscriptions a namespace always has. With an error they are not in
// place yet.
func (s *session) open(ctx context.Context, ts ...topic) error {
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	err := s.add(ctx, ts...)
	if err != nil && s.hub.cluster() != nil {
		// Where topics belong could not be found out. The map is looked at again.
		s.mu.Lock()
		s.pending = ts
		s.mu.Unlock()
	}
	return err
}

// close unsubscribes from everything and returns when Redis has confirmed it, or ctx
// ends.
func (s *session) close(ctx context.Context) error {
	s.stop()
	s.done.Wait()
	s.mu.Lock()
	ts := make([]topic, 0, len(s.at))
	for t := range s.at {
		ts = append(ts, t)
	}
	s.mu.Unlock()
	err := s.remove(ctx, ts...)
	s.hub.mu.Lock()
	s.hub.sessions = slices.DeleteFunc(s.hub.sessions, func(o *session) bool { return o == s })
	s.hub.mu.Unlock()
	return err
}

// home returns where a topic belongs, and how to connect to it.
func (s *session) home(ctx context.Context, t topic) (addr string, from subscriber, err error) {
	cc := s.hub.cluster()
	if cc == nil || t.kind != shard {
		return "", s.hub.rdb, nil
	}
	node, err := cc.MasterForKey(ctx, t.name)
	if err != nil {
		return "", nil, err
	}
	return node.Options().Addr, node, nil
}

// add subscribes and returns when Redis has confirmed it. With an error some may be
// subscribed, and others not: it may be called again.
func (s *session) add(ctx context.Context, ts ...topic) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.addChanging(ctx, ts)
}

func (s *session) addChanging(ctx context.Context, ts []topic) error {
	type place struct {
		from subscriber
		ts   []topic
	}
	places := make(map[string]*place)
	for _, t := range ts {
		addr, from, err := s.home(ctx, t)
		if err != nil {
			return err
		}
		s.mu.Lock()
		old := s.at[t]
		s.mu.Unlock()
		if old != nil && old.addr == addr {
			// It was tried before. Whether it is in place is asked again.
			if err := old.add(ctx, s.handle, t); err != nil {
				return err
			}
			continue
		}
		p := places[addr]
		if p == nil {
			p = &place{from: from}
			places[addr] = p
		}
		p.ts = append(p.ts, t)
	}
	var errs []error
	for addr, p := range places {
		l := s.hub.linkFor(addr, p.from, s.handle, p.ts)
		s.mu.Lock()
		for _, t := range p.ts {
			s.at[t] = l
		}
		s.mu.Unlock()
		errs = append(errs, l.add(ctx, s.handle, p.ts...))
	}
	return errors.Join(errs...)
}

// remove unsubscribes and returns when Redis has confirmed it.
func (s *session) remove(ctx context.Context, ts ...topic) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	places := make(map[*link][]topic)
	s.mu.Lock()
	for _, t := range ts {
		if l := s.at[t]; l != nil {
			places[l] = append(places[l], t)
			delete(s.at, t)
		}
	}
	s.mu.Unlock()
	var errs []error
	for l, ts := range places {
		errs = append(errs, l.remove(ctx, ts...))
		s.hub.drop(l)
	}
	return errors.Join(errs...)
}

// look has follow look now.
func (s *session) look() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// lookEvery is how often topics are compared with the map of a cluster. Redis says so
// when a slot moves; the rest is for what is said to nobody.
const lookEvery = 5 * time.Second

// follow keeps the topics where they belong while slots move from node to node.
func (s *session) follow(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.kick:
			s.hub.cluster().ReloadState(ctx)
			// The map is read in the background.
			select {
			case <-ctx.Done():
				return
			case <-time.After(firstPause):
			}
		}
		s.retry(ctx)
		s.rehome(ctx)
	}
}

// retry subscribes to what open could not.
func (s *session) retry(ctx context.Context) {
	s.mu.Lock()
	ts := s.pending
	s.mu.Unlock()
	if len(ts) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := s.add(ctx, ts...); err != nil {
		s.a.Report("adapter: not subscribed yet", err)
		return
	}
	s.mu.Lock()
	s.pending = nil
	s.mu.Unlock()
}

// rehome moves topics whose slot has moved.
func (s *session) rehome(ctx context.Context) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	olds := make(map[*link][]topic)
	var moving []topic
	for t, l := range s.at {
		if t.kind != shard {
			continue
		}
		s.mu.Unlock()
		addr, _, err := s.home(ctx, t)
		s.mu.Lock()
		if err == nil && addr != l.addr {
			olds[l] = append(olds[l], t)
			moving = append(moving, t)
		}
	}
	s.mu.Unlock()
	if len(moving) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := s.addChanging(ctx, moving); err != nil {
		s.a.Report("adapter: channels not moved to another node yet", err)
	}
	for l, ts := range olds {
		// Where they were nobody sends to them any more, so this is not waited for.
		gone, cancel := context.WithCancel(ctx)
		cancel()
		_ = l.remove(gone, ts...)
		s.hub.drop(l)
	}
}
