package sio

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/memconn"
)

// benchEngines are the ways bytes reach a server, named for benchstat.
var benchEngines = []struct {
	name string
	cfg  eio.Config
}{
	{"engine=memory", eio.Config{Portable: true}},
	{"engine=epoll", eio.Config{}},
	{"engine=netpoll", eio.Config{Reactor: engine.Netpoll}},
	{"engine=portable", eio.Config{Portable: true}},
}

// eachEngine runs f for each engine, on a server that logs nothing and sends no PING meanwhile.
func eachEngine(b *testing.B, f func(b *testing.B, r *rig)) {
	for _, e := range benchEngines {
		b.Run(e.name, func(b *testing.B) {
			if e.name == "engine=memory" {
				f(b, memoryBench(b))
				return
			}
			if !e.cfg.Portable && runtime.GOOS != "linux" {
				b.Skip("no reactor on this platform")
			}
			f(b, loopback(b, quiet(e.cfg)))
		})
	}
}

func quiet(cfg eio.Config) Config {
	cfg.PingInterval = time.Hour
	return Config{Engine: cfg, Logger: slog.New(slog.DiscardHandler)}
}

// memoryBench is memory without a bubble.
func memoryBench(tb testing.TB) *rig {
	ln := memconn.Listen()
	return serve(tb, quiet(eio.Config{Portable: true}), ln, "memory", ln.Dial, func() {})
}

// rawClient is a connection that has joined "/", with nothing that allocates.
func rawClient(t testing.TB, r *rig) (net.Conn, *Socket) {
	t.Helper()
	p, s := r.join()
	p.nc.SetReadDeadline(time.Time{})
	return p.nc, s
}

// BenchmarkConnect is the whole of a connection: dial, upgrade, OPEN, CONNECT, its answer, end.
// The client's share is in the figure.
func BenchmarkConnect(b *testing.B) {
	eachEngine(b, func(b *testing.B, r *rig) {
		for _, bc := range []struct{ name, connect string }{
			{"auth=none", "40"},
			{"auth=token", `40{"token":"` + strings.Repeat("x", 64) + `"}`},
		} {
			b.Run(bc.name, func(b *testing.B) {
				request := append(fmt.Appendf(nil, upgradeRequest, "", r.addr, ""), frames(bc.connect)...)
				d := dialler{r: r, br: bufio.NewReader(nil)}
				b.ReportAllocs()
				for b.Loop() {
					nc := d.connect(b, request)
					if tc, ok := nc.(*net.TCPConn); ok {
						tc.SetLinger(0) // no TIME_WAIT
					}
					nc.Close()
				}
			})
		}
	})
}

// dialler opens connections with little garbage of its own.
type dialler struct {
	r  *rig
	br *bufio.Reader
}

// connect sends a request with everything up to CONNECT behind it and reads the answers.
func (d *dialler) connect(tb testing.TB, request []byte) net.Conn {
	nc, err := d.r.dial()
	if err != nil {
		tb.Fatal(err)
	}
	d.br.Reset(nc)
	nc.Write(request)
	for {
		line, err := d.br.ReadSlice('\n')
		if err != nil {
			tb.Fatal(err)
		}
		if len(line) == 2 {
			break
		}
	}
	for _, want := range []string{`0{"sid":"`, `40{"sid":"`} {
		got, err := peekText(d.br)
		if err != nil || !bytes.HasPrefix(got, []byte(want)) {
			tb.Fatalf("got %q %v, want %s", got, err, want)
		}
		d.br.Discard(len(got))
	}
	return nc
}

// peekText skips the header of a text frame shorter than 64 KiB and returns its payload, which stays
// in br.
func peekText(br *bufio.Reader) ([]byte, error) {
	head, err := br.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0] != 0x80|byte(ws.OpText) {
		return nil, fmt.Errorf("frame %x", head)
	}
	n := int(head[1])
	br.Discard(2)
	if n == 126 {
		if head, err = br.Peek(2); err != nil {
			return nil, err
		}
		n = int(head[0])<<8 | int(head[1])
		br.Discard(2)
	}
	return br.Peek(n)
}

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

// BenchmarkEvent is events from a client until their handlers have run.
func BenchmarkEvent(b *testing.B) {
	eachEngine(b, func(b *testing.B, r *rig) {
		calls := make(chan struct{}, 64)
		registerAll(r.srv, func() { calls <- struct{}{} })
		nc, _ := rawClient(b, r)
		for _, inFlight := range []int{1, 16} {
			b.Run(fmt.Sprintf("inFlight=%d", inFlight), func(b *testing.B) {
				p := bytes.Repeat(frames(`42["string","hello"]`), inFlight)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := nc.Write(p); err != nil {
						b.Fatal(err)
					}
					for range inFlight {
						<-calls
					}
				}
			})
		}
	})
}

// BenchmarkAck is events from a client until it has their acknowledgements.
func BenchmarkAck(b *testing.B) {
	eachEngine(b, func(b *testing.B, r *rig) {
		registerAll(r.srv, func() {})
		nc, _ := rawClient(b, r)
		for _, inFlight := range []int{1, 16} {
			b.Run(fmt.Sprintf("inFlight=%d", inFlight), func(b *testing.B) {
				const answer = `431["hello"]`
				p := bytes.Repeat(frames(`421["ack","hello"]`), inFlight)
				want := bytes.Repeat(append([]byte{0x80 | byte(ws.OpText), byte(len(answer))}, answer...), inFlight)
				got := make([]byte, len(want))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := nc.Write(p); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(nc, got); err != nil {
						b.Fatal(err)
					}
					if !bytes.Equal(got, want) {
						b.Fatalf("got %q, want %q", got, want)
					}
				}
			})
		}
	})
}

