//go:build unix

package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/redis"
)

// host keeps what comes from others.
type host struct {
	nsp string

	mu     sync.Mutex
	got    []string // guarded by mu: events, in order
	logged strings.Builder
}

func (h *host) Namespace() string    { return h.nsp }
func (h *host) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(h, nil)) }

func (h *host) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logged.Write(p)
}

func (h *host) log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logged.String()
}

func (h *host) BroadcastLocal(event string, args []any, _ adapter.Opts, ack func(string, any)) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, fmt.Sprint(event, args))
	if ack != nil {
		ack("", "answer")
	}
	return 1
}

func (h *host) ServerEvent(event string, args []any, ack func(any)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, fmt.Sprint("server ", event, args))
	if ack != nil {
		ack("heard")
	}
}

func (h *host) has(want string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.got, want)
}

// socket is a receiver that takes everything.
type socket struct {
	adapter.Member
	id string

	mu           sync.Mutex
	n            int
	disconnected bool
}

func (s *socket) ID() string               { return s.id }
func (s *socket) Info() adapter.SocketInfo { return adapter.SocketInfo{ID: s.id} }
func (s *socket) Disconnect(bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnected = true
}

func (s *socket) Deliver(adapter.Packet, adapter.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	return true
}

func (s *socket) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func connect(t *testing.T, a *cluster.Adapter, id string, rooms ...string) *socket {
	t.Helper()
	s := &socket{id: id}
	x := a.Index()
	if err := x.Attach(&s.Member, s); err != nil {
		t.Fatal(err)
	}
	if err := x.Connect(&s.Member, nil); err != nil {
		t.Fatal(err)
	}
	if err := x.Join(&s.Member, rooms...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_ = a.Synced(ctx) // in vain while Redis is away
	return s
}

type packet string

func (p packet) Event() string { return string(p) }
func (p packet) Args() []any   { return nil }

// variants are the adapters that behave alike.
func variants(rdb goredis.UniversalClient) map[string]adapter.Factory {
	return map[string]adapter.Factory{
		"classic": redis.Classic(rdb, redis.ClassicOptions{}),
		"sharded": redis.Sharded(rdb, redis.ShardedOptions{}),
		"streams": redis.Streams(rdb, redis.StreamsOptions{}),
	}
}

// flows sends from one to the other until something arrives: whatever was lost before,
// subscriptions are in place again.
func flows(t *testing.T, from *cluster.Adapter, to *host, o adapter.Opts, name string) {
	t.Helper()
	n := 0
	eventually(t, "broadcasts flow: "+name, func() bool {
		n++
		// While the queue waits it fills up, so not each of these is new.
		if n%50 == 1 {
			if err := from.Broadcast(packet(fmt.Sprint(name, n)), o); err != nil {
				t.Fatal(err)
			}
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		return slices.ContainsFunc(to.got, func(s string) bool { return strings.HasPrefix(s, name) })
	})
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
			h1, h2 := &host{nsp: "/"}, &host{nsp: "/"}
			a1 := open(t, variants(near)[name], h1)
			a2 := open(t, variants(srv.client())[name], h2)
			s := connect(t, a1, "one", "r")
			connect(t, a2, "two", "r")
			room := adapter.Opts{Rooms: []string{"r"}}
			wantServers(t, a1, a2)
			flows(t, a1, h2, adapter.Opts{}, "first")
			flows(t, a2, h1, room, "first")

			away := func(what string) {
				t.Helper()
				n := s.count()
				start := time.Now()
				for i := range 10 {
					if err := a1.Broadcast(packet(fmt.Sprint("away", i)), adapter.Opts{}); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
				if s.count() != n+10 {
					t.Errorf("%s: %d of 10 delivered here", what, s.count()-n)
				}
				infos, err := a1.FetchSockets(t.Context(), adapter.Opts{})
				if err == nil || len(infos) != 1 {
					t.Errorf("%s: fetched %v, %v", what, infos, err)
				}
				if _, err := a1.BroadcastWithAck(packet("q"), adapter.Opts{Timeout: time.Second}, noAcks{}); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if d := time.Since(start); d > 10*time.Second {
					t.Errorf("%s: took %v", what, d)
				}
			}
			p.Cut()
			away("cut")
			p.Restore()
			flows(t, a1, h2, adapter.Opts{}, "restored")
			flows(t, a2, h1, room, "restored")
			wantServers(t, a1, a2)

			srv.kill()
			away("killed")
			srv.start()
			flows(t, a1, h2, room, "restarted")
			flows(t, a2, h1, room, "restarted")
			wantServers(t, a1, a2)

			srv.signal(syscall.SIGSTOP)
			away("frozen")
			srv.signal(syscall.SIGCONT)
			flows(t, a1, h2, room, "thawed")
			flows(t, a2, h1, adapter.Opts{}, "thawed")
			wantServers(t, a1, a2)

			if l := h1.log(); !strings.Contains(l, "connection to redis lost") && !strings.Contains(l, "stream cannot be read") {
				t.Errorf("logged %q", h1.log())
			}
		})
	}
}

