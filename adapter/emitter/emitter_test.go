package emitter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/emitter"
	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/internal/invariants"
)

// It is clear from an error whether the message or the broker is to blame, and what they
// say.
func TestErrors(t *testing.T) {
	down := errors.New("broker is down")
	b := &broker{err: down}
	e := emitter.New(emitter.Classic(b.publish, emitter.ClassicOptions{}))
	ctx := t.Context()

	for name, err := range map[string]error{
		"emit": e.Emit(ctx, "hi"), "join": e.Join(ctx, "r"), "leave": e.To("a").Leave(ctx, "r"),
		"disconnect": e.Disconnect(ctx, true), "servers": e.ServerSideEmit(ctx, "ev"),
	} {
		if !errors.Is(err, emitter.ErrPublish) || !errors.Is(err, down) || errors.Is(err, emitter.ErrEncode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.got = nil
	for name, err := range map[string]error{
		"emit": e.Emit(ctx, "hi", func() {}), "servers": e.ServerSideEmit(ctx, "ev", make(chan int)),
		"reserved": e.Emit(ctx, "disconnect"), "reserved for servers": e.ServerSideEmit(ctx, "connect"),
	} {
		if !errors.Is(err, emitter.ErrEncode) || errors.Is(err, emitter.ErrPublish) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := e.Emit(ctx, "disconnect"); !errors.Is(err, codec.ErrReservedEvent) {
		t.Errorf("reserved: %v", err)
	}
	if len(b.got) > 0 {
		t.Errorf("sent nevertheless: %q", b.got)
	}
}

// Joining and leaving nothing is not sent.
func TestNoRooms(t *testing.T) {
	var b broker
	e := emitter.New(emitter.Classic(b.publish, emitter.ClassicOptions{}))
	if err := errors.Join(e.Join(t.Context()), e.To("a").Leave(t.Context())); err != nil || len(b.got) > 0 {
		t.Errorf("%v, sent %q", err, b.got)
	}
}

// Chains that begin with the same target do not disturb each other, nor does the caller
// who goes on using the slices.
func TestTargetsShareNothing(t *testing.T) {
	var b broker
	e := emitter.New(emitter.Sharded(b.publish, emitter.ShardedOptions{}))
	names := []string{"a", "b"}
	base := e.To(names...).To("c") // in an array with room for more
	one, two := base.To("one"), base.To("two").Except("x")
	names[0] = "changed"
	for i, want := range []string{`"rooms":["a","b","c"],`, `["a","b","c","one"],"except":[]`, `["a","b","c","two"],"except":["x"]`} {
		if err := []emitter.Target{base, one, two}[i].Emit(t.Context(), "hi"); err != nil {
			t.Fatal(err)
		}
		if got := b.one(t); !strings.Contains(got.data, want) {
			t.Errorf("sent %s, want %s", got.data, want)
		}
	}
}

func TestNamespaces(t *testing.T) {
	var b broker
	e := emitter.New(emitter.Sharded(b.publish, emitter.ShardedOptions{}))
	for name, want := range map[string]string{"": "/", "/": "/", "chat": "/chat", "/chat": "/chat"} {
		if got := e.Of("/x").Of(name).Namespace(); got != want {
			t.Errorf("Of(%q) is %q, want %q", name, got, want)
		}
	}
}

// One emitter serves many goroutines; what each sends stays in its order.
func TestConcurrent(t *testing.T) {
	var b broker
	e := emitter.New(emitter.Sharded(b.publish, emitter.ShardedOptions{}))
	const senders, each = 8, 200
	var wg sync.WaitGroup
	for g := range senders {
		wg.Go(func() {
			to := e.To(fmt.Sprint("r", g))
			for i := range each {
				if err := to.Emit(t.Context(), "n", i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(b.got) != senders*each {
		t.Fatalf("%d messages", len(b.got))
	}
	next := make(map[string]int)
	for _, s := range b.got {
		m, err := cluster.Decode([]byte(s.data))
		if err != nil {
			t.Fatal(err)
		}
		_, args, err := m.Payload()
		if err != nil || !slices.Equal(m.Opts.Rooms, []string{strings.Trim(strings.TrimPrefix(s.channel, "socket.io#/"), "#")}) {
			t.Fatalf("%q on %q, %v", s.data, s.channel, err)
		}
		if got := fmt.Sprint(args[0]); got != fmt.Sprint(next[s.channel]) {
			t.Fatalf("%s after %d", got, next[s.channel])
		}
		next[s.channel]++
	}
}

// A message costs little beyond its own bytes: the message, the list of rooms, the name of
// the channel, the encoded data.
func TestAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("pools drop what they get in race builds")
	}
	nothing := func(context.Context, string, []byte) error { return nil }
	for name, test := range map[string]struct {
		d   emitter.Driver
		max float64
	}{
		"classic": {emitter.Classic(nothing, emitter.ClassicOptions{}), 7},
		"sharded": {emitter.Sharded(nothing, emitter.ShardedOptions{}), 7},
		"streams": {emitter.Streams(func(context.Context, string, int64, []string) error { return nil }, emitter.StreamsOptions{}), 8},
	} {
		e := emitter.New(test.d)
		ctx := t.Context()
		args := []any{"some text", map[string]any{"n": 1}}
		if n := testing.AllocsPerRun(200, func() {
			if err := e.To("room").Emit(ctx, "event", args...); err != nil {
				t.Fatal(err)
			}
		}); n > test.max {
			t.Errorf("%s: %v allocations, want at most %v", name, n, test.max)
		}
	}
}

func BenchmarkEmit(b *testing.B) {
	nothing := func(context.Context, string, []byte) error { return nil }
	for name, d := range map[string]emitter.Driver{
		"classic": emitter.Classic(nothing, emitter.ClassicOptions{}),
		"sharded": emitter.Sharded(nothing, emitter.ShardedOptions{}),
	} {
		b.Run("format="+name, func(b *testing.B) {
			b.ReportAllocs()
			e := emitter.New(d)
			args := []any{"some text", map[string]any{"n": 1}}
			for b.Loop() {
				if err := e.To("room").Emit(b.Context(), "event", args...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestNil(t *testing.T) {
	for name, f := range map[string]func(){
		"driver":  func() { emitter.New(nil) },
		"classic": func() { emitter.Classic(nil, emitter.ClassicOptions{}) },
		"sharded": func() { emitter.Sharded(nil, emitter.ShardedOptions{}) },
		"streams": func() { emitter.Streams(nil, emitter.StreamsOptions{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: nil is accepted", name)
				}
			}()
			f()
		}()
	}
}
