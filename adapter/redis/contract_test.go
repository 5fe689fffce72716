package redis_test

import (
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/adaptertest"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/redis"
)

// prefixes keep the clusters of one test apart, which run one after the other on one
// Redis.
func runContract(t *testing.T, rdb goredis.UniversalClient, factory func(prefix string) adapter.Factory) {
	clusters := 0
	adaptertest.Run(t, adaptertest.Config{
		Servers: 3,
		Synced: func(t *testing.T, as []adapter.Adapter) {
			for _, a := range as {
				if err := a.(*cluster.Adapter).Synced(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		},
		New: func(t *testing.T, hosts []adapter.Host) []adapter.Adapter {
			clusters++
			prefix := "odd *?[a-z]\\ prefix " + string(rune('a'+clusters%26)) + string(rune('a'+clusters/26))
			var as []adapter.Adapter
			var cs []*cluster.Adapter
			for _, h := range hosts {
				a := open(t, factory(prefix), h)
				as, cs = append(as, a), append(cs, a)
			}
			clustertest.WantServers(t, cs...)
			return as
		},
	})
}

// The suite of recovery runs besides the others.
func TestStreamsContract(t *testing.T) {
	rdb := startServer(t).client()
	for name, o := range map[string]redis.StreamsOptions{
		"defaults":            {},
		"sharded and several": {UseShardedPubSub: true, StreamCount: 3, ReadCount: 2},
	} {
		t.Run(name, func(t *testing.T) {
			clusters := 0
			adaptertest.Run(t, adaptertest.Config{
				Servers: 3,
				Evicts:  true,
				New: func(t *testing.T, hosts []adapter.Host) []adapter.Adapter {
					clusters++
					return streams(t, rdb, o, clusters, hosts, nil)
				},
				NewRecovery: func(t *testing.T, hosts []adapter.RecoveryHost, c adapter.RecoveryConfig) []adapter.Adapter {
					clusters++
					all := make([]adapter.Host, len(hosts))
					for i, h := range hosts {
						all[i] = h
					}
					return streams(t, rdb, o, clusters, all, &c)
				},
			})
		})
	}
}

// streams makes a cluster with streams of its own, with recovery if c is not nil.
func streams(t *testing.T, rdb goredis.UniversalClient, o redis.StreamsOptions, n int, hosts []adapter.Host, c *adapter.RecoveryConfig) []adapter.Adapter {
	t.Helper()
	o.StreamName = fmt.Sprint(t.Name(), n)
	o.ChannelPrefix, o.SessionKeyPrefix = o.StreamName, o.StreamName+":session:"
	var as []adapter.Adapter
	var cs []*cluster.Adapter
	for _, h := range hosts {
		a := redis.Streams(rdb, o)(h).(*cluster.Logged)
		if c != nil {
			if err := a.EnableRecovery(h.(adapter.RecoveryHost), *c); err != nil {
				t.Fatal(err)
			}
		}
		initialize(t, a.Adapter)
		as, cs = append(as, a), append(cs, a.Adapter)
	}
	clustertest.WantServers(t, cs...)
	return as
}

func TestContract(t *testing.T) {
	rdb := startServer(t).client()
	for name, factory := range map[string]func(prefix string) adapter.Factory{
		"classic": func(prefix string) adapter.Factory {
			return redis.Classic(rdb, redis.ClassicOptions{Key: prefix})
		},
		"classic, specific channels": func(prefix string) adapter.Factory {
			return redis.Classic(rdb, redis.ClassicOptions{Key: prefix, PublishOnSpecificResponseChannel: true})
		},
		"sharded, dynamic": func(prefix string) adapter.Factory {
			return redis.Sharded(rdb, redis.ShardedOptions{ChannelPrefix: prefix})
		},
		"sharded, dynamic-private": func(prefix string) adapter.Factory {
			return redis.Sharded(rdb, redis.ShardedOptions{ChannelPrefix: prefix, SubscriptionMode: redis.DynamicPrivate})
		},
		"sharded, static": func(prefix string) adapter.Factory {
			return redis.Sharded(rdb, redis.ShardedOptions{ChannelPrefix: prefix, SubscriptionMode: redis.Static})
		},
	} {
		t.Run(name, func(t *testing.T) { runContract(t, rdb, factory) })
	}
}
