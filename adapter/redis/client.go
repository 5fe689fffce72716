package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter/cluster"
)

// client is a duplicate of the application's client, made for what adapters need:
//
//   - Commands are not tried again behind our back. A PUBLISH whose answer got lost may
//     have been carried out; a second one would bring every client the packet twice.
//   - Contexts bound commands, so that a Redis which has stopped answering holds up
//     nobody for longer than we say.
type client struct{ rdb goredis.UniversalClient }

// clients makes duplicates of the application's client: one at a time, which all
// namespaces share, and which is closed with the last of them.
type clients struct {
	dup func() goredis.UniversalClient // immutable

	mu    sync.Mutex
	users int  // guarded by mu: namespaces
	hub   *hub // guarded by mu; nil without users
}

// minPool is how many connections a duplicate may have at least: a reader of streams
// keeps one for itself.
const minPool = 10

// newClients panics if c is of a type that cannot be duplicated.
func newClients(c goredis.UniversalClient) *clients {
	switch c := c.(type) {
	case *goredis.Client:
		return &clients{dup: func() goredis.UniversalClient {
			o := *c.Options()
			o.MaxRetries = -1
			o.ContextTimeoutEnabled = true
			o.PushNotificationProcessor = nil // of one client only
			o.PoolSize = max(o.PoolSize, minPool)
			o.ClientSideCache, o.ClientSideCacheConfig = nil, nil
			return goredis.NewClient(&o)
		}}
	case *goredis.ClusterClient:
		return &clients{dup: func() goredis.UniversalClient {
			o := *c.Options()
			o.MaxRetries = -1
			o.ContextTimeoutEnabled = true
			o.PushNotificationProcessor = nil // of one client only
			o.PoolSize = max(o.PoolSize, minPool)
			// Masters only: they are where subscriptions are counted.
			o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
			return goredis.NewClusterClient(&o)
		}}
	}
	panic(fmt.Sprintf("adapter/redis: client must be a *redis.Client or a *redis.ClusterClient, not a %T", c))
}

// open returns what a namespace works with until it calls close.
func (cs *clients) open() *hub {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.hub == nil {
		cs.hub = newHub(&client{cs.dup()})
	}
	cs.users++
	return cs.hub
}

func (cs *clients) close() error {
	cs.mu.Lock()
	cs.users--
	h := cs.hub
	if cs.users > 0 {
		cs.mu.Unlock()
		return nil
	}
	cs.hub = nil
	cs.mu.Unlock()
	return h.close()
}

// cluster returns the client of a Redis Cluster, or nil.
func (c *client) cluster() *goredis.ClusterClient {
	cc, _ := c.rdb.(*goredis.ClusterClient)
	return cc
}

// forKey returns the node to send commands for one key to, in order.
//
// A cluster's client would send a PUBLISH, which has no key, to any node, and two in a
// row to two; one node that everything of a namespace goes to keeps the order.
func (c *client) forKey(ctx context.Context, key string) (goredis.Cmdable, error) {
	if cc := c.cluster(); cc != nil {
		return cc.MasterForKey(ctx, key)
	}
	return c.rdb, nil
}

// count adds up how many connections have subscribed to a channel. A node of a cluster
// knows only its own.
func (c *client) count(ctx context.Context, channel string, sharded bool) (int, error) {
	ask := func(ctx context.Context, rdb goredis.Cmdable) (int, error) {
		var counts map[string]int64
		var err error
		if sharded {
			counts, err = rdb.PubSubShardNumSub(ctx, channel).Result()
		} else {
			counts, err = rdb.PubSubNumSub(ctx, channel).Result()
		}
		return int(counts[channel]), err
	}
	cc := c.cluster()
	if cc == nil {
		return ask(ctx, c.rdb)
	}
	var mu sync.Mutex
	total := 0
	err := cc.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
		n, err := ask(ctx, node)
		mu.Lock()
		defer mu.Unlock()
		total += n
		return err
	})
	return total, err
}

// outcome sorts out what has become of the commands of a pipeline, in the terms of
// cluster.Driver. They are not tried again unless none of them was carried out.
func outcome(cmds []goredis.Cmder) (settled, lost int, err error) {
	unsent := true
	for _, cmd := range cmds {
		switch e := cmd.Err(); {
		case e == nil:
			unsent = false
		default:
			lost++
			unsent = unsent && wasNotSent(e)
			if err == nil {
				err = e
			}
		}
	}
	if err != nil && unsent {
		return 0, 0, err
	}
	return len(cmds), lost, err
}

// wasNotSent reports whether a command with this error certainly had no effect, and
// may have one later.
func wasNotSent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	return errors.Is(err, goredis.ErrPoolTimeout) || goredis.IsLoadingError(err) || goredis.IsReadOnlyError(err) ||
		goredis.IsMasterDownError(err) || goredis.IsClusterDownError(err) || goredis.IsTryAgainError(err) ||
		goredis.IsMaxClientsError(err)
}

// publish sends parcels to channels in one pipeline. ordered is a key by which all go
// to one node of a cluster; without it each goes to its channel's.
func (c *client) publish(ctx context.Context, ps []cluster.Parcel, sharded bool, ordered string) (int, int, error) {
	var rdb goredis.Cmdable = c.rdb
	if !sharded {
		var err error
		if rdb, err = c.forKey(ctx, ordered); err != nil {
			return 0, 0, err
		}
	}
	pipe := rdb.Pipeline()
	for i := range ps {
		if sharded {
			pipe.SPublish(ctx, ps[i].Dest, ps[i].Data)
		} else {
			pipe.Publish(ctx, ps[i].Dest, ps[i].Data)
		}
	}
	cmds, err := pipe.Exec(ctx)
	if len(cmds) == 0 {
		return 0, 0, err
	}
	return outcome(cmds)
}
