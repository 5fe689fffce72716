package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/postgres"
	"github.com/epio-go/epio/adapter/redis"
)

// backend makes the adapters of one kind. close, which may be nil, is called at the end.
type backend func(o *options) (f adapter.Factory, close func(), err error)

// backends are the kinds there are. Each is compatible with the npm package of its name
// at that one's default options, if there is one.
var backends = map[string]backend{
	"memory":   func(*options) (adapter.Factory, func(), error) { return adapter.MemoryFactory, nil, nil },
	"postgres": onPostgres,
	"nats":     onNATS,
	"redis": onRedis(func(c *goredis.Client) adapter.Factory {
		return redis.Classic(c, redis.ClassicOptions{})
	}),
	"redis-sharded": onRedis(func(c *goredis.Client) adapter.Factory {
		return redis.Sharded(c, redis.ShardedOptions{})
	}),
	"redis-streams": onRedis(func(c *goredis.Client) adapter.Factory {
		return redis.Streams(c, redis.StreamsOptions{})
	}),
}

func onRedis(f func(c *goredis.Client) adapter.Factory) backend {
	return func(o *options) (adapter.Factory, func(), error) {
		c := goredis.NewClient(&goredis.Options{Addr: o.redis})
		return f(c), func() { _ = c.Close() }, nil
	}
}

func onPostgres(o *options) (adapter.Factory, func(), error) {
	c, err := pgxpool.ParseConfig(o.postgres)
	if err != nil {
		return nil, nil, err
	}
	// The default of two minutes would keep the pool waiting for a server that is long back.
	c.ConnConfig.ConnectTimeout = 2 * time.Second
	pool, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		return nil, nil, err
	}
	// Not waited for: one that does not answer must not hold up the end.
	return postgres.New(pool, postgres.Options{}), func() { go pool.Close() }, nil
}

func adapterNames() string { return strings.Join(slices.Sorted(maps.Keys(backends)), ", ") }

func newAdapter(o *options) (adapter.Factory, func(), error) {
	b := backends[o.adapter]
	if b == nil {
		return nil, nil, fmt.Errorf("no adapter %q, only %s", o.adapter, adapterNames())
	}
	f, closeBackend, err := b(o)
	if closeBackend == nil {
		closeBackend = func() {}
	}
	return f, closeBackend, err
}
