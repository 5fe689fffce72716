package emitter_test

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/epio-go/epio/adapter/emitter"
)

// withUID returns a recorded message, text or msgpack, with an emitter's uid.
func withUID(t *testing.T, l line) string {
	t.Helper()
	if l.Hex == "" {
		return regexp.MustCompile(`"uid":"[0-9a-f]{16}"`).ReplaceAllString(l.Text, `"uid":"emitter"`)
	}
	p, err := hex.DecodeString(l.Hex)
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(p), "\xa3uid\xb0")
	if !ok {
		t.Fatalf("no uid in %q", p)
	}
	return before + "\xa3uid\xa7emitter" + after[16:]
}

// step returns the call of an emitter that corresponds to a step of the recordings of the
// adapters, nil if there is none.
func step(t *testing.T, e *emitter.Emitter, l line) func() error {
	ctx := t.Context()
	switch l.Step {
	case "emit all":
		return func() error { return e.Emit(ctx, "hi", 1, "é", map[string]any{"k": nil}) }
	case "emit room+except volatile":
		return func() error { return e.To("r1").Except("x").Volatile().Emit(ctx, "hi", []any{1.5, true}) }
	case "emit 2 rooms":
		return func() error { return e.To("r1", "r2").Emit(ctx, "hi", "two") }
	case "emit to socket id":
		id := regexp.MustCompile(`"rooms":\["([^"]{20})"`).FindStringSubmatch(l.Text + l.Fields["data"])
		return func() error { return e.To(id[1]).Emit(ctx, "hi", "direct") }
	case "emit binary":
		return func() error { return e.Emit(ctx, "hi", []byte{1, 2, 3}) }
	case "socketsJoin":
		return func() error { return e.In("r1").Join(ctx, "n1", "n2") }
	case "socketsLeave":
		return func() error { return e.In("r1").Leave(ctx, "n1") }
	case "serverSideEmit no ack":
		return func() error { return e.ServerSideEmit(ctx, "ev", 1, "a") }
	case "disconnectSockets":
		return func() error { return e.In("r1").Disconnect(ctx, true) }
	}
	return nil
}

// Everything is what a Node server with the adapter sends for the same call, but for the
// uid.
func TestShardedIsTheReferences(t *testing.T) {
	var b broker
	e := emitter.New(emitter.Sharded(b.publish, emitter.ShardedOptions{}))
	seen := make(map[string]bool)
	for _, l := range recording(t, "../cluster/testdata/vectors/redis-sharded.jsonl") {
		call := step(t, e, l)
		if l.Op != "SPUBLISH" || l.Node != "A" || call == nil {
			continue
		}
		seen[l.Step] = true
		if err := call(); err != nil {
			t.Fatal(err)
		}
		want := withUID(t, l)
		if got := b.one(t); got.channel != l.Channel || got.data != want {
			t.Errorf("%s: sent %q\n%q, want %q\n%q", l.Step, got.channel, got.data, l.Channel, want)
		}
	}
	if len(seen) != 9 {
		t.Errorf("steps seen: %v", seen)
	}
}

func TestShardedModes(t *testing.T) {
	id := strings.Repeat("i", 20)
	wide := strings.Repeat("𝄞", 10) // 20 code units of UTF-16
	for mode, rooms := range map[emitter.SubscriptionMode]map[string]bool{
		emitter.Dynamic:        {"r": true, id: false, wide: false, "": true},
		emitter.DynamicPrivate: {"r": true, id: true, wide: true, "": true},
		emitter.Static:         {"r": false, id: false, wide: false, "": false},
	} {
		var b broker
		e := emitter.New(emitter.Sharded(b.publish, emitter.ShardedOptions{ChannelPrefix: "p", Mode: mode})).Of("/n")
		for room, own := range rooms {
			if err := e.To(room).Emit(t.Context(), "hi"); err != nil {
				t.Fatal(err)
			}
			want := "p#/n#"
			if own {
				want += room + "#"
			}
			if got := b.one(t); got.channel != want {
				t.Errorf("mode %d, room %q: sent to %q, want %q", mode, room, got.channel, want)
			}
			// Orders concern all servers, since they act on what a socket is in.
			if err := e.To(room).Join(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			if got := b.one(t); got.channel != "p#/n#" {
				t.Errorf("mode %d, room %q: order sent to %q", mode, room, got.channel)
			}
		}
	}
}
