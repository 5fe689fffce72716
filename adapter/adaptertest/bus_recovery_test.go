package adaptertest_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/adaptertest"
)

// ledger is the log and the store that the servers of a bus share.
type ledger struct {
	mu       sync.Mutex
	wake     sync.Cond
	entries  []entry                     // guarded by mu; the offset is the index + 1
	sessions map[string]*adapter.Session // guarded by mu, by pid
	nodes    []*logNode                  // guarded by mu
}

type entry struct {
	event string
	args  []any
	o     adapter.Opts
}

// logNode is a node whose packets come out of the ledger: a goroutine of its own
// delivers them, the node's own ones, too.
type logNode struct {
	*node
	ledger *ledger
	host   adapter.RecoveryHost
	reader sync.WaitGroup
	closed bool // guarded by ledger.mu

	delivery  sync.Mutex // held while a packet is on its way to the sockets
	delivered int        // guarded by delivery; written with ledger.mu held as well
}

var _ adapter.Recovery = (*logNode)(nil)

func (n *logNode) EnableRecovery(h adapter.RecoveryHost, _ adapter.RecoveryConfig) error {
	n.host = h
	return nil
}

func (n *logNode) Init(ctx context.Context) error {
	n.ledger.mu.Lock()
	n.ledger.nodes = append(n.ledger.nodes, n)
	n.ledger.mu.Unlock()
	n.reader.Go(n.read)
	return n.node.Init(ctx)
}

func (n *logNode) Close(ctx context.Context) error {
	n.ledger.mu.Lock()
	n.closed = true
	n.ledger.wake.Broadcast()
	n.ledger.mu.Unlock()
	n.reader.Wait()
	return n.node.Close(ctx)
}

func (n *logNode) read() {
	l := n.ledger
	for next := 0; ; next++ {
		l.mu.Lock()
		for next == len(l.entries) && !n.closed {
			l.wake.Wait()
		}
		if n.closed {
			l.mu.Unlock()
			return
		}
		e := l.entries[next]
		l.mu.Unlock()

		n.delivery.Lock()
		n.host.BroadcastLogged(e.event, slices.Clone(e.args), e.o, strconv.Itoa(next+1))
		l.mu.Lock()
		n.delivered = next + 1
		l.wake.Broadcast()
		l.mu.Unlock()
		n.delivery.Unlock()
	}
}

func (n *logNode) Broadcast(p adapter.Packet, o adapter.Opts) error {
	if o.Flags&(adapter.Volatile|adapter.Local) != 0 {
		return n.node.Broadcast(p, o)
	}
	n.ledger.mu.Lock()
	n.ledger.entries = append(n.ledger.entries, entry{p.Event(), slices.Clone(p.Args()), wire(o)})
	n.ledger.wake.Broadcast()
	n.ledger.mu.Unlock()
	if o.Batch != nil {
		o.Batch.Flush()
	}
	return nil
}

func (n *logNode) Admit(f func(offset string)) {
	n.delivery.Lock()
	defer n.delivery.Unlock()
	f(strconv.Itoa(n.delivered))
}

func (n *logNode) PersistSession(_ context.Context, s *adapter.Session) error {
	n.ledger.mu.Lock()
	defer n.ledger.mu.Unlock()
	n.ledger.sessions[s.PID] = s
	return nil
}

func (n *logNode) take(pid string) *adapter.Session {
	n.ledger.mu.Lock()
	defer n.ledger.mu.Unlock()
	s := n.ledger.sessions[pid]
	delete(n.ledger.sessions, pid)
	return s
}

func (n *logNode) RestoreSession(ctx context.Context, pid string) (*adapter.Session, error) {
	if s := n.take(pid); s != nil {
		return s, nil
	}
	n.ledger.mu.Lock()
	nodes := slices.Clone(n.ledger.nodes)
	n.ledger.mu.Unlock()
	for _, other := range nodes {
		if other != n {
			other.host.Evict(ctx, pid)
		}
	}
	if s := n.take(pid); s != nil {
		return s, nil
	}
	return nil, adapter.ErrNoSession
}

func (n *logNode) DropSession(*adapter.Session) {}

func (n *logNode) Replay(_ context.Context, s *adapter.Session, offset string, accept func([]adapter.Missed) error) error {
	from, err := strconv.Atoi(offset)
	if err != nil || from < 0 {
		return adapter.ErrOffset
	}
	if since, err := strconv.Atoi(s.Since); err == nil {
		from = max(from, since)
	}
	l := n.ledger
	l.mu.Lock()
	if from > len(l.entries) {
		l.mu.Unlock()
		return adapter.ErrOffset
	}
	for n.delivered < from {
		l.wake.Wait()
	}
	l.mu.Unlock()

	n.delivery.Lock()
	defer n.delivery.Unlock()
	l.mu.Lock()
	entries := l.entries[:n.delivered]
	l.mu.Unlock()
	var missed []adapter.Missed
	for i, e := range entries[from:] {
		if meant(&e.o, s.Rooms) {
			missed = append(missed, adapter.Missed{Event: e.event, Args: e.args, Offset: strconv.Itoa(from + i + 1)})
		}
	}
	return accept(missed)
}

func meant(o *adapter.Opts, rooms []string) bool {
	in := func(names []string) bool {
		return slices.ContainsFunc(names, func(r string) bool { return slices.Contains(rooms, r) })
	}
	return (len(o.Rooms) == 0 || in(o.Rooms)) && !in(o.Except) && !slices.Contains(rooms, o.ExceptID)
}

func TestRecoveryContract(t *testing.T) {
	adaptertest.Run(t, adaptertest.Config{
		Servers: 3,
		Evicts:  true,
		New:     newBus,
		NewRecovery: func(t *testing.T, hosts []adapter.RecoveryHost, c adapter.RecoveryConfig) []adapter.Adapter {
			b, l := new(bus), &ledger{sessions: make(map[string]*adapter.Session)}
			l.wake.L = &l.mu
			var nodes []adapter.Adapter
			for _, h := range hosts {
				n := &logNode{node: newNode(b, h), ledger: l}
				if err := n.EnableRecovery(h, c); err != nil {
					t.Fatal(err)
				}
				if err := n.Init(t.Context()); err != nil {
					t.Fatal(err)
				}
				nodes = append(nodes, n)
			}
			return nodes
		},
	})
}