type noAcks struct{}

func (noAcks) Count(int)       {}
func (noAcks) Ack(string, any) {}
func (noAcks) Lost(int)        {}

// A server that starts while Redis is away joins later.
func TestRedisComesLater(t *testing.T) {
	for _, name := range []string{"classic", "sharded", "streams"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := startServer(t)
			other := &host{nsp: "/"}
			p := clustertest.NewProxy(t, srv.addr)
			p.Cut()
			rdb := goredis.NewClient(&goredis.Options{Addr: p.Addr()})
			defer rdb.Close()
			h := &host{nsp: "/"}
			a := plainAdapter(variants(rdb)[name](h))
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := a.Init(ctx); err == nil {
				t.Error("no error without Redis")
			}
			s := connect(t, a, "near")
			if err := a.Broadcast(packet("alone"), adapter.Opts{}); err != nil || s.count() != 1 {
				t.Errorf("%v, %d delivered", err, s.count())
			}
			p.Restore()
			b := open(t, variants(srv.client())[name], other)
			connect(t, b, "far")
			flows(t, b, h, adapter.Opts{}, "x")
			flows(t, a, other, adapter.Opts{}, "y")
			wantServers(t, a, b)
			if err := a.Close(t.Context()); err != nil {
				t.Error(err)
			}
			wantServers(t, b)
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
			h, other := &host{nsp: "/"}, &host{nsp: "/"}
			a, b := open(t, f, h), open(t, f, other)
			s := connect(t, a, "one", "r")
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
			flows(t, b, h, adapter.Opts{}, "after")
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.disconnected {
				t.Error("disconnected")
			}
			if !strings.Contains(h.log(), "malformed message ignored") {
				t.Errorf("logged %q", h.log())
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
	a := open(t, f, &host{nsp: "/"})
	open(t, f, &host{nsp: "/chat"})
	want(1)
	b := open(t, f, &host{nsp: "/"})
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
	star, plain := &host{nsp: "/a*[b-d]?\\"}, &host{nsp: "/axbx\\"}
	a1, a2 := open(t, f, star), open(t, g, plain)
	connect(t, a1, "1")
	connect(t, a2, "2")
	b1, b2 := open(t, g, &host{nsp: star.nsp}), open(t, f, &host{nsp: plain.nsp})
	flows(t, b1, star, adapter.Opts{}, "star")
	flows(t, b2, plain, adapter.Opts{}, "plain")
	if star.has("plain1[]") || plain.has("star1[]") || star.log() != "" || plain.log() != "" {
		t.Errorf("got %q and %q, logged %q %q", star.got, plain.got, star.log(), plain.log())
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
				as = append(as, plainAdapter(f(&host{nsp: fmt.Sprint("/", i)})))
				if err := as[i].Init(t.Context()); err != nil {
					t.Fatal(err)
				}
				connect(t, as[i], "s", "r")
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
	eventually(t, "all connections and goroutines gone", func() bool {
		return clients() <= before && runtime.NumGoroutine() <= goroutines
	})
}
