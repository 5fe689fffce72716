package emitter_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/emitter"
)

// Everything that the reference's emitter sends, to the byte. Only Compress(true), which
// is the default, is not written.
func TestClassicIsTheReferences(t *testing.T) {
	var b broker
	e := emitter.New(emitter.Classic(b.publish, emitter.ClassicOptions{}))
	odd := emitter.New(emitter.Classic(b.publish, emitter.ClassicOptions{Key: "my key"}))
	ctx := t.Context()
	steps := map[string]func() error{
		"emit":                       func() error { return e.Emit(ctx, "hi", 1, "é", map[string]any{"k": nil}) },
		"emit nothing":               func() error { return e.Emit(ctx, "hi") },
		"to a room":                  func() error { return e.To("r").Emit(ctx, "hi", "one") },
		"to the room twice":          func() error { return e.To("r").In("r").Emit(ctx, "hi", "one") },
		"to rooms":                   func() error { return e.To("r", "s").To("t").Emit(ctx, "hi", "two") },
		"except":                     func() error { return e.Except("x").Emit(ctx, "hi", []any{1.5, true, -1, 4294967296, 300}) },
		"room, except, volatile":     func() error { return e.To("r").Except("x", "y").Volatile().Emit(ctx, "hi") },
		"volatile, uncompressed":     func() error { return e.Volatile().Compress(false).Emit(ctx, "hi") },
		"compressed":                 func() error { return e.Compress(false).Compress(true).Emit(ctx, "hi") },
		"to a socket":                func() error { return e.To("o7DGp8IjFZqvHE2SAAAB").Emit(ctx, "hi", "direct") },
		"binary":                     func() error { return e.Emit(ctx, "bin", []byte{1, 2, 3}, map[string]any{"deep": []any{[]byte{4}}}) },
		"namespace":                  func() error { return e.Of("/chat").To("r").Emit(ctx, "hi") },
		"namespace without slash":    func() error { return e.Of("chat").Emit(ctx, "hi") },
		"key":                        func() error { return odd.Of("/chat").To("r").Emit(ctx, "hi") },
		"join":                       func() error { return e.In("r").Except("x").Join(ctx, "n1", "n2") },
		"join everybody":             func() error { return e.Join(ctx, "n1") },
		"leave":                      func() error { return e.In("r", "s").Leave(ctx, "n1") },
		"disconnect":                 func() error { return e.In("r").Disconnect(ctx, false) },
		"disconnect, close":          func() error { return odd.In("r").Disconnect(ctx, true) },
		"server-side emit":           func() error { return e.ServerSideEmit(ctx, "ev", 1, "a", map[string]any{"b": []any{nil, "<é>"}}) },
		"server-side emit elsewhere": func() error { return e.Of("/chat").ServerSideEmit(ctx, "ev") },
	}
	lines := recording(t, "testdata/redis-emitter.jsonl")
	if len(lines) != len(steps) {
		t.Errorf("%d steps, the recording has %d", len(steps), len(lines))
	}
	for _, l := range lines {
		if err := steps[l.Step](); err != nil {
			t.Fatalf("%s: %v", l.Step, err)
		}
		want := l.Text
		if want == "" {
			p, err := hex.DecodeString(l.Hex)
			if err != nil {
				t.Fatal(err)
			}
			want = string(p)
		}
		if l.Step == "compressed" {
			want = strings.Replace(want, "\x81\xa8compress\xc3", "\x80", 1)
		}
		if got := b.one(t); got.channel != l.Channel || got.data != want {
			t.Errorf("%s: sent %q\n%q, want %q\n%q", l.Step, got.channel, got.data, l.Channel, want)
		}
	}
}

// Binary for servers, which the reference cannot send, goes as msgpack.
func TestClassicBinaryForServers(t *testing.T) {
	var b broker
	e := emitter.New(emitter.Classic(b.publish, emitter.ClassicOptions{}))
	if err := e.ServerSideEmit(t.Context(), "ev", []byte{1}); err != nil {
		t.Fatal(err)
	}
	got := b.one(t)
	v, err := cluster.Scan([]byte(got.data))
	if err != nil {
		t.Fatal(err)
	}
	a, err := v.Any()
	if err != nil {
		t.Fatal(err)
	}
	m := a.(map[string]any)
	data := m["data"].([]any)
	if got.channel != "socket.io-request#/#" || m["uid"] != "emitter" || data[0] != "ev" || string(data[1].([]byte)) != "\x01" {
		t.Errorf("sent %q for %q", got.data, got.channel)
	}
}

// What is not an emitter's to send is refused, by a driver that is used directly.
func TestClassicOtherMessages(t *testing.T) {
	d := emitter.Classic(func(context.Context, string, []byte) error { return nil }, emitter.ClassicOptions{})
	if _, err := d.Encode(&cluster.Message{Type: cluster.FetchSockets, Namespace: "/"}); err == nil {
		t.Error("a question was encoded")
	}
}
