package sio

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
)

// fault is code of the application that panics, or ends its goroutine as testing.T.FailNow does, as
// long as it is armed.
type fault struct {
	exits bool
	armed atomic.Bool
	hits  atomic.Int64
}

func (f *fault) strike() {
	if !f.armed.Load() {
		return
	}
	f.hits.Add(1)
	if f.exits {
		runtime.Goexit()
	}
	panic("boo")
}

// Values whose methods strike.
type (
	faultyValue struct{ x *fault }
	faultyArg   struct{}
	nilError    struct{ text string }
)

func (v faultyValue) MarshalJSON() ([]byte, error) { v.x.strike(); return []byte("1"), nil }
func (v *faultyArg) UnmarshalJSON([]byte) error    { unmarshalling.Load().strike(); return nil }
func (e *nilError) Error() string                  { return e.text }

// unmarshalling is the fault of the test that runs: a type has no other way to find it.
var unmarshalling atomic.Pointer[fault]

// answers of events.
const (
	failedAnswer = `431[{"error":{"message":"internal error"}}]`
	goodAnswer   = `431["ok"]`
)

// faultyCase is one place where code of the application is called.
type faultyCase struct {
	cfg  func(c *Config, x *fault)
	set  func(r *rig, x *fault) // registers it
	join string                 // namespace that p joins when the fault is armed: "" for "/" before that

	// send is what p sends; want is what it gets. It is served afterwards, unless it is gone.
	send, want string
	gone       bool

	log      string // what is logged of a panic
	noexit   bool   // not to be called with runtime.Goexit
	exitWant string // what p gets instead after runtime.Goexit
	exitGone bool   // p is gone after that
}

func handles(event string, strike func(x *fault) Handler) func(r *rig, x *fault) {
	return func(r *rig, x *fault) { r.srv.Handle(event, strike(x)) }
}

func striking(x *fault) Handler {
	return HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
		x.strike()
		return m.Ack("ok")
	})
}

func hook(set func(h *Hooks, x *fault)) func(c *Config, x *fault) {
	return func(c *Config, x *fault) { set(&c.Hooks, x) }
}

// nothing is the exitWant of a client that gets no answer.
const nothing = "-"

const asked, handlerLog = `421["f"]`, `level=ERROR msg="sio: handler failed" event=f namespace=/`

