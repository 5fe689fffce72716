package cluster_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// socket is a receiver that takes everything.
type socket struct {
	adapter.Member
	id  string
	got func(event string)
}

func (s *socket) ID() string               { return s.id }
func (s *socket) Connected() bool          { return true }
func (s *socket) Disconnect(bool)          {}
func (s *socket) Info() adapter.SocketInfo { return adapter.SocketInfo{ID: s.id} }
func (s *socket) Deliver(p adapter.Packet, _ adapter.Batch) bool {
	if s.got != nil {
		s.got(p.Event())
	}
	return true
}

func connect(t *testing.T, a *cluster.Adapter, id string, rooms ...string) *socket {
	t.Helper()
	s := &socket{id: id}
	if err := a.Index().Attach(&s.Member, s); err != nil {
		t.Fatal(err)
	}
	if err := a.Index().Connect(&s.Member, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Index().Join(&s.Member, rooms...); err != nil {
		t.Fatal(err)
	}
	return s
}

// acks implements adapter.Acks.
type acks struct {
	mu      sync.Mutex
	counts  []int
	answers []any
	lost    int
}

func (a *acks) Count(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts = append(a.counts, n)
}

func (a *acks) Ack(_ string, v any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers = append(a.answers, v)
}

func (a *acks) Lost(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost += n
}

func (a *acks) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.Sort(a.counts)
	return fmt.Sprintf("counts %v answers %v lost %d", a.counts, a.answers, a.lost)
}

func wantCount(t *testing.T, a *cluster.Adapter, want int) {
	t.Helper()
	if n, err := a.ServerCount(t.Context()); n != want || err != nil {
		t.Errorf("%d servers, %v, want %d", n, err, want)
	}
}

// say hands a a message in the name of another server.
func say(t *testing.T, a *cluster.Adapter, uid string, m cluster.Message) {
	t.Helper()
	m.UID, m.Namespace = uid, "/"
	p, err := m.EncodeAs(cluster.JSON)
	if err != nil {
		t.Fatal(err)
	}
	in, err := cluster.Decode(p)
	if err != nil {
		t.Fatal(err)
	}
	a.Receive(in)
}

// spied returns the id of the last request that was published to all.
func spied(t *testing.T, spy *busDriver) string {
	t.Helper()
	synctest.Wait()
	m, err := cluster.Decode(spy.inbox[len(spy.inbox)-1])
	if err != nil {
		t.Fatal(err)
	}
	return m.RequestID
}

// logLines collects what is logged.
type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
