package sio

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/epio-go/epio/codec"
)

// dispatcher hands events to the handlers of a socket, without a connection and a queue.
type dispatcher struct {
	s   *Socket
	dec codec.Decoder
}

func newDispatcher(tb testing.TB, s *Socket) *dispatcher {
	// The answer to CONNECT is sent before the socket's goroutine has ended.
	eventually(tb, "the socket is connected and idle", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.running
	})
	return &dispatcher{s, codec.JSON.NewDecoder(nil)}
}

func (d *dispatcher) dispatch(tb testing.TB, packet []byte) {
	in, err := d.dec.Text(packet)
	if err != nil {
		tb.Fatal(err)
	}
	e := events.Get().(*event)
	e.s, e.in, e.size = d.s, in, in.Size()
	d.s.dispatch(e)
	e.recycle()
}

type point struct{ X, Y float64 }

// registerAll registers a handler of each kind, which calls called.
func registerAll(r Registrar, called func()) {
	On0(r, "on0", func(context.Context, *Socket) error { called(); return nil })
	On(r, "string", func(_ context.Context, _ *Socket, _ string) error { called(); return nil })
	On(r, "struct", func(_ context.Context, _ *Socket, _ point) error { called(); return nil })
	On(r, "any", func(_ context.Context, _ *Socket, _ any) error { called(); return nil })
	On2(r, "two", func(_ context.Context, _ *Socket, _, _ float64) error { called(); return nil })
	On4(r, "four", func(_ context.Context, _ *Socket, _, _, _, _ float64) error { called(); return nil })
	OnAck(r, "ack", func(_ context.Context, _ *Socket, v string) (string, error) { called(); return v, nil })
	r.Handle("raw", HandlerFunc(func(context.Context, *Socket, *Message) error { called(); return nil }))
	r.Handle("scan", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
		var x, y float64
		if err := m.Scan(&x, &y); err != nil {
			return err
		}
		called()
		return nil
	}))
}

// BenchmarkDispatch is an event's way from its bytes to the handler.
func BenchmarkDispatch(b *testing.B) {
	pass := func(next Handler) Handler {
		return HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error { return next.Handle(ctx, s, m) })
	}
	run := func(b *testing.B, name string, prepare func(r *rig, s *Socket, called func()), packet string, want int) {
		b.Run(name, func(b *testing.B) {
			r := memoryBench(b)
			_, s := rawClient(b, r)
			calls := 0
			prepare(r, s, func() { calls++ })
			d, p := newDispatcher(b, s), []byte(packet)
			b.ReportAllocs()
			for b.Loop() {
				calls = 0
				if d.dispatch(b, p); calls != want {
					b.Fatalf("%d handlers were called, want %d", calls, want)
				}
			}
		})
	}
	onNamespace := func(r *rig, _ *Socket, called func()) { registerAll(r.srv, called) }
	for _, bc := range []struct{ name, packet string }{
		{"On0", `2["on0"]`},
		{"On/arg=string", `2["string","hello"]`},
		{"On/arg=struct", `2["struct",{"X":1,"Y":2}]`},
		{"On/arg=any", `2["any",{"X":1,"Y":2}]`},
		{"On2", `2["two",1,2]`},
		{"On4", `2["four",1,2,3,4]`},
		{"OnAck", `2["ack","hello"]`}, // nobody waits for the result
		{"Handle", `2["raw","hello"]`},
		{"Scan", `2["scan",1,2]`},
	} {
		run(b, "handler="+bc.name, onNamespace, bc.packet, 1)
	}
	for _, wraps := range []int{1, 4} {
		wrapped := func(r *rig, _ *Socket, _ func()) {
			for range wraps {
				r.srv.Wrap(pass)
			}
		}
		run(b, fmt.Sprintf("handler=On/arg=string/wraps=%d", wraps), func(r *rig, s *Socket, called func()) {
			wrapped(r, s, called)
			registerAll(r.srv, called)
		}, `2["string","hello"]`, 1)
		run(b, fmt.Sprintf("handler=OnSocket/arg=string/wraps=%d", wraps), func(r *rig, s *Socket, called func()) {
			wrapped(r, s, called)
			registerAll(s, called)
		}, `2["string","hello"]`, 1)
		run(b, fmt.Sprintf("handler=none/wraps=%d", wraps), wrapped, `2["nobody","hello"]`, 0)
	}
	run(b, "handler=OnSocket/arg=string", func(_ *rig, s *Socket, called func()) { registerAll(s, called) }, `2["string","hello"]`, 1)
	run(b, "handler=Any", func(r *rig, _ *Socket, called func()) {
		r.srv.HandleAny(HandlerFunc(func(context.Context, *Socket, *Message) error { called(); return nil }))
		registerAll(r.srv, called)
	}, `2["raw","hello"]`, 2)
	run(b, "handler=Fallback", func(r *rig, _ *Socket, called func()) {
		r.srv.HandleFallback(HandlerFunc(func(context.Context, *Socket, *Message) error { called(); return nil }))
	}, `2["unknown","hello"]`, 1)
	run(b, "handler=none", func(*rig, *Socket, func()) {}, `2["nobody","hello"]`, 0)
	// What does not fit never reaches the handler; the failure is logged.
	run(b, "handler=On/arg=misfit", onNamespace, `2["struct","hello"]`, 0)
	run(b, "handler=On/arg=missing", onNamespace, `2["string"]`, 1)
	run(b, "handler=On0/arg=surplus", onNamespace, `2["on0"`+strings.Repeat(`,{"a":[1]}`, 60)+`]`, 1)
}