var faultyCases = map[string]faultyCase{
	// Handlers and what is around them.
	"handler": {set: handles("f", striking), send: asked, want: failedAnswer, log: handlerLog},
	"typed handler": {send: asked, want: failedAnswer, log: handlerLog, set: func(r *rig, x *fault) {
		OnAck0(r.srv, "f", func(context.Context, *Socket) (string, error) { x.strike(); return "ok", nil })
	}},
	"socket's handler": {send: asked, want: failedAnswer, log: handlerLog, set: func(r *rig, x *fault) {
		r.srv.OnConnect(func(_ context.Context, s *Socket) error { s.Handle("f", striking(x)); return nil })
	}},
	"fallback": {send: asked, want: failedAnswer, log: handlerLog, set: func(r *rig, x *fault) { r.srv.HandleFallback(striking(x)) }},
	"catch-all": {send: asked, want: failedAnswer, log: handlerLog, set: func(r *rig, x *fault) {
		r.srv.HandleAny(HandlerFunc(func(context.Context, *Socket, *Message) error { x.strike(); return nil }))
	}},
	"wrap": {send: asked, want: failedAnswer, log: handlerLog, set: func(r *rig, x *fault) {
		r.srv.Wrap(func(next Handler) Handler {
			return HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error { x.strike(); return next.Handle(ctx, s, m) })
		})
	}},
	"socket's wrap, made": {send: asked, want: failedAnswer, log: handlerLog, set: func(r *rig, x *fault) {
		r.srv.OnConnect(func(_ context.Context, s *Socket) error {
			s.Wrap(func(next Handler) Handler { x.strike(); return next })
			return nil
		})
	}},
	"key of Deduplicate": {send: asked, want: failedAnswer, log: handlerLog, set: func(r *rig, x *fault) {
		r.srv.Wrap(Deduplicate(Dedup{Key: func(*Socket, *Message) string { x.strike(); return "k" }}))
	}},
	"handler in Deduplicate": {send: asked, want: failedAnswer, log: handlerLog, set: func(r *rig, x *fault) {
		r.srv.Wrap(Deduplicate(Dedup{Key: func(*Socket, *Message) string { return "k" }}))
		r.srv.Handle("f", striking(x))
	}},
	"error hook": {send: asked, want: failedAnswer, log: "sio: error hook failed", set: func(r *rig, x *fault) {
		On0(r.srv, "f", func(context.Context, *Socket) error { return errors.New("failed") })
		r.srv.OnError(func(*Socket, error) { x.strike() })
	}},
	"nil error": {send: asked, want: failedAnswer, log: handlerLog, noexit: true, set: func(r *rig, x *fault) {
		On0(r.srv, "f", func(context.Context, *Socket) error { x.hits.Add(1); return (*nilError)(nil) })
	}},
	"outgoing": {send: `42["f"]`, want: `42["out"]`, exitWant: nothing, log: "sio: outgoing handler failed", set: func(r *rig, x *fault) {
		r.srv.HandleAnyOutgoing(func(*Socket, string, []any) { x.strike() })
		On0(r.srv, "f", func(_ context.Context, s *Socket) error { return s.Emit("out") })
	}},
	"outgoing, broadcast": {send: `42["f"]`, want: `42["out"]`, log: "sio: outgoing handler failed", set: func(r *rig, x *fault) {
		r.srv.HandleAnyOutgoing(func(*Socket, string, []any) { x.strike() })
		On0(r.srv, "f", func(_ context.Context, s *Socket) error { return r.srv.To(s.ID()).Emit("out") })
	}},
	"GetOrSet": {send: asked, want: failedAnswer, log: handlerLog, set: func(r *rig, x *fault) {
		key := NewKey[int]("k")
		On0(r.srv, "f", func(context.Context, *Socket) error {
			key.GetOrSet(r.srv, func() int { x.strike(); return 1 })
			return nil
		})
	}},

	// Joining and leaving.
	"middleware": {join: "/", want: `44{"message":"connection refused"}`, gone: true, log: "sio: connect middleware panicked", set: func(r *rig, x *fault) {
		r.srv.Use(func(context.Context, *Socket) error { x.strike(); return nil })
	}},
	"matcher": {join: "/x", want: `44/x,{"message":"connection refused"}`, gone: true, log: "sio: connect middleware panicked", set: func(r *rig, x *fault) {
		r.srv.OfFunc(func(context.Context, string, *Handshake) bool { x.strike(); return true })
	}},
	"namespace hook": {join: "/x", want: `40/x,`, exitWant: `44/x,{"message":"connection refused"}`, log: "sio: namespace hook failed", set: func(r *rig, x *fault) {
		r.srv.Of("/{any}")
		r.srv.OnNamespace(func(*Namespace) { x.strike() })
	}},
	"adapter's factory": {
		join: "/x", want: `44/x,{"message":"connection refused"}`, gone: true, log: "sio: connect middleware panicked",
		cfg: func(c *Config, x *fault) {
			c.Adapter = func(h adapter.Host) adapter.Adapter { x.strike(); return adapter.MemoryFactory(h) }
		},
		set: func(r *rig, x *fault) { r.srv.Of("/{any}") },
	},
	"adapter's Init": {
		join: "/x", want: `44/x,{"message":"connection refused"}`, gone: true, log: "sio: connect middleware panicked",
		cfg: func(c *Config, x *fault) {
			c.Adapter = func(h adapter.Host) adapter.Adapter { return faultyAdapter{adapter.MemoryFactory(h), x} }
		},
		set: func(r *rig, x *fault) { r.srv.Of("/{any}") },
	},
	"connect handler": {join: "/", want: "40", gone: true, log: "sio: connect handler failed", set: func(r *rig, x *fault) {
		r.srv.OnConnect(func(context.Context, *Socket) error { x.strike(); return nil })
	}},
	"disconnect handler": {send: "41", gone: true, log: "sio: disconnect handler failed", set: func(r *rig, x *fault) {
		r.srv.OnDisconnect(func(*Socket, Reason) { x.strike() })
	}},
	"room event": {send: `421["f"]`, want: goodAnswer, exitWant: failedAnswer, log: "adapter: room hook panicked", set: func(r *rig, x *fault) {
		r.srv.root.index.Observe(func(adapter.RoomEvent) { x.strike() })
		OnAck0(r.srv, "f", func(_ context.Context, s *Socket) (string, error) { return "ok", s.Join("room") })
	}},
	"room event of a join": {join: "/", want: "40", exitGone: true, log: "adapter: room hook panicked", set: func(r *rig, x *fault) {
		r.srv.root.index.Observe(func(adapter.RoomEvent) { x.strike() })
	}},

	// Values.
	"value of Emit": {send: asked, want: failedAnswer, log: "sio: value panicked", set: func(r *rig, x *fault) {
		On0(r.srv, "f", func(_ context.Context, s *Socket) error { return s.Emit("out", faultyValue{x}) })
	}},
	"value of a broadcast": {send: asked, want: failedAnswer, log: "sio: value panicked", set: func(r *rig, x *fault) {
		On0(r.srv, "f", func(_ context.Context, s *Socket) error { return r.srv.Emit("out", faultyValue{x}) })
	}},
	"value of a logged broadcast": {
		send: asked, want: failedAnswer, log: "sio: value panicked",
		cfg: func(c *Config, _ *fault) { c.Recovery = new(Recovery) },
		set: func(r *rig, x *fault) {
			On0(r.srv, "f", func(_ context.Context, s *Socket) error {
				return errors.Join(s.Emit("out", faultyValue{x}), r.srv.Emit("out", faultyValue{x}))
			})
		},
	},
	"value of Call": {send: asked, want: failedAnswer, log: "sio: value panicked", set: func(r *rig, x *fault) {
		On0(r.srv, "f", func(ctx context.Context, s *Socket) error {
			_, err := Call[None](ctx, s, "out", faultyValue{x})
			for _, e := range Gather[None](ctx, r.srv, "out", faultyValue{x}) {
				err = errors.Join(err, e)
			}
			return err
		})
	}},
	"value of an acknowledgement": {send: asked, want: failedAnswer, log: "sio: value panicked", set: func(r *rig, x *fault) {
		OnAck0(r.srv, "f", func(context.Context, *Socket) (faultyValue, error) { return faultyValue{x}, nil })
	}},
	"data of an error": {send: asked, want: `431[{"error":{"message":"no"}}]`, exitWant: failedAnswer, log: "sio: value panicked", set: func(r *rig, x *fault) {
		On0(r.srv, "f", func(context.Context, *Socket) error { return &Error{Message: "no", Data: faultyValue{x}} })
	}},
	"data of a refusal": {join: "/", want: `44{"message":"no"}`, gone: true, noexit: true, log: "sio: value panicked", set: func(r *rig, x *fault) {
		r.srv.Use(func(context.Context, *Socket) error {
			if x.armed.Load() {
				return &Error{Message: "no", Data: faultyValue{x}}
			}
			return nil
		})
	}},
	"argument": {send: `421["f",1]`, want: failedAnswer, log: handlerLog, set: func(r *rig, x *fault) {
		On(r.srv, "f", func(context.Context, *Socket, faultyArg) error { return nil })
	}},
	"answer to Call": {send: `421["f"]`, want: `421["out"]`, log: handlerLog, set: func(r *rig, x *fault) {
		On0(r.srv, "f", func(ctx context.Context, s *Socket) error {
			r.srv.root.ackID.Store(1)
			_, err := Call[faultyArg](ctx, s, "out")
			return err
		})
	}},
	"loop over Gather": {send: `421["f"]`, want: `421["out"]`, log: handlerLog, set: func(r *rig, x *fault) {
		On0(r.srv, "f", func(ctx context.Context, s *Socket) error {
			r.srv.root.ackID.Store(1)
			for range Gather[None](ctx, r.srv.To(s.ID()), "out") {
				x.strike()
			}
			return nil
		})
	}},

	// Hooks.
	"Hooks.EventStart": {cfg: hook(func(h *Hooks, x *fault) {
		h.EventStart = func(ctx context.Context, _ *Socket, _ *Message) context.Context { x.strike(); return ctx }
	}), send: `421["echo"]`, want: goodAnswer, exitWant: failedAnswer, log: "sio: hook failed"},
	"Hooks.EventEnd": {cfg: hook(func(h *Hooks, x *fault) {
		h.EventEnd = func(context.Context, *Socket, *Message, time.Duration, error) { x.strike() }
	}), send: `421["echo"]`, want: goodAnswer, log: "sio: hook failed"},
	"Hooks.Connect": {
		cfg:  hook(func(h *Hooks, x *fault) { h.Connect = func(*Socket, time.Duration, error) { x.strike() } }),
		join: "/", want: "40", log: "sio: hook failed",
	},
	"Hooks.Disconnect": {
		cfg:  hook(func(h *Hooks, x *fault) { h.Disconnect = func(*Socket, Reason) { x.strike() } }),
		send: "41", gone: true, log: "sio: hook failed",
	},
	"Hooks.Emit": {
		cfg:  hook(func(h *Hooks, x *fault) { h.Emit = func(*Socket, string, int, error) { x.strike() } }),
		send: `42["f"]`, want: `42["out"]`, log: "sio: hook failed", set: func(r *rig, x *fault) {
			On0(r.srv, "f", func(_ context.Context, s *Socket) error { return s.Emit("out") })
		},
	},
	"Hooks.Broadcast": {
		cfg:  hook(func(h *Hooks, x *fault) { h.Broadcast = func(*Namespace, string, int, int, error) { x.strike() } }),
		send: `42["f"]`, want: `42["out"]`, log: "sio: hook failed", set: func(r *rig, x *fault) {
			On0(r.srv, "f", func(_ context.Context, s *Socket) error { return r.srv.To(s.ID()).Emit("out") })
		},
	},
	"Hooks.Panic": {
		cfg: hook(func(h *Hooks, x *fault) { h.Panic = func(*Socket, string, *PanicError) { x.strike() } }),
		set: handles("f", striking), send: asked, want: failedAnswer, exitWant: nothing, log: "sio: hook failed",
	},
	"Hooks.Throttle": {cfg: func(c *Config, x *fault) {
		c.Rates.Events = Rate{PerSecond: 1, Burst: 1}
		c.Hooks.Throttle = func(*Socket, int) { x.strike() }
	}, send: `42["x"]` + "\n" + `42["x"]` + "\n" + `42["x"]`, log: "sio: hook failed"},
}

