//go:build unix

package redis_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/redis"
)

// variants are the adapters that behave alike.
func variants(rdb goredis.UniversalClient) map[string]adapter.Factory {
	return map[string]adapter.Factory{
		"classic": redis.Classic(rdb, redis.ClassicOptions{}),
		"sharded": redis.Sharded(rdb, redis.ShardedOptions{}),
		"streams": redis.Streams(rdb, redis.StreamsOptions{}),
	}
}

// A connection that breaks, a Redis that is restarted, and one that stands still: sockets
// here are served all the time, requests end, and afterwards everything is as it was.
func TestRedisGoesAndComesBack(t *testing.T) {
	for _, name := range []string{"classic", "sharded", "streams"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t)
			p := clustertest.NewProxy(t, srv.addr)
			near := goredis.NewClient(&goredis.Options{Addr: p.Addr()})
			defer near.Close()
			h1, h2 := &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
			a1 := open(t, variants(near)[name], h1)
			a2 := open(t, variants(srv.client())[name], h2)
			s := clustertest.Connect(t, a1, "one", "r")
			clustertest.Connect(t, a2, "two", "r")
			room := adapter.Opts{Rooms: []string{"r"}}
			clustertest.WantServers(t, a1, a2)
			clustertest.Flows(t, a1, h2, adapter.Opts{}, "first")
			clustertest.Flows(t, a2, h1, room, "first")

			away := func(what string) {
				t.Helper()
				if err := clustertest.Away(t, a1, s, what); err == nil {
					t.Errorf("%s: all sockets were fetched", what)
				}
			}
			p.Cut()
			away("cut")
			p.Restore()
			clustertest.Flows(t, a1, h2, adapter.Opts{}, "restored")
			clustertest.Flows(t, a2, h1, room, "restored")
			clustertest.WantServers(t, a1, a2)

			srv.kill()
			away("killed")
			srv.start()
			clustertest.Flows(t, a1, h2, room, "restarted")
			clustertest.Flows(t, a2, h1, room, "restarted")
			clustertest.WantServers(t, a1, a2)

			srv.signal(syscall.SIGSTOP)
			away("frozen")
			srv.signal(syscall.SIGCONT)
			clustertest.Flows(t, a1, h2, room, "thawed")
			clustertest.Flows(t, a2, h1, adapter.Opts{}, "thawed")
			clustertest.WantServers(t, a1, a2)

			if l := h1.Log(); !strings.Contains(l, "connection to redis lost") && !strings.Contains(l, "stream cannot be read") {
				t.Errorf("logged %q", h1.Log())
			}
		})
	}
}

// A server that starts while Redis is away joins later.
func TestRedisComesLater(t *testing.T) {
	for _, name := range []string{"classic", "sharded", "streams"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t)
			other := &clustertest.Host{Name: "/"}
			p := clustertest.NewProxy(t, srv.addr)
			p.Cut()
			rdb := goredis.NewClient(&goredis.Options{Addr: p.Addr()})
			defer rdb.Close()
			h := &clustertest.Host{Name: "/"}
			a := plainAdapter(variants(rdb)[name](h))
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := a.Init(ctx); err == nil {
				t.Error("no error without Redis")
			}
			s := clustertest.Connect(t, a, "near")
			if err := a.Broadcast(clustertest.Packet("alone"), adapter.Opts{}); err != nil || s.Delivered() != 1 {
				t.Errorf("%v, %d delivered", err, s.Delivered())
			}
			p.Restore()
			b := open(t, variants(srv.client())[name], other)
			clustertest.Connect(t, b, "far")
			clustertest.Flows(t, b, h, adapter.Opts{}, "x")
			clustertest.Flows(t, a, other, adapter.Opts{}, "y")
			clustertest.WantServers(t, a, b)
			if err := a.Close(t.Context()); err != nil {
				t.Error(err)
			}
			clustertest.WantServers(t, b)
		})
	}
}

