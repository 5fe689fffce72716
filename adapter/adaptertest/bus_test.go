package adaptertest_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/adaptertest"
)

// The suite itself needs a cluster to be tried on: a bus of function calls within
// the process, the smallest adapter that fulfils the contract.
type bus struct {
	mu    sync.Mutex
	nodes []*node // guarded by mu: those that are open
}

// node is one server of the bus. Its inbox is worked off by one goroutine, in
// order, from Init to Close.
type node struct {
	bus  *bus
	host adapter.Host
	x    *adapter.Index
	done sync.WaitGroup

	mu     sync.Mutex
	wake   sync.Cond // inbox or closed changed
	inbox  []func()  // guarded by mu
	closed bool      // guarded by mu
}

var _ adapter.Adapter = (*node)(nil)

func newNode(b *bus, h adapter.Host) *node {
	n := &node{bus: b, host: h, x: adapter.NewIndex(adapter.Config{})}
	n.wake.L = &n.mu
	return n
}

func (n *node) Index() *adapter.Index { return n.x }

func (n *node) Init(context.Context) error {
	n.bus.mu.Lock()
	n.bus.nodes = append(n.bus.nodes, n)
	n.bus.mu.Unlock()
	n.done.Go(n.run)
	return nil
}

func (n *node) Close(context.Context) error {
	n.bus.mu.Lock()
	n.bus.nodes = slices.DeleteFunc(n.bus.nodes, func(o *node) bool { return o == n })
	n.bus.mu.Unlock()
	n.mu.Lock()
	n.closed = true
	n.wake.Signal()
	n.mu.Unlock()
	n.done.Wait()
	return nil
}

// run works off what came in before Close, too: those who asked wait for it.
func (n *node) run() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		for len(n.inbox) > 0 {
			f := n.inbox[0]
			n.inbox = n.inbox[1:]
			n.mu.Unlock()
			f()
			n.mu.Lock()
		}
		if n.closed {
			return
		}
		n.wake.Wait()
	}
}

// publish has f run on every other node and returns how many that are.
func (n *node) publish(o adapter.Opts, f func(*node)) int {
	if o.Flags.Has(adapter.Local) {
		return 0
	}
	n.bus.mu.Lock()
	defer n.bus.mu.Unlock()
	others := 0
	for _, to := range n.bus.nodes {
		if to == n {
			continue
		}
		others++
		to.mu.Lock()
		to.inbox = append(to.inbox, func() { f(to) })
		to.wake.Signal()
		to.mu.Unlock()
	}
	return others
}

// wire is what is left of o in transit.
func wire(o adapter.Opts) adapter.Opts {
	o.Rooms, o.Except = slices.Clone(o.Rooms), slices.Clone(o.Except)
	o.Batch = nil
	return o
}

func (n *node) ServerCount(context.Context) (int, error) {
	n.bus.mu.Lock()
	defer n.bus.mu.Unlock()
	return len(n.bus.nodes), nil
}

func (n *node) Broadcast(p adapter.Packet, o adapter.Opts) error {
	event, args, remote := p.Event(), slices.Clone(p.Args()), wire(o)
	n.publish(o, func(to *node) { to.host.BroadcastLocal(event, args, remote, nil) })
	n.x.Broadcast(p, o)
	return nil
}

func (n *node) BroadcastWithAck(p adapter.Packet, o adapter.Opts, acks adapter.Acks) (int, error) {
	event, args, remote := p.Event(), slices.Clone(p.Args()), wire(o)
	others := n.publish(o, func(to *node) { acks.Count(to.host.BroadcastLocal(event, args, remote, acks.Ack)) })
	acks.Count(n.x.Broadcast(p, o))
	return others + 1, nil
}

func (n *node) FetchSockets(ctx context.Context, o adapter.Opts) ([]adapter.SocketInfo, error) {
	remote := wire(o)
	all, err := gather(ctx, n, o, func(to *node) []adapter.SocketInfo {
		var infos []adapter.SocketInfo
		for r := range to.x.Sockets(remote) {
			info := r.Info()
			info.Local = nil
			infos = append(infos, info)
		}
		return infos
	})
	return append(all, n.x.FetchSockets(o)...), err
}

func (n *node) AllRooms(ctx context.Context) ([]string, error) {
	rooms, err := gather(ctx, n, adapter.Opts{}, func(to *node) []string { return to.x.AllRooms() })
	rooms = append(rooms, n.x.AllRooms()...)
	slices.Sort(rooms)
	return slices.Compact(rooms), err
}

// gather collects what f returns on every other node.
func gather[E any](ctx context.Context, n *node, o adapter.Opts, f func(*node) []E) ([]E, error) {
	replies := make(chan []E, 64)
	var all []E
	for range n.publish(o, func(to *node) { replies <- f(to) }) {
		select {
		case es := <-replies:
			all = append(all, es...)
		case <-ctx.Done():
			return all, ctx.Err()
		}
	}
	return all, nil
}

func (n *node) AddSockets(o adapter.Opts, rooms []string) error {
	remote, names := wire(o), slices.Clone(rooms)
	n.publish(o, func(to *node) { to.x.AddSockets(remote, names) })
	n.x.AddSockets(o, rooms)
	return nil
}

func (n *node) DelSockets(o adapter.Opts, rooms []string) error {
	remote, names := wire(o), slices.Clone(rooms)
	n.publish(o, func(to *node) { to.x.DelSockets(remote, names) })
	n.x.DelSockets(o, rooms)
	return nil
}

func (n *node) DisconnectSockets(o adapter.Opts, close bool) error {
	remote := wire(o)
	n.publish(o, func(to *node) { to.x.DisconnectSockets(remote, close) })
	n.x.DisconnectSockets(o, close)
	return nil
}

func (n *node) ServerSideEmit(event string, args []any) error {
	args = slices.Clone(args)
	n.publish(adapter.Opts{}, func(to *node) { to.host.ServerEvent(event, args, nil) })
	return nil
}

func (n *node) ServerSideCall(ctx context.Context, event string, args []any) ([]any, error) {
	args = slices.Clone(args)
	answers := make(chan any, 64)
	var all []any
	for range n.publish(adapter.Opts{}, func(to *node) {
		var once sync.Once
		to.host.ServerEvent(event, args, func(arg any) { once.Do(func() { answers <- arg }) })
	}) {
		select {
		case a := <-answers:
			all = append(all, a)
		case <-ctx.Done():
			return all, ctx.Err()
		}
	}
	return all, nil
}

func newBus(t *testing.T, hosts []adapter.Host) []adapter.Adapter {
	b := new(bus)
	var nodes []adapter.Adapter
	for _, h := range hosts {
		n := newNode(b, h)
		if err := n.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func TestContract(t *testing.T) {
	adaptertest.Run(t, adaptertest.Config{Servers: 3, New: newBus})
}
