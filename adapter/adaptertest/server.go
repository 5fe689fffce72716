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
	answers sync.WaitGroup
}

var _ adapter.Host = (*server)(nil)

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

// Broadcast is the adapter's, with the answers of local sockets.
func (s *server) Broadcast(p *packet, o adapter.Opts) error { return s.adapter().Broadcast(p, o) }

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
