package sio

import (
	"context"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// noting returns a handler that says that it ran.
func noting(seen chan<- string, what string) Handler {
	return HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { seen <- what + " " + m.Event(); return nil })
}

// layer returns a wrap that says that it ran.
func layer(seen chan<- string, what string) func(Handler) Handler {
	return func(next Handler) Handler {
		return HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
			seen <- what + " " + m.Event()
			return next.Handle(ctx, s, m)
		})
	}
}

// Whatever is registered can be taken out again, by its Registration, and only that.
func TestRegistrationsComeOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 50)
		note := func(what string) { seen <- what }
		var regs []*Registration
		keep := func(reg *Registration) { regs = append(regs, reg) }
		for _, name := range []string{"1", "2"} { // the second ones stay
			keep(r.srv.Use(func(context.Context, *Socket) error { note("use" + name); return nil }))
			keep(r.srv.OnConnect(func(context.Context, *Socket) error { note("connect" + name); return nil }))
			keep(r.srv.OnDisconnect(func(*Socket, Reason) { note("disconnect" + name) }))
			keep(r.srv.Wrap(layer(seen, "wrap"+name)))
			keep(r.srv.HandleAny(noting(seen, "any"+name)))
			keep(r.srv.HandleAnyOutgoing(func(*Socket, string, []any) { note("outgoing" + name) }))
			keep(r.srv.Handle("event"+name, noting(seen, "event"+name)))
		}
		p, s := r.join()
		send := func() {
			t.Helper()
			p.send(`42["event1"]`, `42["event2"]`)
			synctest.Wait()
			must(t, s.Emit("x"))
			p.want(`42["x"]`)
		}
		send()
		wantFrom(t, seen, "use1", "use2", "connect1", "connect2",
			"any1 event1", "any2 event1", "wrap1 event1", "wrap2 event1", "event1 event1",
			"any1 event2", "any2 event2", "wrap1 event2", "wrap2 event2", "event2 event2",
			"outgoing1", "outgoing2")
		p.close()
		wantFrom(t, seen, "disconnect1", "disconnect2")

		for _, reg := range regs[:len(regs)/2] {
			reg.Off()
			reg.Off() // does nothing
		}
		p, s = r.join()
		send()
		wantFrom(t, seen, "use2", "connect2", "any2 event1", "wrap2 event1", // which nobody handles
			"any2 event2", "wrap2 event2", "event2 event2", "outgoing2")
		p.close()
		wantFrom(t, seen, "disconnect2")
		wantNone(t, seen)

		// The name is free, and the old registration does not concern the new one.
		r.srv.Handle("event1", noting(seen, "new"))
		regs[6].Off()
		p, _ = r.join()
		p.send(`42["event1"]`)
		wantFrom(t, seen, "use2", "connect2", "any2 event1", "wrap2 event1", "new event1")
	})
}

func TestOffByName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 50)
		r.srv.Handle("a", noting(seen, "shared"))
		r.srv.Handle("b", noting(seen, "shared"))
		fallback := r.srv.HandleFallback(noting(seen, "fallback"))
		p, s := r.join()
		s.Handle("a", noting(seen, "own"))
		s.HandleFallback(noting(seen, "own fallback"))
		send := func(want ...string) {
			t.Helper()
			p.send(`42["a"]`, `42["b"]`)
			synctest.Wait()
			wantFrom(t, seen, want...)
		}
		send("own a", "shared b")
		s.Off("a")
		send("shared a", "shared b")
		r.srv.Off("a")
		r.srv.Off("unknown")
		send("own fallback a", "shared b")
		s.OffAll()
		send("fallback a", "shared b")
		fallback.Off()
		send("shared b")
		r.srv.OffAll()
		send()
		r.srv.Handle("a", noting(seen, "again"))
		r.srv.HandleFallback(noting(seen, "again"))
		send("again a", "again b")
		r.srv.Of("/").OffAll()
		send()
		wantNone(t, seen)
	})
}

func TestCatchAllsOfSocketsAndTheirOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 50)
		out := func(what string) func(*Socket, string, []any) {
			return func(_ *Socket, event string, _ []any) { seen <- what + " " + event }
		}
		r.srv.HandleAny(noting(seen, "2"))
		r.srv.PrependAny(noting(seen, "1"))
		r.srv.HandleAnyOutgoing(out("2"))
		r.srv.PrependAnyOutgoing(out("1"))
		peers, s := r.clients(2)
		s[0].HandleAny(noting(seen, "own 2"))
		first := s[0].PrependAny(noting(seen, "own 1"))
		s[0].HandleAnyOutgoing(out("own 2"))
		firstOut := s[0].PrependAnyOutgoing(out("own 1"))

		peers[0].send(`42["in"]`)
		wantFrom(t, seen, "1 in", "2 in", "own 1 in", "own 2 in")
		peers[1].send(`42["in"]`)
		wantFrom(t, seen, "1 in", "2 in")
		must(t, s[0].Emit("out"))
		wantFrom(t, seen, "1 out", "2 out", "own 1 out", "own 2 out")
		must(t, r.srv.To(s[0].ID()).Emit("broadcast"))
		wantFrom(t, seen, "1 broadcast", "2 broadcast", "own 1 broadcast", "own 2 broadcast")

		first.Off()
		firstOut.Off()
		r.srv.OffAny()
		r.srv.OffAnyOutgoing()
		peers[0].send(`42["in"]`)
		synctest.Wait()
		must(t, s[1].Emit("out")) // nobody watches
		must(t, r.srv.Emit("all"))
		got := []string{receive(t, seen), receive(t, seen)}
		if slices.Sort(got); !slices.Equal(got, []string{"own 2 all", "own 2 in"}) {
			t.Errorf("got %q", got)
		}
		s[0].OffAny()
		s[0].OffAnyOutgoing()
		peers[0].send(`42["in"]`)
		must(t, r.srv.Emit("all"))
		wantNone(t, seen)
	})
}

// Wraps of a socket are inside those of its namespace, and around everything that the
// socket handles: its own handlers, the namespace's, and nothing.
func TestWrapOfASocket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 50)
		say := func(context.Context, *Socket) (int, error) { seen <- "handler"; return 1, nil }
		r.srv.Wrap(layer(seen, "shared"))
		OnAck0(r.srv, "ns", say)
		p, s := r.join()
		OnAck0(s, "own", say)
		reg := s.Wrap(func(next Handler) Handler {
			return HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
				seen <- "socket"
				if m.Event() == "refused" {
					return &Error{Message: "not this one"}
				}
				return next.Handle(ctx, s, m)
			})
		})
		for _, event := range []string{"ns", "own", "ns", "own"} {
			p.send(`421["` + event + `"]`)
			p.want(`431[1]`)
			wantFrom(t, seen, "shared "+event, "socket", "handler")
		}
		p.send(`421["refused"]`)
		p.want(`431[{"error":{"message":"not this one"}}]`)
		wantFrom(t, seen, "shared refused", "socket")
		p.send(`42["nobody"]`)
		wantFrom(t, seen, "shared nobody", "socket")

		q, _ := r.join() // others are not concerned
		q.send(`421["ns"]`)
		q.want(`431[1]`)
		wantFrom(t, seen, "shared ns", "handler")

		r.srv.Wrap(layer(seen, "later")) // counts for what was wrapped before, too
		p.send(`421["own"]`)
		wantFrom(t, seen, "shared own", "later own", "socket", "handler")
		reg.Off()
		p.send(`421["own"]`)
		wantFrom(t, seen, "shared own", "later own", "handler")
	})
}

// The handlers of a socket are wrapped when something changes, not for every event.
func TestHandlersOfASocketAreWrappedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		var made atomic.Int32
		count := func(next Handler) Handler { made.Add(1); return next }
		OnAck0(r.srv, "shared", func(context.Context, *Socket) (int, error) { return 1, nil })
		r.srv.Wrap(count)
		p, s := r.join()
		OnAck0(s, "own", func(context.Context, *Socket) (int, error) { return 1, nil })
		s.Wrap(count)
		send := func() {
			t.Helper()
			for range 3 {
				p.send(`421["own"]`, `422["shared"]`, `42["nobody"]`, `423["own"]`)
				p.want(`431[1]`, `432[1]`, `433[1]`)
			}
			synctest.Wait()
		}
		send()
		before := made.Load()
		send()
		if n := made.Load() - before; n != 0 {
			t.Errorf("wrapped %d times more", n)
		}
		s.Handle("another", noting(make(chan string, 1), ""))
		before = made.Load()
		send()
		if n := made.Load() - before; n == 0 || n > 6 {
			t.Errorf("wrapped %d times after a change, want at most both wraps around 3 handlers", n)
		}
	})
}

