//go:build !race && !invariants

package sio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/epio-go/epio/eio"
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
	// The least of many rounds: while others need the processors, more goroutines are begun, and the pools emptied between.
	got := math.Inf(1)
	for rounds := 0; rounds < 20 && got > ceiling; rounds++ {
		got = min(got, testing.AllocsPerRun(2000, f))
	}
	t.Logf("%s: %v allocations", what, got)
	if got > ceiling {
		t.Errorf("%s: %v allocations, at most %v are allowed", what, got, ceiling)
	}
}

// portableWriters is what the portable engine allocates for a write, on platforms
// where it is the default.
func portableWriters() float64 {
	if runtime.GOOS == "linux" {
		return 0
	}
	return 1
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
		{`42["on0"]`, 0},
		{`42["raw","hello"]`, 0},
		{`42["string","hello"]`, 2}, // the variable and what it holds
		{`42["struct",{"X":1,"Y":2}]`, 1},
		{`42["two",1,2]`, 1},
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
		{`421["echo","hello"]`, `431["hello"]`, 4 + portableWriters()}, // as above, and the result as []any
		{`421["none"]`, `431[]`, portableWriters()},
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

// What a handler costs beside the connection and the queue: its variables and what
// they hold.
func TestDispatchCeilings(t *testing.T) {
	r := memoryBench(t)
	_, s := rawClient(t, r)
	calls := 0
	registerAll(r.srv, func() { calls++ })
	d := newDispatcher(t, s)
	for _, test := range []struct {
		packet  string
		ceiling float64
	}{
		{`2["on0"]`, 0},
		{`2["raw","hello"]`, 0},
		{`2["string","hello"]`, 2},
		{`2["struct",{"X":1,"Y":2}]`, 1},
		{`2["two",1,2]`, 1},
		{`2["four",1,2,3,4]`, 2},
		{`2["scan",1,2]`, 1},
		{`2["nobody","hello"]`, 0},
	} {
		packet := []byte(test.packet)
		wantAllocs(t, test.packet, test.ceiling, func() { d.dispatch(t, packet) })
	}
	// A socket's own handlers and wraps, too, are put together once.
	On0(s, "own", func(context.Context, *Socket) error { calls++; return nil })
	s.Wrap(func(next Handler) Handler { return next })
	for _, packet := range []string{`2["own"]`, `2["on0"]`, `2["nobody"]`} {
		p := []byte(packet)
		wantAllocs(t, packet+" to a socket with handlers", 0, func() { d.dispatch(t, p) })
	}
	if calls == 0 {
		t.Error("no handler was called")
	}
}

func TestCallCeilings(t *testing.T) {
	ctx := context.Background()
	r := loopback(t, quiet(eio.Config{}))
	for range 10 {
		must(t, callee(t, r).Join("voters"))
	}
	s := callee(t, r)
	arg := any("please")
	writers := portableWriters()
	wantAllocs(t, "Call", 3+writers, func() {
		if v, err := Call[string](ctx, s, "ask", arg); v != "yes" || err != nil {
			t.Fatal(v, err)
		}
	})
	voters := r.srv.To("voters")
	wantAllocs(t, "Gather of 10", 38+10*writers, func() {
		for a, err := range Gather[string](ctx, voters, "ask", arg) {
			if a.Value != "yes" || err != nil {
				t.Fatal(a, err)
			}
		}
	})
}

func TestJoinLeaveCeilings(t *testing.T) {
	r := memoryBench(t)
	_, s := rawClient(t, r)
	_, other := rawClient(t, r)
	must(t, other.Join("room"))
	wantAllocs(t, "Join and Leave of a room", 0, func() {
		must(t, s.Join("room"))
		s.Leave("room")
	})
	wantAllocs(t, "Join and Leave of a room nobody else is in", 5, func() { // see adapter
		must(t, s.Join("own"))
		s.Leave("own")
	})
}

// From the first byte to the answer to CONNECT, dialling, the client's end and the
// end of the connection included.
func TestConnectCeiling(t *testing.T) {
	r := memoryBench(t)
	d := dialler{r: r, br: bufio.NewReader(nil)}
	request := append(fmt.Appendf(nil, upgradeRequest, "", r.addr, ""), frames("40")...)
	wantAllocs(t, "a connection in memory", 24, func() {
		d.connect(t, request).Close()
		for r.srv.Engine().Sessions() > 0 {
			runtime.Gosched()
		}
	})
}
