package sio

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/epio-go/epio/adapter"
)

// ledger is a log and a store that several servers share, in JSON as on a wire.
type ledger struct {
	mu       sync.Mutex
	entries  []ledgerEntry     // guarded by mu; the offset is the index + 1
	sessions map[string][]byte // guarded by mu, by pid
	nodes    []*ledgerNode     // guarded by mu
}

type ledgerEntry struct {
	event string
	args  []byte
	o     adapter.Opts
}

// ledgerNode delivers what is in the log, own packets included, when it is told that
// there is more.
type ledgerNode struct {
	*adapter.Memory
	l    *ledger
	host adapter.RecoveryHost

	delivery  sync.Mutex
	delivered int // guarded by delivery
}

// Memory offers more than this.
var _ adapter.Recovery = (*ledgerNode)(nil)

func (l *ledger) factory(adapter.Host) adapter.Adapter {
	n := &ledgerNode{Memory: adapter.NewMemory(adapter.Config{}), l: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = append(l.nodes, n)
	return struct{ adapter.Recovery }{n}
}

func (n *ledgerNode) EnableRecovery(h adapter.RecoveryHost, _ adapter.RecoveryConfig) error {
	n.host = h
	return nil
}

func (n *ledgerNode) Broadcast(p adapter.Packet, o adapter.Opts) error {
	if o.Flags.Has(adapter.Volatile) || o.Flags.Has(adapter.Local) {
		return n.Memory.Broadcast(p, o)
	}
	args, err := json.Marshal(p.Args())
	if err != nil {
		return err
	}
	o.Rooms, o.Except = slices.Clone(o.Rooms), slices.Clone(o.Except)
	o.Batch.Flush()
	o.Batch = nil
	n.l.mu.Lock()
	n.l.entries = append(n.l.entries, ledgerEntry{p.Event(), args, o})
	nodes := slices.Clone(n.l.nodes)
	n.l.mu.Unlock()
	for _, to := range nodes {
		to.catchUp()
	}
	return nil
}

func (n *ledgerNode) catchUp() {
	n.delivery.Lock()
	defer n.delivery.Unlock()
	for {
		n.l.mu.Lock()
		if n.delivered == len(n.l.entries) {
			n.l.mu.Unlock()
			return
		}
		e := n.l.entries[n.delivered]
		n.l.mu.Unlock()
		n.delivered++
		n.host.BroadcastLogged(e.event, e.values(), e.o, strconv.Itoa(n.delivered))
	}
}

func (e *ledgerEntry) values() (args []any) {
	_ = json.Unmarshal(e.args, &args)
	return args
}

func (n *ledgerNode) Admit(f func(string)) {
	n.delivery.Lock()
	defer n.delivery.Unlock()
	f(strconv.Itoa(n.delivered))
}

func (n *ledgerNode) PersistSession(_ context.Context, s *adapter.Session) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	n.l.mu.Lock()
	defer n.l.mu.Unlock()
	n.l.sessions[s.PID] = text
	return nil
}

func (n *ledgerNode) take(pid string) (s *adapter.Session) {
	n.l.mu.Lock()
	defer n.l.mu.Unlock()
	if text := n.l.sessions[pid]; text != nil {
		delete(n.l.sessions, pid)
		_ = json.Unmarshal(text, &s)
	}
	return s
}

func (n *ledgerNode) RestoreSession(ctx context.Context, pid string) (*adapter.Session, error) {
	s := n.take(pid)
	if s == nil {
		n.l.mu.Lock()
		nodes := slices.Clone(n.l.nodes)
		n.l.mu.Unlock()
		for _, other := range nodes {
			if other != n {
				other.host.Evict(ctx, pid)
			}
		}
		s = n.take(pid)
	}
	if s == nil {
		return nil, adapter.ErrNoSession
	}
	return s, nil
}

func (n *ledgerNode) DropSession(*adapter.Session) {}

func (n *ledgerNode) Replay(_ context.Context, s *adapter.Session, offset string, accept func([]adapter.Missed) error) error {
	from, err := strconv.Atoi(offset)
	n.delivery.Lock()
	defer n.delivery.Unlock()
	if err != nil || from > n.delivered {
		return adapter.ErrOffset
	}
	n.l.mu.Lock()
	entries := n.l.entries[from:n.delivered]
	n.l.mu.Unlock()
	var missed []adapter.Missed
	for i, e := range entries {
		if len(e.o.Rooms) == 0 || slices.ContainsFunc(e.o.Rooms, func(r string) bool { return slices.Contains(s.Rooms, r) }) {
			missed = append(missed, adapter.Missed{Event: e.event, Args: e.values(), Offset: strconv.Itoa(from + i + 1)})
		}
	}
	return accept(missed)
}

// TestRecoveryInACluster moves a client between two servers whose log is elsewhere.
func TestRecoveryInACluster(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &ledger{sessions: make(map[string][]byte)}
		a := memory(t, withRecovery(Config{Adapter: l.factory}))
		b := memory(t, withRecovery(Config{Adapter: l.factory}))
		c := a.traveller("/")
		s := c.socket()
		must(t, s.Join("room"))
		s.SetData(map[string]any{"name": "ada"})
		must(t, b.srv.To("room").Emit("one", 1))
		must(t, s.Emit("two", "x"))
		must(t, a.srv.Local().Emit("here"))
		c.wantEvents(`42["one",1]`, `42["two","x"]`)
		c.want(`42["here"]`)
		synctest.Wait()
		must(t, s.Volatile().Emit("volatile", 2))
		c.want(`42["volatile",2]`)

		// To the other server and back, and the single events of whoever knew it.
		c.lose()
		must(t, b.srv.Emit("three"))
		must(t, s.Emit("four"))
		must(t, b.srv.To("elsewhere").Emit("not for it"))
		c.r = b
		moved := c.wantBack()
		c.wantEarly(`42["three"]`, `42["four"]`)
		if fmt.Sprint(moved.Data()) != "map[name:ada]" || !slices.Contains(moved.Rooms(), "room") {
			t.Errorf("data %v, rooms %q", moved.Data(), moved.Rooms())
		}
		must(t, s.Emit("five")) // it is gone here, but may be anywhere
		must(t, moved.Emit("six"))
		c.wantEvents(`42["five"]`, `42["six"]`)

		// Back while the other server takes it for connected.
		must(t, a.srv.To("room").Emit("seven"))
		c.r = a
		c.wantBack()
		c.wantEarly(`42["seven"]`)
		synctest.Wait()
		if moved.Connected() {
			t.Error("the other server has it still")
		}

		// A string in a volatile event, and the other server knows what it means.
		synctest.Wait()
		must(t, a.srv.Volatile().Emit("volatile", "string"))
		if got := c.next().data; c.took(got) == got || *c.last != "string" {
			t.Fatalf("got %q", got)
		}
		c.lose()
		must(t, a.srv.Emit("eight"))
		c.r = b
		c.wantBack()
		c.wantEarly(`42["eight"]`)

		// The server shuts down: the client is at home on the other one.
		must(t, b.srv.Shutdown(context.Background()))
		must(t, a.srv.To("room").Emit("nine"))
		c.r = a
		s = c.wantBack()
		c.wantEarly(`42["nine"]`)
		s.Disconnect(false)
		wantErr(t, s.Emit("ten"), ErrClosed)
	})
}
