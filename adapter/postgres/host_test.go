package postgres_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// host keeps what comes from others.
type host struct {
	nsp string

	mu     sync.Mutex
	got    []string        // guarded by mu: events with their arguments, in order
	logged strings.Builder // guarded by mu
}

func (h *host) Namespace() string    { return h.nsp }
func (h *host) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(h, nil)) }

func (h *host) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logged.Write(p)
}

func (h *host) log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logged.String()
}

func (h *host) BroadcastLocal(event string, args []any, _ adapter.Opts, ack func(string, any)) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, a := range args {
		if s, ok := a.(string); ok && len(s) > 100 {
			args[i] = len(s)
		}
	}
	h.got = append(h.got, fmt.Sprint(event, args))
	if ack == nil {
		return 1
	}
	// Several clients here answer, all the same.
	for range clientsHere {
		ack("", "answer")
	}
	return clientsHere
}

const clientsHere = 50

func (h *host) ServerEvent(event string, args []any, ack func(any)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, fmt.Sprint("server ", event, args))
	if ack != nil {
		ack("heard")
	}
}

func (h *host) events() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

func (h *host) has(want string) bool { return slices.Contains(h.events(), want) }

// socket is a receiver that takes everything.
type socket struct {
	adapter.Member
	id string

	mu           sync.Mutex
	n            int  // guarded by mu
	disconnected bool // guarded by mu
}

func (s *socket) ID() string               { return s.id }
func (s *socket) Info() adapter.SocketInfo { return adapter.SocketInfo{ID: s.id} }
func (s *socket) Disconnect(bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnected = true
}

func (s *socket) Deliver(adapter.Packet, adapter.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return true
}

func (s *socket) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func connect(t *testing.T, a *cluster.Adapter, id string, rooms ...string) *socket {
	t.Helper()
	s := &socket{id: id}
	x := a.Index()
	if err := x.Attach(&s.Member, s); err != nil {
		t.Fatal(err)
	}
	if err := x.Connect(&s.Member, nil); err != nil {
		t.Fatal(err)
	}
	if err := x.Join(&s.Member, rooms...); err != nil {
		t.Fatal(err)
	}
	return s
}

// packet is an event with arguments.
type packet struct {
	event string
	args  []any
}

func (p packet) Event() string { return p.event }
func (p packet) Args() []any   { return p.args }

func event(name string, args ...any) packet { return packet{name, args} }

// acks counts.
type acks struct {
	mu      sync.Mutex
	counts  []int // guarded by mu
	answers int   // guarded by mu
}

func (a *acks) Count(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts = append(a.counts, n)
}

func (a *acks) Ack(string, any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers++
}

func (a *acks) Lost(int) {}

func (a *acks) result() (counts []int, answers int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(slices.Values(a.counts)), a.answers
}
