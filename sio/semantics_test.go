package sio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The tests in this file hold the seven semantics of the package comment, by
// number.

func TestSemantics1EventsOfOneSocketRunInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		const n = 2 * turn
		got := make(chan int, 2*n)
		running := 0 // not synchronized: the race detector sees overlaps
		On(r.srv, "n", func(_ context.Context, _ *Socket, v int) error {
			running++
			if running != 1 {
				t.Errorf("%d handlers of one socket run at once", running)
			}
			time.Sleep(time.Millisecond) // the next events pile up
			got <- v
			running--
			return nil
		})
		p, _ := r.join()
		send := func(from, to int) {
			for i := from; i < to; i++ {
				p.send(fmt.Sprintf(`42["n",%d]`, i))
			}
		}
		send(0, n-10)
		for i := range n {
			if i == turn+10 {
				send(n-10, n) // while the socket has its second turn
			}
			wantFrom(t, got, i)
		}
	})
}

func TestSemantics1SocketsRunInParallel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		const n = 30
		arrived, open := make(chan string, n), make(chan struct{})
		On0(r.srv, "meet", func(_ context.Context, s *Socket) error {
			arrived <- s.ID()
			<-open
			return nil
		})
		peers, _ := r.clients(n)
		for _, p := range peers {
			p.send(`42["meet"]`)
		}
		for range n { // all of them are inside at the same time
			receive(t, arrived)
		}
		close(open)
	})
}

// Every method that could need a lock is called from every kind of user code. A
// lock held there would end in a deadlock, which the bubble reports.
func TestSemantics1UserCodeRunsWithoutLocks(t *testing.T) {
	everything := func(s *Socket) {
		s.Join("a", "b")
		s.Leave("b")
		s.Rooms()
		s.Emit("e", 1)
		s.To("a").Emit("e", 2)
		s.Broadcast().Emit("e", 3)
		s.Namespace().Emit("e", 4)
		s.Namespace().To("a").Join("c")
		s.Namespace().To("c").Leave("c")
		s.Namespace().Socket(s.ID())
		s.Server().Of("/more")
		s.SetData(s.Data())
		s.Context()
		for o := range s.Namespace().Sockets() {
			o.Emit("e", 5)
			o.Join("d")
		}
		s.Namespace().All().FetchSockets(context.Background())
	}
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		nested := 0 // encodings of one value
		seen := make(chan string, 100)
		tell := func(what string, s *Socket) {
			everything(s)
			seen <- what
		}
		r.srv.Use(func(_ context.Context, s *Socket) error { tell("use", s); return nil })
		r.srv.OnConnect(func(_ context.Context, s *Socket) error { tell("connect", s); return nil })
		r.srv.OnDisconnect(func(s *Socket, _ Reason) { tell("disconnect", s) })
		r.srv.Wrap(func(next Handler) Handler {
			return HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
				tell("wrap", s)
				return next.Handle(ctx, s, m)
			})
		})
		r.srv.HandleAny(HandlerFunc(func(_ context.Context, s *Socket, m *Message) error { tell("any", s); return nil }))
		r.srv.HandleFallback(HandlerFunc(func(_ context.Context, s *Socket, m *Message) error { tell("fallback", s); return nil }))
		r.srv.HandleAnyOutgoing(func(s *Socket, event string, args []any) {
			if event == "once" {
				tell("outgoing", s)
			}
		})
		On0(r.srv, "x", func(_ context.Context, s *Socket) error {
			tell("handler", s)
			s.Emit("once")
			nested = 0
			encoded := func(what string) marshalFunc {
				return func() ([]byte, error) {
					if nested++; nested == 1 { // the JSON library encodes twice in race builds
						tell(what, s)
					}
					return []byte("1"), nil
				}
			}
			s.Emit("json", encoded("marshal"))
			nested = 0
			s.Namespace().Emit("json", encoded("marshal"))
			for range Gather[None](context.Background(), s.Timeout(time.Second), "ask") {
				tell("gather", s)
			}
			s.Disconnect(false)
			tell("after", s)
			return nil
		})
		p, _ := r.join2()
		p.send(`42["y"]`, `42["x"]`)
		wantFrom(t, seen, "use", "connect", "any", "wrap", "fallback",
			"any", "wrap", "handler", "outgoing", "marshal", "marshal", "gather", "after", "disconnect")
	})
}

