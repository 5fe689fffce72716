package adaptertest

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/epio-go/epio/adapter"
)

// marker is the event of cluster.settle.
const marker = "adaptertest marker"

// packet is an event; with ack, its receivers are asked to answer.
type packet struct {
	event string
	args  []any
	ack   func(id string, arg any)
	// offset is the packet's place in the log; set before it is delivered.
	offset string

	mu  sync.Mutex
	ids []string // guarded by mu: who got it
}

func (p *packet) Event() string { return p.event }
func (p *packet) Args() []any   { return p.args }

func (p *packet) receivers() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ids)
}

// received is one event as a socket got it.
type received struct {
	event  string
	args   []any
	offset string
}

// socket keeps what it gets.
type socket struct {
	adapter.Member
	server *server
	id     string
	pid    string
	since  string // where its log begins

	leaving atomic.Bool // but not detached yet

	mu           sync.Mutex
	offset       string     // guarded by mu: the last one, at first that of the admission
	got          []received // guarded by mu
	mark         int        // guarded by mu: the last marker
	batches      []adapter.Batch
	disconnected string // guarded by mu: how
}

var _ adapter.Receiver = (*socket)(nil)

func (s *socket) ID() string { return s.id }

func (s *socket) Connected() bool { return !s.leaving.Load() }

func (s *socket) Deliver(p adapter.Packet, b adapter.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := received{event: p.Event(), args: p.Args()}
	switch p := p.(type) {
	case *packet:
		p.mu.Lock()
		p.ids = append(p.ids, s.id)
		p.mu.Unlock()
		r.offset = p.offset
	case *loggable:
		r.offset = p.offset
	}
	if r.offset != "" {
		s.offset = r.offset
	}
	if p.Event() == marker {
		s.mark = max(s.mark, number(p.Args()[0]))
		return true
	}
	s.got = append(s.got, r)
	s.batches = append(s.batches, b)
	return true
}

func (s *socket) lastOffset() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offset
}

func (s *socket) Disconnect(close bool) {
	s.mu.Lock()
	s.disconnected = "namespace"
	if close {
		s.disconnected = "connection"
	}
	s.mu.Unlock()
	s.detach()
}

func (s *socket) detach() { s.server.Index().Detach(&s.Member) }

func (s *socket) Info() adapter.SocketInfo {
	return adapter.SocketInfo{
		ID:    s.id,
		Rooms: s.server.Index().Rooms(&s.Member),
		Handshake: &adapter.Handshake{
			Headers: map[string]any{"user-agent": "adaptertest"},
			Time:    "Thu Nov 19 2026 10:30:00 GMT+0000 (Coordinated Universal Time)",
			Address: "192.0.2.1",
			Secure:  true,
			Issued:  1795084200000,
			URL:     "/socket.io/?EIO=4",
			Query:   map[string]any{"EIO": "4"},
			Auth:    map[string]any{"token": "secret of " + s.id},
		},
		Data:  map[string]any{"name": s.id},
		Local: s,
	}
}

// take returns what arrived since the last call.
func (s *socket) take() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

func (s *socket) marked(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark >= n
}

func (s *socket) gone() bool { return s.how() != "" }

func (s *socket) how() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disconnected
}

// number reads a whole number in whatever form the wire left it.
func number(v any) int {
	switch v := v.(type) {
	case int:
		return v
	case int8:
		return int(v)
	case int16:
		return int(v)
	case int32:
		return int(v)
	case int64:
		return int(v)
	case uint8:
		return int(v)
	case uint16:
		return int(v)
	case uint32:
		return int(v)
	case uint64:
		return int(v)
	case float64:
		return int(v)
	}
	return -1
}
