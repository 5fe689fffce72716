//go:build unix

package redis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/emitter"
	"github.com/epio-go/epio/adapter/redis"
)

// namespaceHost delivers what comes to the sockets of its adapter.
type namespaceHost struct {
	*clustertest.Host
	a atomic.Pointer[cluster.Adapter]
}

func (h *namespaceHost) BroadcastLocal(event string, args []any, o adapter.Opts, _ func(string, any)) int {
	return h.a.Load().Index().Broadcast(clustertest.Event(event, args...), o)
}

// listener is a socket that writes down what it gets.
type listener struct {
	adapter.Member
	id string

	mu  sync.Mutex
	got []string // guarded by mu
}

func (l *listener) ID() string               { return l.id }
func (l *listener) Connected() bool          { return true }
func (l *listener) Info() adapter.SocketInfo { return adapter.SocketInfo{ID: l.id} }
func (l *listener) Disconnect(close bool)    { l.note(fmt.Sprint("disconnected ", close)) }

func (l *listener) Deliver(p adapter.Packet, _ adapter.Batch) bool {
	l.note(fmt.Sprint(p.Event(), p.Args()))
	return true
}

func (l *listener) note(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, s)
}

// until waits for what and returns what came before.
func (l *listener) until(t *testing.T, what string) []string {
	t.Helper()
	var before []string
	clustertest.Eventually(t, l.id+" gets "+what, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		i := slices.Index(l.got, what)
		if i < 0 {
			return false
		}
		before, l.got = l.got[:i:i], l.got[i+1:]
		return true
	})
	return before
}

// serve makes a server of a namespace with one socket.
func serve(t *testing.T, f adapter.Factory, nsp, id string, rooms ...string) (*namespaceHost, *cluster.Adapter, *listener) {
	t.Helper()
	h := &namespaceHost{Host: &clustertest.Host{Name: nsp}}
	a := plainAdapter(f(h))
	h.a.Store(a)
	defer func() {
		if t.Failed() {
			t.Log(h.Log())
		}
	}()
	initialize(t, a)
	l := &listener{id: id}
	x := a.Index()
	if err := errors.Join(x.Attach(&l.Member, l), x.Connect(&l.Member, nil), x.Join(&l.Member, rooms...), a.Synced(t.Context())); err != nil {
		t.Fatal(err)
	}
	return h, a, l
}

// mode is a kind of cluster and the emitter for it.
type mode struct {
	name    string
	factory func(c goredis.UniversalClient) adapter.Factory
	emitter func(c goredis.UniversalClient) *emitter.Emitter
}

func modes() []mode {
	var ms []mode
	for _, o := range []redis.ClassicOptions{{}, {Key: "odd *?[a]"}} {
		ms = append(ms, mode{
			fmt.Sprintf("classic/key=%q", o.Key),
			func(c goredis.UniversalClient) adapter.Factory { return redis.Classic(c, o) },
			func(c goredis.UniversalClient) *emitter.Emitter { return redis.NewClassicEmitter(c, o) },
		})
	}
	for _, o := range []redis.ShardedOptions{
		{}, {SubscriptionMode: redis.DynamicPrivate, ChannelPrefix: "p"}, {SubscriptionMode: redis.Static, ChannelPrefix: "s"},
	} {
		ms = append(ms, mode{
			"sharded/mode=" + string(o.SubscriptionMode),
			func(c goredis.UniversalClient) adapter.Factory { return redis.Sharded(c, o) },
			func(c goredis.UniversalClient) *emitter.Emitter { return redis.NewShardedEmitter(c, o) },
		})
	}
	for _, o := range []redis.StreamsOptions{
		{ChannelPrefix: "streams"}, {StreamCount: 3, StreamName: "several", ChannelPrefix: "several", MaxLen: 50},
	} {
		ms = append(ms, mode{
			fmt.Sprint("streams/count=", o.StreamCount),
			func(c goredis.UniversalClient) adapter.Factory { return redis.Streams(c, o) },
			func(c goredis.UniversalClient) *emitter.Emitter { return redis.NewStreamsEmitter(c, o) },
		})
	}
	return ms
}

// Two servers, one socket each, and everything an emitter can do.
func TestEmitter(t *testing.T) {
	rdb := startServer(t).client()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) { emitterReaches(t, rdb, m, "/") })
		t.Run(m.name+"/namespace", func(t *testing.T) { emitterReaches(t, rdb, m, "/foo/bar") })
	}
}