func TestWrapThatPanicsWhenItIsMade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		OnAck0(s, "own", func(context.Context, *Socket) (int, error) { return 1, nil })
		reg := s.Wrap(func(next Handler) Handler { panic("badly made") })
		p.send(`421["own"]`)
		p.want(`431[{"error":{"message":"internal error"}}]`)
		r.wantLog("handler failed", "badly made", "event=own")
		reg.Off()
		p.send(`422["own"]`)
		p.want(`432[1]`)
	})
}

func TestOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 50)
		On(Once(r.srv), "shared", func(_ context.Context, _ *Socket, n int) error { seen <- "shared " + strconv.Itoa(n); return nil })
		r.srv.HandleFallback(noting(seen, "fallback"))
		r.srv.Wrap(func(next Handler) Handler {
			return HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
				var text string
				if m.Decode(0, &text) == nil && text == "refuse" {
					return nil
				}
				return next.Handle(ctx, s, m)
			})
		})
		p, s := r.join()
		reg := OnAck(Once(s), "own", func(_ context.Context, _ *Socket, n int) (int, error) {
			On0(Once(s), "own", func(context.Context, *Socket) error { seen <- "again"; return nil }) // the name is free
			return n + 1, nil
		})
		p.send(`42["own","refuse"]`) // does not count
		p.send(`421["own",1]`, `42["own"]`, `42["own"]`)
		p.want(`431[2]`)
		wantFrom(t, seen, "again", "fallback own")
		reg.Off() // long gone
		p.send(`42["shared",1]`, `42["shared",2]`)
		wantFrom(t, seen, "shared 1", "fallback shared")
		On0(Once(s), "off", func(context.Context, *Socket) error { seen <- "never"; return nil }).Off()
		p.send(`42["off"]`)
		wantFrom(t, seen, "fallback off")
		wantNone(t, seen)
	})
}

// Events of many sockets at the same time: one handler wins, the others' events go where
// they would go without it.
func TestOnceOfANamespaceRunsOnce(t *testing.T) {
	r := loopback(t, Config{})
	const n, rounds = 8, 20
	var ran, fell atomic.Int32
	r.srv.HandleFallback(HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { fell.Add(1); return nil }))
	var open atomic.Pointer[chan struct{}]
	r.srv.Wrap(func(next Handler) Handler {
		return HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
			<-*open.Load() // all of them have found the handler
			return next.Handle(ctx, s, m)
		})
	})
	peers, _ := r.clients(n)
	for range rounds {
		ran.Store(0)
		fell.Store(0)
		gate := make(chan struct{})
		open.Store(&gate)
		On0(Once(r.srv), "x", func(context.Context, *Socket) error { ran.Add(1); return nil })
		for _, p := range peers {
			p.send(`42["x"]`)
		}
		close(gate)
		eventually(t, "all events are handled", func() bool { return ran.Load()+fell.Load() == n })
		if ran.Load() != 1 {
			t.Fatalf("ran %d times", ran.Load())
		}
	}
}

func TestOnDisconnectOfASocket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 10)
		r.srv.OnDisconnect(func(_ *Socket, r Reason) { seen <- "shared " + string(r) })
		p, s := r.join()
		r.join()
		s.OnDisconnect(func(s *Socket, r Reason) { seen <- "own " + string(r) + " " + strconv.Itoa(len(s.Rooms())) })
		s.OnDisconnect(func(*Socket, Reason) { seen <- "never" }).Off()
		if s.Reason() != "" {
			t.Errorf("reason %q of a connected socket", s.Reason())
		}
		p.send("41")
		wantFrom(t, seen, "shared client namespace disconnect", "own client namespace disconnect 1")
		if s.Reason() != ClientDisconnect {
			t.Errorf("reason %q", s.Reason())
		}
		wantNone(t, seen)
	})
}
