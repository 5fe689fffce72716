package nats

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/epio-go/epio/adapter/cluster"
)

// barrier finds out when subscriptions have reached all servers.
//
// A NATS server knows a subscription once it has answered a ping that came behind it. In
// a NATS cluster the other servers are told by a message of their own, in order with
// what is published: so when all members have answered a question that was published
// behind a subscription, what they send finds it.
type barrier struct {
	mu     sync.Mutex
	number uint64              // guarded by mu: of the question asked last
	missed int                 // guarded by mu: how many have not answered it
	heard  map[string]struct{} // guarded by mu: who has, by uid
	all    chan struct{}       // guarded by mu: closed when everybody has
}

// barrierWait bounds the wait for a member that may be gone.
const barrierWait = 500 * time.Millisecond

// pass returns when all members have answered, at once with a single NATS server. It is
// called by one goroutine at a time. That somebody does not answer is no error, since it
// would not be one of NATS.
func (b *barrier) pass(ctx context.Context, d *driver) error {
	if d.conn.nc.ConnectedClusterName() == "" {
		return nil
	}
	n, _ := d.a.ServerCount(ctx) // from memory
	if n <= 1 {
		return nil
	}
	b.mu.Lock()
	b.number++
	b.missed, b.heard, b.all = n-1, make(map[string]struct{}), make(chan struct{})
	number, all := b.number, b.all
	b.mu.Unlock()
	p := binary.BigEndian.AppendUint64(appendUID(nil, ask, d.a.UID()), number)
	if err := d.conn.nc.Publish(d.all, p); err != nil {
		return err
	}
	timer := time.NewTimer(barrierWait)
	defer timer.Stop()
	select {
	case <-all:
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// receive handles questions, and answers to ours.
func (b *barrier) receive(d *driver, p []byte) error {
	uid, rest, ok := cutUID(p)
	if !ok || len(rest) != 8 {
		return errMalformed
	}
	if p[0] == ask {
		// When it cannot be queued the other one goes on without.
		_ = d.a.Publish(cluster.Parcel{Dest: d.node(uid), Data: append(appendUID(nil, answer, d.a.UID()), rest...)})
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, twice := b.heard[uid]; twice || b.missed == 0 || binary.BigEndian.Uint64(rest) != b.number {
		return nil
	}
	b.heard[uid] = struct{}{}
	if b.missed--; b.missed == 0 {
		b.heard = nil
		close(b.all)
	}
	return nil
}