type faultyAdapter struct {
	adapter.Adapter
	x *fault
}

func (a faultyAdapter) Init(context.Context) error { a.x.strike(); return nil }

// Wherever code of the application panics, or ends its goroutine, it costs what it was called for:
// an event, an attempt to join. The client is told as of any failure, it and the others are served
// afterwards, nothing is left of it, and the server comes to a good end.
func TestFaults(t *testing.T) {
	for name, c := range faultyCases {
		for _, exits := range []bool{false, true} {
			if exits && c.noexit {
				continue
			}
			t.Run(name+map[bool]string{false: "/panic", true: "/goexit"}[exits], func(t *testing.T) {
				x := &fault{exits: exits}
				unmarshalling.Store(x)
				bubble(t, func(t *testing.T) { c.run(t, x) })
			})
		}
	}
}

func (c *faultyCase) run(t *testing.T, x *fault) {
	var cfg Config
	if c.cfg != nil {
		c.cfg(&cfg, x)
	}
	r := memory(t, cfg)
	OnAck0(r.srv, "echo", func(context.Context, *Socket) (string, error) { return "ok", nil })
	if c.set != nil {
		c.set(r, x)
	}
	want := c.want
	if x.exits && c.exitWant != "" {
		want = strings.TrimPrefix(c.exitWant, nothing)
	}
	gone := c.gone || x.exits && c.exitGone
	// A client with recovery gets its pid, too.
	joined := func(p *peer) { p.send("40"); p.next() }
	bystander := r.websocket()
	joined(bystander)
	for range 3 {
		p := r.websocket()
		if c.join == "" {
			joined(p)
		}
		synctest.Wait() // until handlers of those that are connected have run
		x.armed.Store(true)
		if c.join != "" {
			p.send("40" + prefix(c.join))
		}
		if c.send != "" {
			p.send(strings.Split(c.send, "\n")...)
		}
		if want != "" {
			got := p.next().data
			if got != want && !strings.HasPrefix(got, want+`{"sid"`) {
				t.Fatalf("got %q, want %q", got, want)
			}
			if strings.HasPrefix(got, `421["out"`) {
				p.send(got[:1] + "3" + got[2:3] + "[1]") // the answer
				p.want(failedAnswer)
			}
		}
		synctest.Wait()
		x.armed.Store(false)
		if x.hits.Swap(0) == 0 {
			t.Fatal("the fault was not asked for")
		}
		if !gone && c.join != "/x" {
			time.Sleep(5 * time.Second) // for the rate
			p.send(`421["echo"]`)
			for got := ""; got != goodAnswer; got = p.next().data {
			}
		}
		p.close()
		synctest.Wait()
	}
	time.Sleep(10 * time.Second)
	bystander.send(`421["echo"]`)
	for got := ""; got != goodAnswer; got = bystander.next().data {
	}
	synctest.Wait()
	if n := r.srv.root.index.Len(); n != 1 {
		t.Errorf("%d sockets are left", n)
	}
	if n := r.srv.busy.n.Load(); n != 0 {
		t.Errorf("%d sockets are busy", n)
	}
	for s := range r.srv.Sockets() {
		if l := s.c.load; l.events != 0 || l.bytes != 0 || l.calls != 0 {
			t.Errorf("the connection counts %+v", l)
		}
	}
	if n := len(slices.Collect(r.srv.Namespaces())); n != 1 {
		t.Errorf("%d namespaces are left", n)
	}
	if !x.exits {
		r.wantLog(c.log)
		r.wantLog("stack=", "faults_test.go")
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.srv.Shutdown(ctx); err != nil || time.Since(start) > 10*time.Second {
		t.Errorf("Shutdown: %v after %v", err, time.Since(start))
	}
}