// marshalFunc runs user code while an argument is encoded.
type marshalFunc func() ([]byte, error)

func (f marshalFunc) MarshalJSON() ([]byte, error) { return f() }

// join2 is join for servers that send something before CONNECT.
func (r *rig) join2() (*peer, *Socket) {
	r.t.Helper()
	p := r.websocket()
	p.send("40")
	for {
		got := p.next().data
		if sid, ok := strings.CutPrefix(got, `40{"sid":"`); ok {
			return p, r.srv.Socket(strings.TrimSuffix(sid, `"}`))
		}
	}
}

func TestSemantics2CallFromAHandlerOfTheSameSocket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		OnAck0(r.srv, "start", func(ctx context.Context, s *Socket) (string, error) {
			return Call[string](ctx, s, "confirm", "delete?")
		})
		p, _ := r.join()
		p.send(`420["start"]`)
		p.want(`420["confirm","delete?"]`)
		p.send(`430["yes"]`)
		p.want(`430["yes"]`)
	})
}

// The acknowledgement stands behind more events than the queue takes.
func TestSemantics2CallBehindAFloodOfEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const limit = 10
		r := memory(t, Config{QueueEvents: limit})
		floods := 0
		On0(r.srv, "flood", func(context.Context, *Socket) error { floods++; return nil })
		OnAck0(r.srv, "start", func(ctx context.Context, s *Socket) (string, error) {
			return Call[string](ctx, s, "confirm")
		})
		OnAck0(r.srv, "floods", func(context.Context, *Socket) (int, error) { return floods, nil })
		p, _ := r.join()
		p.send(`420["start"]`)
		p.want(`420["confirm"]`)
		for range 15 * limit {
			p.send(`42["flood"]`)
		}
		p.send(`430["yes"]`, `421["floods"]`)
		p.want(`430["yes"]`, fmt.Sprintf(`431[%d]`, 15*limit))
	})
}

func TestSemantics3EmitNeverBlocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{WhenFull: DropWhenFull}
		cfg.Engine.SendBuffer = 1 << 20
		r := memory(t, cfg)
		_, s := r.join() // and never reads
		start := time.Now()
		big := strings.Repeat("x", 64<<10)
		var err error
		for n := 0; err == nil; n++ {
			if n > 100 {
				t.Fatal("no limit to what waits for a client that does not read")
			}
			err = s.Emit("big", big)
		}
		wantErr(t, err, ErrBufferFull)
		if err := s.Emit("bad", make(chan int)); err == nil || errors.Is(err, ErrBufferFull) {
			t.Errorf("got error %v for what cannot be encoded", err)
		}
		wantErr(t, s.Emit("connect"), ErrReservedEvent)
		wantErr(t, s.Namespace().Emit("disconnecting"), ErrReservedEvent)
		wantErr(t, s.Volatile().Emit("late"), ErrDropped)
		s.Conn().Discard("transport close")
		synctest.Wait()
		wantErr(t, s.Emit("gone"), ErrClosed)
		wantErr(t, s.Emit("gone"), net.ErrClosed)
		wantErr(t, s.Volatile().Emit("gone"), ErrClosed)
		if d := time.Since(start); d != 0 {
			t.Errorf("emitting took %v", d)
		}
	})
}

func TestSemantics4ContextEndsWithTheReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		causes := make(chan error, 3)
		On0(r.srv, "wait", func(ctx context.Context, s *Socket) error {
			<-ctx.Done()
			wantErr(t, ctx.Err(), context.Canceled)
			causes <- context.Cause(ctx)
			return nil
		})
		On0(r.srv, "call", func(ctx context.Context, s *Socket) error {
			// A context that knows nothing of the socket: the call fails all the same.
			_, err := Call[int](context.Background(), s, "ask")
			causes <- err
			return nil
		})
		p, s := r.join()
		p.send(`42["wait"]`, "41")
		wantFrom(t, causes, error(ClientDisconnect))
		if c := context.Cause(s.Context()); c != ClientDisconnect {
			t.Errorf("a context asked for later has the cause %v", c)
		}

		s = p.join("/")
		p.send(`42["call"]`)
		p.want(`420["ask"]`)
		start := time.Now()
		s.Disconnect(false)
		wantFrom(t, causes, error(ServerDisconnect))
		if d := time.Since(start); d != 0 {
			t.Errorf("the call hung for %v", d)
		}
		p.want("41")

		p.join("/")
		p.send(`42["wait"]`)
		synctest.Wait()
		p.close()
		err := receive(t, causes)
		wantErr(t, err, TransportClose)
		wantErr(t, err, ErrClosed)
		wantErr(t, err, net.ErrClosed)
	})
}

