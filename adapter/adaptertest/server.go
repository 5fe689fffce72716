package adaptertest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/epio-go/epio/adapter"
)

// server is the host of one adapter.
type server struct {
	cl *cluster
	n  int

	mu      sync.Mutex
	a       adapter.Adapter // guarded by mu; Init may already bring messages
	events  []string        // guarded by mu: server-side events as event(args)
	mute    bool            // guarded by mu: calls are not answered
	keeps   []*socket       // guarded by mu: those that Evict finds
	answers sync.WaitGroup
}

var _ adapter.RecoveryHost = (*server)(nil)

func (s *server) setAdapter(a adapter.Adapter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.a = a
}

func (s *server) adapter() adapter.Adapter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.a
}

func (s *server) Index() *adapter.Index { return s.adapter().Index() }

func (s *server) close() {
	s.cl.must(s.adapter().Close(context.WithoutCancel(s.cl.t.Context())))
	s.answers.Wait()
}

// attach makes a socket that is not connected yet.
func (s *server) attach(id string) *socket {
	s.cl.t.Helper()
	so := &socket{server: s, id: id}
	s.cl.must(s.Index().Attach(&so.Member, so))
	return so
}

// Broadcast is the adapter's.
func (s *server) Broadcast(p adapter.Packet, o adapter.Opts) error {
	return s.adapter().Broadcast(p, o)
}

// Namespace implements [adapter.Host].
func (s *server) Namespace() string { return "/adaptertest" }

// Logger implements [adapter.Host].
func (s *server) Logger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// BroadcastLocal implements [adapter.Host].
func (s *server) BroadcastLocal(event string, args []any, o adapter.Opts, ack func(string, any)) int {
	a := s.adapter()
	if a == nil {
		return 0
	}
	p := &packet{event: event, args: args, ack: ack}
	return s.deliver(a, p, o)
}

// BroadcastLogged implements [adapter.RecoveryHost].
func (s *server) BroadcastLogged(event string, args []any, o adapter.Opts, offset string) int {
	a := s.adapter()
	if a == nil {
		return 0
	}
	return s.deliver(a, &packet{event: event, args: args, offset: offset}, o)
}

// Evict implements [adapter.RecoveryHost].
func (s *server) Evict(_ context.Context, pid string) bool {
	s.mu.Lock()
	i := slices.IndexFunc(s.keeps, func(so *socket) bool { return so.pid == pid })
	if i < 0 {
		s.mu.Unlock()
		return false
	}
	so := s.keeps[i]
	s.keeps = slices.Delete(s.keeps, i, i+1)
	s.mu.Unlock()
	so.away()
	return true
}

// keep has Evict find so.
func (s *server) keep(so *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keeps = append(s.keeps, so)
}

func (s *server) deliver(a adapter.Adapter, p *packet, o adapter.Opts) int {
	n := a.Index().Broadcast(p, o)
	s.answer(p)
	return n
}

// answer acknowledges p in the name of everybody who got it: "<id> got <event>".
func (s *server) answer(p *packet) {
	if p.ack == nil {
		return
	}
	s.answers.Go(func() {
		for _, id := range p.receivers() {
			p.ack(id, id+" got "+p.event)
		}
	})
}

// ServerEvent implements [adapter.Host].
func (s *server) ServerEvent(event string, args []any, ack func(any)) {
	s.mu.Lock()
	s.events = append(s.events, fmt.Sprint(event, args))
	mute := s.mute
	s.mu.Unlock()
	if ack != nil && !mute {
		ack(fmt.Sprint("server ", s.n))
		ack("only the first answer counts")
	}
}

func (s *server) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *server) setMute() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = true
}
