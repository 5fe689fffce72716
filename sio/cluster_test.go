package sio

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/epio-go/epio/adapter"
)

// bus joins servers of one test: calls of functions, with values in the form that a wire
// would give them.
type bus struct {
	mu sync.Mutex
	// guarded by mu
	nodes map[string][]*busNode // by namespace
	flags adapter.Flags         // of the last call for answers
}

type busNode struct {
	*adapter.Memory
	bus  *bus
	host adapter.Host
}

// cluster starts n servers on one bus.
func cluster(t *testing.T, n int, cfg Config) []*rig {
	t.Helper()
	b := &bus{nodes: make(map[string][]*busNode)}
	cfg.Adapter = func(h adapter.Host) adapter.Adapter {
		return &busNode{adapter.NewMemory(adapter.Config{}), b, h}
	}
	rigs := make([]*rig, n)
	for i := range rigs {
		rigs[i] = memory(t, cfg)
	}
	return rigs
}

func (n *busNode) Init(context.Context) error {
	n.bus.mu.Lock()
	defer n.bus.mu.Unlock()
	name := n.host.Namespace()
	n.bus.nodes[name] = append(n.bus.nodes[name], n)
	return nil
}

func (n *busNode) Close(context.Context) error {
	n.bus.mu.Lock()
	defer n.bus.mu.Unlock()
	name := n.host.Namespace()
	n.bus.nodes[name] = slices.DeleteFunc(slices.Clone(n.bus.nodes[name]), func(o *busNode) bool { return o == n })
	return nil
}

// asked returns the flags of the last call for answers in the cluster of r.
func (r *rig) asked() adapter.Flags {
	b := r.srv.root.adapter.(*busNode).bus
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flags
}

func (n *busNode) others(o adapter.Opts) []*busNode {
	if o.Flags.Has(adapter.Local) {
		return nil
	}
	n.bus.mu.Lock()
	defer n.bus.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(n.bus.nodes[n.host.Namespace()]), func(o *busNode) bool { return o == n })
}

// wired returns v as it comes out of JSON.
func wired[T any](v T) (w T) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	if err := json.Unmarshal(text, &w); err != nil {
		panic(err)
	}
	return w
}

func (n *busNode) ServerCount(context.Context) (int, error) {
	return 1 + len(n.others(adapter.Opts{})), nil
}

func (n *busNode) Broadcast(p adapter.Packet, o adapter.Opts) error {
	for _, to := range n.others(o) {
		to.host.BroadcastLocal(p.Event(), wired(p.Args()), o, nil)
	}
	return n.Memory.Broadcast(p, o)
}

func (n *busNode) BroadcastWithAck(p adapter.Packet, o adapter.Opts, acks adapter.Acks) (int, error) {
	others := n.others(o)
	n.bus.mu.Lock()
	n.bus.flags = o.Flags
	n.bus.mu.Unlock()
	for _, to := range others {
		acks.Count(to.host.BroadcastLocal(p.Event(), wired(p.Args()), o, func(id string, arg any) { acks.Ack(id, wired(arg)) }))
	}
	here, err := n.Memory.BroadcastWithAck(p, o, acks)
	return here + len(others), err
}

func (n *busNode) FetchSockets(ctx context.Context, o adapter.Opts) ([]adapter.SocketInfo, error) {
	all, err := n.Memory.FetchSockets(ctx, o)
	for _, to := range n.others(o) {
		for r := range to.Index().Sockets(o) {
			all = append(all, wired(r.Info()))
		}
	}
	return all, err
}

func (n *busNode) AllRooms(ctx context.Context) ([]string, error) {
	all, err := n.Memory.AllRooms(ctx)
	for _, to := range n.others(adapter.Opts{}) {
		all = append(all, to.Index().AllRooms()...)
	}
	slices.Sort(all)
	return slices.Compact(all), err
}

func (n *busNode) AddSockets(o adapter.Opts, rooms []string) error {
	for _, to := range n.others(o) {
		to.Index().AddSockets(o, rooms)
	}
	return n.Memory.AddSockets(o, rooms)
}

func (n *busNode) DelSockets(o adapter.Opts, rooms []string) error {
	for _, to := range n.others(o) {
		to.Index().DelSockets(o, rooms)
	}
	return n.Memory.DelSockets(o, rooms)
}

func (n *busNode) DisconnectSockets(o adapter.Opts, close bool) error {
	for _, to := range n.others(o) {
		to.Index().DisconnectSockets(o, close)
	}
	return n.Memory.DisconnectSockets(o, close)
}

func (n *busNode) ServerSideEmit(event string, args []any) error {
	for _, to := range n.others(adapter.Opts{}) {
		to.host.ServerEvent(event, wired(args), nil)
	}
	return nil
}

func (n *busNode) ServerSideCall(ctx context.Context, event string, args []any) ([]any, error) {
	others := n.others(adapter.Opts{})
	got := make(chan any, 2*len(others))
	for _, to := range others {
		to.host.ServerEvent(event, wired(args), func(v any) { got <- wired(v) })
	}
	var answers []any
	for range others {
		select {
		case v := <-got:
			answers = append(answers, v)
		case <-ctx.Done():
			return answers, ctx.Err()
		}
	}
	if len(got) > 0 {
		return answers, errors.New("an event was answered twice")
	}
	return answers, nil
}