func TestSemantics5DecodedValuesBelongToTheHandler(t *testing.T) {
	type value struct {
		S   string
		Raw rawJSON
		B   []byte
		Any any
		M   map[string]string
	}
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		var kept []value
		var args [][]any
		var clones []*Message
		On(r.srv, "typed", func(_ context.Context, _ *Socket, v value) error { kept = append(kept, v); return nil })
		r.srv.Handle("raw", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
			a, err := m.Args()
			args = append(args, a)
			clones = append(clones, m.Clone())
			return err
		}))
		done := make(chan struct{})
		On0(r.srv, "done", func(context.Context, *Socket) error { close(done); return nil })
		p, _ := r.join()
		const n = 20
		body := func(i int) string {
			c := string(rune('a' + i))
			return `{"S":"` + c + c + `","Raw":["` + c + `"],"B":{"_placeholder":true,"num":0},"Any":["` + c + `"],"M":{"` + c + `":"` + c + `"}}`
		}
		for i := range n { // the same sizes again and again: buffers are reused
			c := string(rune('a' + i))
			p.send(`451-["typed",` + body(i) + `]`)
			p.sendBinary(c + c + c)
			p.send(`451-["raw",` + body(i) + `,"` + c + `"]`)
			p.sendBinary(c + c + c)
		}
		p.send(`42["done"]`)
		receive(t, done)
		for i := range n {
			c := string(rune('a' + i))
			want := fmt.Sprintf(`{%s%s ["%s"] %v [%s] map[%s:%s]}`, c, c, c, []byte(c+c+c), c, c, c)
			if got := fmt.Sprint(kept[i]); got != want {
				t.Errorf("kept %s, want %s", got, want)
			}
			want = fmt.Sprintf(`[map[Any:[%s] B:%v M:map[%s:%s] Raw:[%s] S:%s%s] %s]`, c, []byte(c+c+c), c, c, c, c, c, c)
			if got := fmt.Sprint(args[i]); got != want {
				t.Errorf("kept %s, want %s", got, want)
			}
			m := clones[i]
			var v value
			if m.Event() != "raw" || m.Len() != 2 || m.Attachments() != 1 || string(m.Raw(1)) != `"`+c+`"` {
				t.Errorf("clone changed: %q %d %d %q", m.Event(), m.Len(), m.Attachments(), m.Raw(1))
			}
			if err := m.Scan(&v); err != nil || !bytes.Equal(v.B, []byte(c+c+c)) || v.S != c+c {
				t.Errorf("clone decodes to %v, %v", v, err)
			}
		}
	})
}

// rawJSON keeps what it is given, as json.RawMessage does.
type rawJSON []byte

func (r *rawJSON) UnmarshalJSON(p []byte) error { *r = append((*r)[:0], p...); return nil }
func (r rawJSON) String() string                { return string(r) }

func TestSemantics6OnlyErrorTextReachesTheClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		fail := func(event string, err error) {
			OnAck0(r.srv, event, func(context.Context, *Socket) (int, error) { return 1, err })
		}
		fail("secret", errors.New("password is hunter2"))
		fail("told", &Error{Message: "room is full"})
		fail("data", &Error{Message: "room is full", Data: map[string]int{"max": 3}})
		fail("wrapped", fmt.Errorf("hunter2: %w", &Error{Message: "room is full"}))
		fail("baddata", &Error{Message: "room is full", Data: make(chan int)})
		p, _ := r.join()
		p.send(`421["secret"]`, `422["told"]`, `423["data"]`, `424["wrapped"]`, `425["baddata"]`)
		p.want(
			`431[{"error":{"message":"internal error"}}]`,
			`432[{"error":{"message":"room is full"}}]`,
			`433[{"error":{"message":"room is full","data":{"max":3}}}]`,
			`434[{"error":{"message":"room is full"}}]`,
			`435[{"error":{"message":"room is full"}}]`,
		)
		p.send(`42["secret"]`, `42["told"]`) // nobody to tell
		p.wantNothing()
		r.wantLog("handler failed", "event=secret", "hunter2")

		r.srv.Of("/closed").Use(func(context.Context, *Socket) error { return errors.New("password is hunter2") })
		r.srv.Of("/full").Use(func(context.Context, *Socket) error { return &Error{Message: "server is full"} })
		p.send(`40/closed,`, `40/full,`)
		got := []string{p.next().data, p.next().data}
		slices.Sort(got)
		if want := []string{`44/closed,{"message":"` + refusedText + `"}`, `44/full,{"message":"server is full"}`}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestSemantics6APanicCostsTheEventOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		OnAck0(r.srv, "panic", func(context.Context, *Socket) (int, error) { panic("hunter2") })
		OnAck0(r.srv, "nil", func(context.Context, *Socket) (int, error) { var s *Socket; return len(s.id), nil })
		OnAck0(r.srv, "fine", func(context.Context, *Socket) (string, error) { return "ok", nil })
		r.srv.HandleAny(HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
			if m.Event() == "any" {
				panic("in the catch-all")
			}
			return nil
		}))
		OnAck0(r.srv, "any", func(context.Context, *Socket) (string, error) { return "not answered twice", nil })
		p, _ := r.join()
		p.send(`421["panic"]`, `422["nil"]`, `42["panic"]`, `423["any"]`, `424["fine"]`)
		p.want(
			`431[{"error":{"message":"internal error"}}]`,
			`432[{"error":{"message":"internal error"}}]`,
			`433[{"error":{"message":"internal error"}}]`,
			`434["ok"]`,
		)
		r.wantLog("level=ERROR", "handler failed", "hunter2", "event=panic", "semantics_test.go")
	})
}

func TestSemantics6PanicsOfOtherUserCode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		ended := make(chan Reason, 1)
		r.srv.HandleAnyOutgoing(func(*Socket, string, []any) { panic("outgoing") })
		r.srv.OnDisconnect(func(*Socket, Reason) { panic("disconnect") })
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { ended <- reason })
		p, s := r.join()
		must(t, s.Emit("x"))
		must(t, r.srv.Emit("y"))
		p.want(`42["x"]`, `42["y"]`)
		p.close()
		wantFrom(t, ended, TransportClose)
		r.wantLog("outgoing handler failed")
		r.wantLog("disconnect handler failed")
	})
}

func TestSemantics7RegistrationPanicsNameBothPlaces(t *testing.T) {
	r := loopback(t, Config{})
	none := HandlerFunc(func(context.Context, *Socket, *Message) error { return nil })
	wantPanic := func(fn func(), parts ...string) {
		t.Helper()
		defer func() {
			t.Helper()
			text := fmt.Sprint(recover())
			for _, p := range parts {
				if strings.Count(text, p) != strings.Count(strings.Join(parts, ""), p) {
					t.Errorf("panic %q does not have %q as often as wanted", text, p)
				}
			}
		}()
		fn()
	}
	On0(r.srv, "twice", func(context.Context, *Socket) error { return nil })
	const here = "semantics_test.go:"
	wantPanic(func() { On(r.srv, "twice", func(context.Context, *Socket, int) error { return nil }) }, `"twice"`, here, here)
	wantPanic(func() { r.srv.Handle("twice", none) }, `"twice"`, here, here)
	wantPanic(func() { r.srv.Of("/").Handle("twice", none) }, `"twice"`, here, here)
	r.srv.Of("/other").Handle("twice", none) // another namespace, another table
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		wantPanic(func() { r.srv.Handle(name, none) }, `"`+name+`"`, "reserved", here)
	}
	wantPanic(func() { r.srv.Handle("nil", nil) }, `"nil"`, "nil handler", here)
	r.srv.HandleFallback(none)
	wantPanic(func() { r.srv.HandleFallback(none) }, "fallback", here, here)
	_, s := r.join()
	s.Handle("twice", none) // the socket's own, beside its namespace's
	wantPanic(func() { s.Handle("twice", none) }, `"twice"`, here, here)
	r.srv.Handle("error", none) // not reserved, whatever the client libraries do with it
	r.srv.Handle("connection", none)
}
