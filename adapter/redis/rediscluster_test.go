//go:build unix

package redis_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/redis"
)

// startCluster makes a Redis Cluster of three masters, without replicas.
func startCluster(t *testing.T) ([]*server, *goredis.ClusterClient) {
	t.Helper()
	var nodes []*server
	var addrs []string
	for range 3 {
		s := startNode(t, "--cluster-node-timeout", "2000")
		nodes, addrs = append(nodes, s), append(addrs, s.addr)
	}
	ctx := t.Context()
	const slots = 16384
	for i, s := range nodes {
		rdb := s.client()
		if err := rdb.ClusterAddSlotsRange(ctx, i*slots/3, (i+1)*slots/3-1).Err(); err != nil {
			t.Fatal(err)
		}
		// Otherwise they find out later that all have the same, and some take a higher one.
		if err := rdb.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			continue
		}
		host, port, _ := net.SplitHostPort(nodes[0].addr)
		bus := nodes[0].bus
		if err := rdb.Do(ctx, "cluster", "meet", host, port, bus).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range nodes {
		rdb := s.client()
		clustertest.Eventually(t, "the cluster is complete", func() bool {
			info := rdb.ClusterInfo(ctx).Val()
			return len(info) > 0 && containsAll(info, "cluster_state:ok", "cluster_known_nodes:3", "cluster_slots_ok:16384")
		})
	}
	cc := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = cc.Close() })
	return nodes, cc
}

// All adapters fulfil the contract on a Redis Cluster, whose nodes each know a part of the
// subscribers.
func TestContractOnCluster(t *testing.T) {
	_, cc := startCluster(t)
	for name, factory := range map[string]func(prefix string) adapter.Factory{
		"classic": func(prefix string) adapter.Factory { return redis.Classic(cc, redis.ClassicOptions{Key: prefix}) },
		// With channels for rooms, what goes to a room and what goes to all takes
		// different ways through the cluster, and its order is not kept.
		"sharded": func(prefix string) adapter.Factory {
			return redis.Sharded(cc, redis.ShardedOptions{ChannelPrefix: prefix, SubscriptionMode: redis.Static})
		},
		"streams": func(prefix string) adapter.Factory {
			return redis.Streams(cc, redis.StreamsOptions{ChannelPrefix: prefix, StreamName: prefix})
		},
		"streams, sharded": func(prefix string) adapter.Factory {
			return redis.Streams(cc, redis.StreamsOptions{ChannelPrefix: prefix, StreamName: prefix, UseShardedPubSub: true})
		},
	} {
		t.Run(name, func(t *testing.T) { runContract(t, cc, factory) })
	}
}

// Channels follow their slots to other nodes.
func TestChannelsFollowSlots(t *testing.T) {
	nodes, cc := startCluster(t)
	f := redis.Sharded(cc, redis.ShardedOptions{})
	h := &clustertest.Host{Name: "/"}
	a, b := open(t, f, h), open(t, redis.Sharded(cc, redis.ShardedOptions{}), &clustertest.Host{Name: "/"})
	clustertest.Connect(t, a, "one", "r")
	clustertest.WantServers(t, a, b)
	room := adapter.Opts{Rooms: []string{"r"}}
	clustertest.Flows(t, b, h, room, "before")

	ctx := t.Context()
	for _, channel := range []string{"socket.io#/#r#", "socket.io#/#"} {
		slot := int(cc.ClusterKeySlot(ctx, channel).Val())
		from := slot * 3 / 16384
		if slot >= (from+1)*16384/3 {
			from++
		}
		to := nodes[(from+1)%3].client()
		id := to.Do(ctx, "cluster", "myid").Val()
		// With the slot imported, and not just taken, the node gets a higher epoch: what the former owner says until it
		// knows counts for nothing.
		if err := to.Do(ctx, "cluster", "setslot", slot, "importing", nodes[from].client().Do(ctx, "cluster", "myid").Val()).Err(); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*goredis.Client{to, nodes[from].client(), nodes[(from+2)%3].client()} {
			if err := s.Do(ctx, "cluster", "setslot", slot, "node", id).Err(); err != nil {
				t.Fatal(err)
			}
		}
		cc.ReloadState(ctx)
	}
	clustertest.Flows(t, b, h, room, "room")
	clustertest.Flows(t, b, h, adapter.Opts{}, "all")
	clustertest.WantServers(t, a, b)
}

// A node that dies takes with it what it held; when its slots are another's, everything
// works.
func TestClusterNodeDies(t *testing.T) {
	nodes, cc := startCluster(t)
	h := &clustertest.Host{Name: "/"}
	a, b := open(t, redis.Sharded(cc, redis.ShardedOptions{}), h), open(t, redis.Sharded(cc, redis.ShardedOptions{}), &clustertest.Host{Name: "/"})
	clustertest.Connect(t, a, "one", "r")
	clustertest.WantServers(t, a, b)
	ctx := context.Background()
	slot := int(cc.ClusterKeySlot(ctx, "socket.io#/#").Val())
	dying := min(slot*3/16384, 2)
	nodes[dying].kill()
	heir := nodes[(dying+1)%3].client()
	other := nodes[(dying+2)%3].client()
	id := heir.Do(ctx, "cluster", "myid").Val()
	for s := dying * 16384 / 3; s < (dying+1)*16384/3; s++ {
		pipe := heir.Pipeline()
		pipe.Do(ctx, "cluster", "setslot", s, "node", id)
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := heir.Do(ctx, "cluster", "bumpepoch").Err(); err != nil {
		t.Fatal(err)
	}
	clustertest.Eventually(t, "the other node knows", func() bool {
		return containsAll(other.ClusterInfo(ctx).Val(), "cluster_state:ok")
	})
	start := time.Now()
	clustertest.Flows(t, b, h, adapter.Opts{}, "all")
	clustertest.Flows(t, b, h, adapter.Opts{Rooms: []string{"r"}}, "room")
	t.Log(fmt.Sprint("after ", time.Since(start)))
}