// The same with clients of a Redis Cluster.
func TestEmitterOnRedisCluster(t *testing.T) {
	s := startNode(t, "--cluster-announce-ip", "127.0.0.1")
	if err := s.client().ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	rdb := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{s.addr}})
	t.Cleanup(func() { _ = rdb.Close() })
	clustertest.Eventually(t, "the cluster is up", func() bool { return rdb.Set(t.Context(), "k", "v", 0).Err() == nil })
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) { emitterReaches(t, rdb, m, "/") })
	}
}

func emitterReaches(t *testing.T, rdb goredis.UniversalClient, m mode, nsp string) {
	const idA, idB = "AAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBB"
	hostA, a, sockA := serve(t, m.factory(rdb), nsp, idA, "r")
	hostB, b, sockB := serve(t, m.factory(rdb), nsp, idB, "s")
	clustertest.WantServers(t, a, b)
	e := m.emitter(rdb).Of(nsp)
	ctx := t.Context()
	n := 0
	check := func(what string, err error, wantA, wantB []string) {
		t.Helper()
		n++
		if err = errors.Join(err, e.Emit(ctx, "mark", n)); err != nil {
			t.Fatal(err)
		}
		mark := fmt.Sprintf("mark[%d]", n)
		if got := sockA.until(t, mark); !slices.Equal(got, wantA) {
			t.Errorf("%s: A got %q, want %q", what, got, wantA)
		}
		if got := sockB.until(t, mark); !slices.Equal(got, wantB) {
			t.Errorf("%s: B got %q, want %q", what, got, wantB)
		}
	}
	hi := []string{"hi[1 é [1 2]]"}
	args := []any{1, "é", []byte{1, 2}}
	check("all", e.Emit(ctx, "hi", args...), hi, hi)
	check("a room", e.To("r").Emit(ctx, "hi", args...), hi, nil)
	check("a room nobody is in", e.To("nobody").Emit(ctx, "hi", args...), nil, nil)
	check("two rooms", e.To("r", "s").Emit(ctx, "hi", args...), hi, hi)
	check("except", e.Except("r").Emit(ctx, "hi", args...), nil, hi)
	check("room, except", e.In("s").Except("s").Volatile().Emit(ctx, "hi", args...), nil, nil)
	check("an id", e.To(idB).Compress(false).Emit(ctx, "hi", args...), nil, hi)
	check("another namespace", e.Of("/elsewhere").Emit(ctx, "hi", args...), nil, nil)

	// Subscriptions to rooms follow in the background.
	synced := func(err error) error { return errors.Join(err, e.Emit(ctx, "mark", 0)) }
	for _, op := range []struct {
		err error
		do  func() error
	}{{do: func() error { return e.In("r").Join(ctx, "n1", "n2") }}, {do: func() error { return e.Leave(ctx, "n1") }}} {
		if err := synced(op.do()); err != nil {
			t.Fatal(err)
		}
		sockA.until(t, "mark[0]")
		sockB.until(t, "mark[0]")
		if err := errors.Join(a.Synced(ctx), b.Synced(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	check("left", e.To("n1").Emit(ctx, "hi", args...), nil, nil)
	check("joined", e.To("n2").Emit(ctx, "hi", args...), hi, nil)

	if err := e.ServerSideEmit(ctx, "ev", "x", map[string]any{"n": 1}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*namespaceHost{hostA, hostB} {
		clustertest.Eventually(t, "servers hear", func() bool { return h.Has("server ev[x map[n:1]]") })
	}
	check("disconnect", e.In("r").Disconnect(ctx, true), []string{"disconnected true"}, nil)
	check("disconnect", e.In(idB).Disconnect(ctx, false), nil, []string{"disconnected false"})

	// An emitter is no server.
	if n, err := a.ServerCount(ctx); n != 2 || err != nil {
		t.Errorf("%d servers, %v", n, err)
	}
	if log := hostA.Log() + hostB.Log(); log != "" {
		t.Errorf("servers complain: %s", log)
	}
}

// Options that change nothing of what servers get.
func TestEmitterOptions(t *testing.T) {
	rdb := startServer(t).client()
	ctx := t.Context()
	id := strings.Repeat("i", 20)
	sub := rdb.SSubscribe(ctx, "socket.io#/#"+id+"#")
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	e := redis.NewShardedEmitter(rdb, redis.ShardedOptions{SubscriptionMode: redis.DynamicPrivate})
	if err := e.To(id).Emit(ctx, "hi"); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-sub.Channel():
		if !strings.Contains(m.Payload, `"hi"`) {
			t.Errorf("sent %s", m.Payload)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing sent to the channel of an id")
	}

	const sent = 1000
	e = redis.NewStreamsEmitter(rdb, redis.StreamsOptions{StreamName: "short", MaxLen: 400})
	for i := range sent {
		if err := e.Emit(ctx, "hi", i); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := rdb.XLen(ctx, "short").Result(); n < 400 || n >= sent || err != nil {
		t.Errorf("%d entries are kept, %v", n, err)
	}
	e = redis.NewStreamsEmitter(rdb, redis.StreamsOptions{OnlyPlaintext: true})
	if err := e.Emit(ctx, "hi", []byte{1}); !errors.Is(err, emitter.ErrEncode) {
		t.Errorf("binary: %v", err)
	}
}

// A command whose answer got lost may have been carried out; it is not sent again, even if
// the client would.
func TestEmitterSendsOnce(t *testing.T) {
	srv := startServer(t)
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) {
			f := newForgetful(t, srv.addr)
			rdb := goredis.NewClient(&goredis.Options{Addr: f.l.Addr().String(), MaxRetries: 3})
			defer rdb.Close()
			// The client does try again otherwise.
			if err := rdb.Publish(t.Context(), "c", secret).Err(); err == nil || f.count() != 4 {
				t.Fatalf("sent %d times by the client itself, %v", f.count(), err)
			}
			err := m.emitter(rdb).Emit(t.Context(), secret)
			if !errors.Is(err, emitter.ErrPublish) || errors.Is(err, emitter.ErrEncode) {
				t.Errorf("error %v", err)
			}
			if n := f.count(); n != 5 {
				t.Errorf("sent %d times", n-4)
			}
		})
	}
}

// secret is what a forgetful proxy does not pass on.
const secret = "only once"

// forgetful is a proxy that cuts the connection instead of passing on a secret.
type forgetful struct {
	l    net.Listener
	seen atomic.Int32
}

func newForgetful(t *testing.T, to string) *forgetful {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forgetful{l: l}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			done.Go(func() { f.pass(near, far) })
			done.Go(func() { _, _ = io.Copy(near, far); near.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); done.Wait() })
	return f
}

func (f *forgetful) pass(near, far net.Conn) {
	defer near.Close()
	defer far.Close()
	p := make([]byte, 4096)
	for {
		n, err := near.Read(p)
		if strings.Contains(string(p[:n]), secret) {
			f.seen.Add(1)
			return
		}
		if err != nil {
			return
		}
		if _, err := far.Write(p[:n]); err != nil {
			return
		}
	}
}

func (f *forgetful) count() int { return int(f.seen.Load()) }

// A Redis that is away is the driver's error, within the time the client allows.
func TestEmitterWithoutRedis(t *testing.T) {
	rdb := goredis.NewClient(&goredis.Options{Addr: fmt.Sprint("127.0.0.1:", clustertest.Port(t)), DialerRetries: 1, ContextTimeoutEnabled: true})
	defer rdb.Close()
	for _, m := range modes() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := m.emitter(rdb).To("r").Join(ctx, "x")
		cancel()
		if _, dial := errors.AsType[*net.OpError](err); !errors.Is(err, emitter.ErrPublish) || !dial {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// What cannot be a client of an adapter cannot be one of an emitter.
func TestEmitterPanics(t *testing.T) {
	ring := goredis.NewRing(&goredis.RingOptions{})
	defer ring.Close()
	one := goredis.NewClient(&goredis.Options{})
	defer one.Close()
	for name, f := range map[string]func(){
		"a ring":  func() { redis.NewClassicEmitter(ring, redis.ClassicOptions{}) },
		"no mode": func() { redis.NewShardedEmitter(one, redis.ShardedOptions{SubscriptionMode: "dynamite"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is accepted", name)
				}
			}()
			f()
		}()
	}
}