// acknowledge answers every event on nc with the arguments args until nc is closed.
func acknowledge(nc net.Conn, args string) {
	br := bufio.NewReader(nc)
	var out []byte
	for {
		p, err := peekText(br)
		if err != nil {
			return
		}
		id := p[2:bytes.IndexByte(p, '[')]
		out = append(out[:0], 0x80|byte(ws.OpText), 0x80|byte(2+len(id)+len(args)), 0, 0, 0, 0)
		out = append(append(append(out, "43"...), id...), args...)
		br.Discard(len(p))
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

// callee is a client that acknowledges everything.
func callee(tb testing.TB, r *rig) *Socket {
	nc, s := rawClient(tb, r)
	go acknowledge(nc, `["yes"]`)
	return s
}

// BenchmarkCall asks one client and waits for its acknowledgement.
func BenchmarkCall(b *testing.B) {
	ctx := context.Background()
	eachEngine(b, func(b *testing.B, r *rig) {
		s := callee(b, r)
		b.ReportAllocs()
		for b.Loop() {
			if v, err := Call[string](ctx, s, "ask", "please"); v != "yes" || err != nil {
				b.Fatal(v, err)
			}
		}
	})
}

// BenchmarkGather asks many.
func BenchmarkGather(b *testing.B) {
	ctx := context.Background()
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("engine=memory/sockets=%d", n), func(b *testing.B) {
			r := memoryBench(b)
			for range n {
				must(b, callee(b, r).Join("voters"))
			}
			voters := r.srv.To("voters")
			b.ReportAllocs()
			for b.Loop() {
				got := 0
				for a, err := range Gather[string](ctx, voters, "ask", "please") {
					if a.Value != "yes" || err != nil {
						b.Fatal(a, err)
					}
					got++
				}
				if got != n {
					b.Fatalf("%d answers, want %d", got, n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/socket")
		})
	}
}

// audience is clients that count what they get.
type audience struct {
	bytes, target atomic.Int64
	all           chan struct{}
}

// listen adds a client.
func (a *audience) listen(nc net.Conn) {
	go func() {
		p := make([]byte, 64<<10)
		for {
			n, err := nc.Read(p)
			if err != nil {
				return
			}
			if a.bytes.Add(int64(n)) == a.target.Load() {
				a.all <- struct{}{}
			}
		}
	}()
}

// await calls emit and waits until n bytes more have arrived.
func (a *audience) await(n int, emit func() error) error {
	a.target.Add(int64(n))
	if err := emit(); err != nil {
		return err
	}
	<-a.all
	return nil
}

// BenchmarkEmit is an event until its only receiver has it.
func BenchmarkEmit(b *testing.B) {
	eachEngine(b, func(b *testing.B, r *rig) {
		nc, s := rawClient(b, r)
		a := &audience{all: make(chan struct{}, 1)}
		a.listen(nc)
		for _, bc := range []struct {
			name string
			arg  any
		}{
			{"arg=string/bytes=64", strings.Repeat("x", 64)},
			{"arg=string/bytes=16384", strings.Repeat("x", 16<<10)},
			{"arg=struct", &point{1, 2}},
			{"arg=binary/bytes=16384", make([]byte, 16<<10)},
		} {
			b.Run(bc.name, func(b *testing.B) {
				n := eventLen(b, bc.arg)
				emit := func() error { return s.Emit("news", bc.arg) }
				b.ReportAllocs()
				for b.Loop() {
					if err := a.await(n, emit); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

// eventLen returns the size of an event "news" on the wire.
func eventLen(tb testing.TB, arg any) int {
	tb.Helper()
	f, err := codec.JSON.EncodeEvent("/", -1, "news", []any{arg})
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Release()
	return f.Len()
}

// BenchmarkBroadcast is an event to a room until all members have it. The clients'
// share is in the figure.
func BenchmarkBroadcast(b *testing.B) {
	eachEngine(b, func(b *testing.B, r *rig) {
		a := &audience{all: make(chan struct{}, 1)}
		members := 0
		for _, n := range []int{1, 100, 1000} {
			for ; members < n; members++ {
				nc, s := rawClient(b, r)
				a.listen(nc)
				must(b, s.Join("room"))
			}
			b.Run(fmt.Sprintf("members=%d/bytes=64", n), func(b *testing.B) {
				arg := any(strings.Repeat("x", 64))
				size := n * eventLen(b, arg)
				emit := func() error { return r.srv.To("room").Emit("news", arg) }
				b.ReportAllocs()
				for b.Loop() {
					if err := a.await(size, emit); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/receiver")
			})
		}
	})
}

func BenchmarkJoinLeave(b *testing.B) {
	r := memoryBench(b)
	_, s := rawClient(b, r)
	_, other := rawClient(b, r)
	must(b, other.Join("a", "b", "c", "d"))
	for _, rooms := range [][]string{{"a"}, {"a", "b", "c", "d"}, {"nobody else"}} {
		b.Run(fmt.Sprintf("rooms=%d/exists=%v", len(rooms), rooms[0] == "a"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Join(rooms...); err != nil {
					b.Fatal(err)
				}
				s.Leave(rooms...)
			}
			if got := s.Rooms(); len(got) != 1 {
				b.Errorf("left in %q", got)
			}
		})
	}
}