// Rubbish on the channels is logged and ignored, and nobody is disconnected by it.
func TestMalformedMessages(t *testing.T) {
	srv := startServer(t)
	rdb := srv.client()
	ctx := t.Context()
	for name, f := range variants(rdb) {
		t.Run(name, func(t *testing.T) {
			h, other := &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
			a, b := open(t, f, h), open(t, f, other)
			s := clustertest.Connect(t, a, "one", "r")
			var channels []string
			send := func(ch, p string) { rdb.Publish(ctx, ch, p) }
			switch name {
			case "classic":
				channels = []string{"socket.io#/#", "socket.io#/#r#", "socket.io-request#/#", "socket.io-response#/#"}
			case "sharded":
				channels = []string{"socket.io#/#", "socket.io#/#r#", "socket.io#/#" + a.UID() + "#"}
				send = func(ch, p string) { rdb.SPublish(ctx, ch, p) }
			case "streams":
				channels = []string{"socket.io#/#", "socket.io#/#" + a.UID() + "#", "stream"}
				send = func(ch, p string) {
					if ch != "stream" {
						rdb.Publish(ctx, ch, p)
						return
					}
					for _, values := range []any{
						[]any{"uid", "u", "nsp", "/", "type", "6", "data", p},
						[]any{"uid", "u", "nsp", "/", "type", p, "data", "{}"},
						[]any{"nsp", "/", "type", "3"},
						[]any{"uid", "u", "nsp", "/", "type", "3", "data", "!" + p},
						[]any{"x", p},
					} {
						if err := rdb.XAdd(ctx, &goredis.XAddArgs{Stream: "socket.io", Values: values}).Err(); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			for _, ch := range channels {
				for _, p := range []string{
					"", "x", "{", "{}", "[]", "\x80", "\x93\xa1u\xc0\xc0", "\xc1", "\xdd\xff\xff\xff\xff", "null", "\x00",
					`{"type":4,"close":true}`, `{"type":4,"opts":{},"close":true}`, `{"type":4,"opts":null,"close":true}`,
					`{"type":6,"uid":"u","nsp":"/","data":{"close":true}}`,
					`{"type":6,"uid":"u","nsp":"/","data":{"opts":{},"close":true}}`,
					`{"type":6,"uid":"u","nsp":"/"}`, `{"type":3,"uid":"u","nsp":"/"}`, `{"type":9}`, `{"type":6,"data":5}`,
					`{"type":11,"uid":"u","nsp":"/","data":null}`, `{"requestId":5}`, `{"requestId":"x","sockets":7}`,
					"\x93\xa1u\x82\xa4type\x01\xa4data\x90\x82\xa5rooms\x90\xa6except\x90",
				} {
					send(ch, p)
				}
			}
			clustertest.Flows(t, b, h, adapter.Opts{}, "after")
			if s.Disconnected() {
				t.Error("disconnected")
			}
			if !strings.Contains(h.Log(), "malformed message ignored") {
				t.Errorf("logged %q", h.Log())
			}
		})
	}
}

// One server is one subscriber of what counts the servers, and none when it is gone,
// also with several namespaces and when two servers share a factory.
func TestCountedSubscriptions(t *testing.T) {
	srv := startServer(t)
	rdb := srv.client()
	f := redis.Classic(rdb, redis.ClassicOptions{})
	numsub := func(ch string) int64 { return rdb.PubSubNumSub(context.Background(), ch).Val()[ch] }
	want := func(n int64) {
		t.Helper()
		if got := numsub("socket.io-request#/#"); got != n {
			t.Errorf("%d subscribers, want %d", got, n)
		}
	}
	want(0)
	a := open(t, f, &clustertest.Host{Name: "/"})
	open(t, f, &clustertest.Host{Name: "/chat"})
	want(1)
	b := open(t, f, &clustertest.Host{Name: "/"})
	want(2)
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(1)
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(0)
	if got := numsub("socket.io-request#/chat#"); got != 1 {
		t.Errorf("%d subscribers of the other namespace", got)
	}
}

// A namespace may hold what means something in a pattern.
func TestNamespacesAreNoPatterns(t *testing.T) {
	rdb := startServer(t).client()
	f := redis.Classic(rdb, redis.ClassicOptions{})
	g := redis.Classic(rdb, redis.ClassicOptions{})
	star, plain := &clustertest.Host{Name: "/a*[b-d]?\\"}, &clustertest.Host{Name: "/axbx\\"}
	a1, a2 := open(t, f, star), open(t, g, plain)
	clustertest.Connect(t, a1, "1")
	clustertest.Connect(t, a2, "2")
	b1, b2 := open(t, g, &clustertest.Host{Name: star.Name}), open(t, f, &clustertest.Host{Name: plain.Name})
	clustertest.Flows(t, b1, star, adapter.Opts{}, "star")
	clustertest.Flows(t, b2, plain, adapter.Opts{}, "plain")
	if star.Has("plain1[]") || plain.Has("star1[]") || star.Log() != "" || plain.Log() != "" {
		t.Errorf("got %q and %q, logged %q %q", star.Got(), plain.Got(), star.Log(), plain.Log())
	}
}

// Servers that come and go leave nothing behind, and namespaces share their connections.
func TestNothingIsLeftBehind(t *testing.T) {
	srv := startServer(t)
	rdb := srv.client()
	clients := func() int {
		return strings.Count(rdb.ClientList(context.Background()).Val(), "\n")
	}
	before := clients()
	goroutines := runtime.NumGoroutine()
	for name, f := range variants(rdb) {
		for range 3 {
			var as []*cluster.Adapter
			for i := range 10 {
				as = append(as, plainAdapter(f(&clustertest.Host{Name: fmt.Sprint("/", i)})))
				if err := as[i].Init(t.Context()); err != nil {
					t.Fatal(err)
				}
				clustertest.Connect(t, as[i], "s", "r")
			}
			if n := clients() - before; n > 5 {
				t.Errorf("%s: %d connections for ten namespaces", name, n)
			}
			for _, a := range as {
				if err := a.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	}
	clustertest.Eventually(t, "all connections and goroutines gone", func() bool {
		return clients() <= before && runtime.NumGoroutine() <= goroutines
	})
}
