package embedded_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/emitter"
	"github.com/epio-go/epio/adapter/nats"
	"github.com/epio-go/epio/adapter/nats/embedded"
)

// dial connects as an application does.
func dial(t *testing.T, s *embedded.Server) *natsgo.Conn {
	t.Helper()
	o := natsgo.GetDefaultOptions()
	for _, f := range s.Options() {
		if err := f(&o); err != nil {
			t.Fatal(err)
		}
	}
	o.ReconnectBufSize = -1
	nc, err := o.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// What an emitter sends reaches the servers whom it concerns, in every mode, also when
// servers have a log that nobody keeps.
func TestEmitter(t *testing.T) {
	s := startServer(t, embedded.Config{})
	nc := dial(t, s)
	for name, o := range map[string]nats.EmitterOptions{
		"all":    {Prefix: "all"},
		"public": {Prefix: "public", Rooms: nats.PublicRooms},
		"none":   {Prefix: "none", Rooms: nats.NoRooms},
		"no log": {Prefix: "no-log", Log: true},
	} {
		t.Run(name, func(t *testing.T) {
			// With the patience for what is large.
			f := factory(t, s, nats.Options{Prefix: o.Prefix, Rooms: o.Rooms, HeartbeatTimeout: time.Minute})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			h1, h2 := &clustertest.Host{Name: "/chat"}, &clustertest.Host{Name: "/chat"}
			a1, a2 := clustertest.Open(t, f, h1), clustertest.Open(t, f, h2)
			clustertest.Connect(t, a1, strings.Repeat("1", 20), "r")
			two := clustertest.Connect(t, a2, strings.Repeat("2", 20))
			for _, a := range []*cluster.Adapter{a1, a2} {
				if err := a.Synced(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			all, err := nats.NewEmitter(nc, o)
			if err != nil {
				t.Fatal(err)
			}
			e := all.Of("chat")
			// Large messages of several emitters at once go in parts.
			var large sync.WaitGroup
			for range 4 {
				large.Go(func() {
					if err := e.Emit(ctx, "large", strings.Repeat("x", 3<<20)); err != nil {
						t.Error(err)
					}
				})
			}
			large.Wait()
			for _, err := range []error{
				e.Emit(ctx, "hi", 1, []byte{1}), e.To("r").Emit(ctx, "to r"),
				e.To(strings.Repeat("2", 20)).Emit(ctx, "to two"), all.Emit(ctx, "elsewhere"),
				e.ServerSideEmit(ctx, "ev", "x"), e.In("r").Join(ctx, "joined"), e.Emit(ctx, "end"),
				e.To(strings.Repeat("2", 20)).Disconnect(ctx, true),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for h, want := range map[*clustertest.Host][]string{h1: {"hi", "to r", "end"}, h2: {"hi", "to two", "end"}} {
				clustertest.Eventually(t, "the end", func() bool { return h.Has("end") && h.Has("server ev") })
				var got []string
				n := 0
				for _, ev := range h.Got() {
					name, _, _ := strings.Cut(ev, "[")
					switch {
					case name == "large":
						n++
					case !strings.HasPrefix(name, "server "):
						got = append(got, name)
					}
				}
				if n != 4 || !slices.Equal(got, want) {
					t.Errorf("got %d large ones and %q, want %q", n, got, want)
				}
			}
			clustertest.Eventually(t, "joined", func() bool { return a1.Index().HasRoom("joined") })
			clustertest.Eventually(t, "disconnected", two.Disconnected)
			if n, err := a1.ServerCount(ctx); n != 2 || err != nil {
				t.Errorf("%d servers with the emitter, %v", n, err)
			}
			if log := h1.Log() + h2.Log(); log != "" {
				t.Errorf("servers complain: %s", log)
			}
		})
	}
	if _, err := nats.NewEmitter(nc, nats.EmitterOptions{Prefix: "a.b"}); err == nil {
		t.Error("a prefix of two parts is accepted")
	}
	s.Close()
	e, err := nats.NewEmitter(nc, nats.EmitterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Emit(t.Context(), "hi"); !errors.Is(err, emitter.ErrPublish) {
		t.Errorf("without NATS: %v", err)
	}
}

// With a log, packets have offsets, large ones too; volatile ones have none.
func TestEmitterAndLog(t *testing.T) {
	s := startServer(t, embedded.Config{JetStream: t.TempDir()})
	h := recoveryHost{&clustertest.Host{Name: "/"}, make(chan string, 1000)}
	c := adapter.RecoveryConfig{MaxDisconnection: time.Minute, LogAge: 2 * time.Minute, LogPackets: 100, LogBytes: 8 << 20, Sessions: 10}
	a := logged(t, s, "log", nats.AllRooms, []adapter.Host{h}, &c)[0].(*cluster.Logged)
	clustertest.Connect(t, a.Adapter, "one", "r")
	e, err := nats.NewEmitter(dial(t, s), nats.EmitterOptions{Prefix: "log", Log: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := errors.Join(
		e.Emit(ctx, "small", 1), e.Emit(ctx, "large", strings.Repeat("x", 3<<20)), e.Volatile().Emit(ctx, "volatile"), e.To("r").Emit(ctx, "end"),
	); err != nil {
		t.Fatal(err)
	}
	clustertest.Eventually(t, "all", func() bool { return h.Has("end") && h.Has("volatile") })
	if !h.Has("small") || !h.Has("large") || len(h.offsets) != 3 || h.Log() != "" {
		t.Errorf("%d packets have offsets of %d; log: %s", len(h.offsets), len(h.Got()), h.Log())
	}
}
