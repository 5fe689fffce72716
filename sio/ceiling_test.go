//go:build !race && !invariants

package sio

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/epio-go/epio/internal/herd"
)

// The ceilings are what was measured; a change that allocates more has to say why.
// Builds with checks do not recycle memory, hence the build constraint.

func wantAllocs(t *testing.T, what string, ceiling float64, f func()) {
	t.Helper()
	// Pools, and the stacks of goroutines that are kept, settle first.
	for range 200 {
		f()
	}
	got := testing.AllocsPerRun(2000, f)
	t.Logf("%s: %v allocations", what, got)
	if got > ceiling {
		t.Errorf("%s: %v allocations, at most %v are allowed", what, got, ceiling)
	}
}

func TestInboundEventCeilings(t *testing.T) {
	r := loopback(t, Config{Logger: slog.New(slog.DiscardHandler)})
	got := make(chan struct{})
	tell := func() error { got <- struct{}{}; return nil }
	On0(r.srv, "on0", func(context.Context, *Socket) error { return tell() })
	On(r.srv, "string", func(_ context.Context, _ *Socket, _ string) error { return tell() })
	On(r.srv, "struct", func(_ context.Context, _ *Socket, _ point) error { return tell() })
	On2(r.srv, "two", func(_ context.Context, _ *Socket, _, _ float64) error { return tell() })
	r.srv.Handle("raw", HandlerFunc(func(context.Context, *Socket, *Message) error { return tell() }))
	nc, _ := rawClient(t, r)
	for _, test := range []struct {
		event   string
		ceiling float64
	}{
		{`42["on0"]`, 2}, // both in the reactor, for running its callback
		{`42["raw","hello"]`, 2},
		{`42["string","hello"]`, 4}, // the variable and what it holds
		{`42["struct",{"X":1,"Y":2}]`, 3},
		{`42["two",1,2]`, 3},
	} {
		frame := frames(test.event)
		wantAllocs(t, test.event, test.ceiling, func() {
			nc.Write(frame)
			<-got
		})
	}
}

func TestAckCeilings(t *testing.T) {
	r := loopback(t, Config{Logger: slog.New(slog.DiscardHandler)})
	OnAck(r.srv, "echo", func(_ context.Context, _ *Socket, v string) (string, error) { return v, nil })
	OnAck0(r.srv, "none", func(context.Context, *Socket) (None, error) { return None{}, nil })
	nc, _ := rawClient(t, r)
	for _, test := range []struct {
		event, answer string
		ceiling       float64
	}{
		{`421["echo","hello"]`, `431["hello"]`, 6}, // as above, and the result as []any
		{`421["none"]`, `431[]`, 2},
	} {
		frame, answer := frames(test.event), make([]byte, 2+len(test.answer))
		wantAllocs(t, test.event, test.ceiling, func() {
			nc.Write(frame)
			io.ReadFull(nc, answer)
		})
		if string(answer[2:]) != test.answer {
			t.Errorf("got %q, want %q", answer[2:], test.answer)
		}
	}
}

func TestEmitCeilings(t *testing.T) {
	r := loopback(t, Config{Logger: slog.New(slog.DiscardHandler)})
	p, s := r.join()
	go io.Copy(io.Discard, p.nc)
	p.nc.SetReadDeadline(time.Time{})
	must(t, s.Join("room"))
	// The slice of the arguments escapes: an adapter may look at it.
	text, value := any("hello"), any(&struct{ A, B int }{1, 2})
	wantAllocs(t, "Emit of a string", 1, func() { s.Emit("n", text) })
	wantAllocs(t, "Emit of a struct", 2, func() { s.Emit("n", value) })
	wantAllocs(t, "To(room).Emit", 1, func() { r.srv.To("room").Emit("n", text) })
	wantAllocs(t, "To(nobody).Emit", 1, func() { r.srv.To("nobody").Emit("n", text) })
}

// A broadcast allocates the slice of its arguments and a goroutine that writes, but
// nothing for its receivers.
func TestBroadcastCeiling(t *testing.T) {
	const few, many = 10, 1000
	r := loopback(t, Config{Logger: slog.New(slog.DiscardHandler)})
	open := func(n int) {
		for range n {
			c, err := herd.Dial(r.addr)
			must(t, err)
			t.Cleanup(func() { c.Close() })
		}
		eventually(t, "nothing runs any more", func() bool { return r.srv.busy.n.Load() == 0 })
	}
	text := any("hello")
	broadcast := func() float64 {
		sockets := slices.Collect(r.srv.Sockets())
		once := func() {
			r.srv.Emit("n", text)
			for _, s := range sockets { // until everybody has it
				for s.Conn().Buffered() > 0 {
					runtime.Gosched()
				}
			}
		}
		for range 20 {
			once()
		}
		return testing.AllocsPerRun(100, once)
	}
	open(few)
	a := broadcast()
	open(many - few)
	b := broadcast()
	t.Logf("%v allocations to %d, %v to %d receivers", a, few, b, many)
	if b > 2 || b > a {
		t.Errorf("a broadcast to %d receivers allocates %v times, to %d %v times", many, b, few, a)
	}
}
