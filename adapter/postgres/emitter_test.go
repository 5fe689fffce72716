package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/emitter"
	"github.com/epio-go/epio/adapter/postgres"
)

// What an emitter sends arrives at all servers, in order, whether it goes through the table
// or not.
func TestEmitter(t *testing.T) {
	srv := startServer(t)
	o := postgres.Options{ChannelPrefix: "my", CreateTable: true}
	a1, a2, h1, h2 := two(t, srv, o)
	one := clustertest.Connect(t, a1, "one")
	e := postgres.NewEmitter(srv.pool(srv.addr), o)
	ctx := t.Context()
	large := strings.Repeat("x", 8000)
	for _, err := range []error{
		e.Emit(ctx, "small", 1, "é"),
		e.Emit(ctx, "binary", []byte{1, 2}),
		e.Emit(ctx, "large", large),
		e.To("nobody").Emit(ctx, "not for you"),
		e.Of("/elsewhere").Emit(ctx, "not for you"),
		e.ServerSideEmit(ctx, "ev", map[string]any{"n": 1}),
		e.Except("nobody").Volatile().Compress(false).Emit(ctx, "last"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range []*clustertest.Host{h1, h2} {
		clustertest.Eventually(t, "the last event", func() bool { return h.Has("last[]") })
		clustertest.Eventually(t, "the event for servers", func() bool { return h.Has("server ev[map[n:1]]") })
		want := []string{"small[1 é]", "binary[[1 2]]", "large[" + clustertest.Brief([]byte(large)) + "]", "last[]"}
		got := slices.DeleteFunc(h.Got(), func(e string) bool { return strings.HasPrefix(e, "server ") })
		if strings.Join(got, ",") != strings.Join(want, ",") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	// Only sockets in the room are reached, and it is the emitter who puts them there.
	if err := errors.Join(
		e.To("one").Join(ctx, "joined"), e.To("joined").Emit(ctx, "reached"), e.To("joined").Leave(ctx, "joined"),
		e.To("joined").Emit(ctx, "missed"), e.To("one").Disconnect(ctx, true), e.To("two").Emit(ctx, "end"),
	); err != nil {
		t.Fatal(err)
	}
	clustertest.Eventually(t, "the end", func() bool { return h2.Has("end[]") })
	clustertest.Eventually(t, "disconnected", one.Disconnected)
	if h2.Has("reached[]") || !h1.Has("reached[]") || h1.Has("missed[]") {
		t.Errorf("got %q and %q", h1.Got(), h2.Got())
	}
	for _, a := range []*cluster.Adapter{a1, a2} {
		if n, err := a.ServerCount(ctx); n != 2 || err != nil {
			t.Errorf("%d servers with the emitter, %v", n, err)
		}
	}
}

func TestEmitterErrors(t *testing.T) {
	srv := startServer(t)
	pool := srv.pool(srv.addr)
	e := postgres.NewEmitter(pool, postgres.Options{})
	err := e.Of("/"+strings.Repeat("n", 63)).Emit(t.Context(), "hi")
	if !errors.Is(err, emitter.ErrEncode) || !errors.Is(err, postgres.ErrChannelName) {
		t.Errorf("a namespace whose name is too long: %v", err)
	}
	// There is no table.
	if err := e.Emit(t.Context(), "binary", []byte{1}); !errors.Is(err, emitter.ErrPublish) || errors.Is(err, emitter.ErrEncode) {
		t.Errorf("without the table: %v", err)
	}
	srv.kill()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := e.Emit(ctx, "hi"); !errors.Is(err, emitter.ErrPublish) {
		t.Errorf("without PostgreSQL: %v", err)
	}
	for name, f := range map[string]func(){
		"no pool": func() { postgres.NewEmitter(nil, postgres.Options{}) },
		"no name": func() { postgres.NewEmitter(pool, postgres.Options{TableName: "a; b"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			f()
		}()
	}
}
