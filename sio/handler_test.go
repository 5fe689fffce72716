package sio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

func TestCatchAllsRunFirstAndInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 10)
		tell := func(what string, err error) Handler {
			return HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { seen <- what + " " + m.Event(); return err })
		}
		r.srv.Handle("x", tell("handler", nil))
		r.srv.HandleAny(tell("any1", errors.New("logged only")))
		r.srv.HandleAny(tell("any2", nil))
		r.srv.HandleFallback(tell("fallback", nil))
		p, _ := r.join()
		p.send(`42["x"]`, `42["y"]`)
		wantFrom(t, seen, "any1 x", "any2 x", "handler x", "any1 y", "any2 y", "fallback y")
		p.send(`430[]`) // acknowledgements are no events
		wantNone(t, seen)
	})
}

func TestWrap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 20)
		layer := func(name string) func(Handler) Handler {
			return func(next Handler) Handler {
				return HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
					seen <- name + " in"
					defer func() { seen <- name + " out" }()
					if m.Event() == "refused" && name == "b" {
						return &Error{Message: "refused by b"}
					}
					return next.Handle(ctx, s, m)
				})
			}
		}
		say := func(context.Context, *Socket) (int, error) { seen <- "handler"; return 1, nil }
		r.srv.Wrap(layer("a"))
		OnAck0(r.srv, "between", say) // wraps apply whenever they are added
		r.srv.Wrap(layer("b"))
		OnAck0(r.srv, "after", say)
		OnAck0(r.srv, "refused", say)
		r.srv.HandleAny(HandlerFunc(func(context.Context, *Socket, *Message) error { seen <- "any"; return nil }))
		p, s := r.join()
		OnAck0(s, "own", say)
		for _, event := range []string{"between", "after", "own"} {
			p.send(`421["` + event + `"]`)
			p.want(`431[1]`)
			wantFrom(t, seen, "any", "a in", "b in", "handler", "b out", "a out")
		}
		p.send(`421["refused"]`)
		p.want(`431[{"error":{"message":"refused by b"}}]`)
		wantFrom(t, seen, "any", "a in", "b in", "b out", "a out")
		p.send(`42["unknown"]`) // wraps see what nobody handles, too
		wantFrom(t, seen, "any", "a in", "b in", "b out", "a out")
		r.srv.HandleFallback(HandlerFunc(func(context.Context, *Socket, *Message) error { seen <- "fallback"; return nil }))
		p.send(`42["unknown"]`)
		wantFrom(t, seen, "any", "a in", "b in", "fallback", "b out", "a out")
	})
}

// A wrap is put around the handlers when they are registered, not for every event.
func TestWrapIsNotMadeForEveryEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		made, seen := 0, make(chan string, 10)
		r.srv.Wrap(func(next Handler) Handler {
			made++
			return HandlerFunc(func(ctx context.Context, s *Socket, m *Message) error {
				seen <- m.Event()
				return next.Handle(ctx, s, m)
			})
		})
		before := made
		p, _ := r.join()
		for range 3 {
			p.send(`42["unknown"]`)
			wantFrom(t, seen, "unknown")
		}
		if made != before {
			t.Errorf("made %d times more for 3 events", made-before)
		}
	})
}

func TestHandlersOfASocketGoFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		say := func(what string) func(context.Context, *Socket) (string, error) {
			return func(context.Context, *Socket) (string, error) { return what, nil }
		}
		OnAck0(r.srv, "both", say("namespace"))
		OnAck0(r.srv, "shared", say("namespace"))
		r.srv.OnConnect(func(_ context.Context, s *Socket) error {
			if s.Handshake().Request().URL.Query().Has("own") {
				OnAck0(s, "both", say("socket"))
				OnAck0(s, "only", say("socket"))
			}
			return nil
		})
		p := r.websocketWith("&own=1", "")
		p.join("/")
		q, _ := r.join()
		p.send(`421["both"]`, `422["shared"]`, `423["only"]`)
		p.want(`431["socket"]`, `432["namespace"]`, `433["socket"]`)
		q.send(`421["both"]`, `423["only"]`, `422["shared"]`)
		q.want(`431["namespace"]`, `432["namespace"]`) // nobody answers "only"
	})
}

func TestHandlersMayBeAddedAnyTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		OnAck0(r.srv, "add", func(_ context.Context, s *Socket) (int, error) {
			OnAck0(s.Server(), "new", func(context.Context, *Socket) (int, error) { return 2, nil })
			return 1, nil
		})
		p, _ := r.join()
		p.send(`421["add"]`, `422["new"]`)
		p.want(`431[1]`, `432[2]`)
	})
	t.Run("concurrently", func(t *testing.T) {
		r := loopback(t, Config{})
		p, s := r.join()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for j := range 25 {
					On0(r.srv, fmt.Sprint("n", i, j), func(context.Context, *Socket) error { return nil })
					On0(s, fmt.Sprint("s", i, j), func(context.Context, *Socket) error { return nil })
				}
			})
		}
		for range 50 {
			p.send(`42["n00"]`, `42["s00"]`)
		}
		wg.Wait()
		if n, m := len(r.srv.table().load().events), len(s.table().load().events); n != 100 || m != 100 {
			t.Errorf("%d and %d handlers, want 100", n, m)
		}
	})
}

func TestHandleAnyOutgoing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 10)
		r.srv.HandleAnyOutgoing(func(s *Socket, event string, args []any) { seen <- fmt.Sprint(s.Data(), event, args) })
		OnAck0(r.srv, "ask", func(context.Context, *Socket) (int, error) { return 1, nil })
		peers, sockets := r.clients(3)
		for i, s := range sockets {
			s.SetData(string(rune('a' + i)))
		}
		wantSet := func(want ...string) {
			t.Helper()
			left := make(map[string]int)
			for _, w := range want {
				left[w]++
			}
			for range want {
				left[receive(t, seen)]--
			}
			for w, n := range left {
				if n != 0 {
					t.Errorf("%q: %d too few", w, n)
				}
			}
			wantNone(t, seen)
		}
		must(t, sockets[0].Emit("x", 1, "y"))
		wantSet("ax[1 y]")
		must(t, r.srv.Emit("all"))
		wantSet("aall[]", "ball[]", "call[]")
		must(t, sockets[0].Broadcast().Emit("others", 2))
		wantSet("bothers[2]", "cothers[2]")
		must(t, r.srv.To("nobody").Emit("none"))
		peers[0].want(`42["x",1,"y"]`, `42["all"]`)
		peers[0].send(`421["ask"]`) // its answer is no event
		peers[0].want(`431[1]`)
		wantNone(t, seen)
		go func() {
			for range Gather[int](context.Background(), r.srv.To(sockets[1].ID()), "q") {
			}
		}()
		wantSet("bq[]")
		peers[1].want(`42["all"]`, `42["others",2]`, `420["q"]`)
		peers[1].send(`430[]`)
	})
}

func TestServerStandsForTheRootNamespace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		if r.srv.Of("/") != r.srv.root || r.srv.Of("") != r.srv.root {
			t.Error("the server should stand for /")
		}
		p, s := r.join()
		if r.srv.Socket(s.ID()) != s || s.Server() != r.srv || s.Namespace() != r.srv.root || s.Transport() != s.Conn().Transport() {
			t.Error("the socket should be found")
		}
		must(t, s.Join("room"))
		for i, send := range []Target{
			r.srv.All(), r.srv.To("room"), r.srv.In("room"), r.srv.Except("other"), r.srv.Local(), r.srv.Volatile(),
			r.srv.Timeout(1), r.srv.Compress(false), r.srv.root.In("room"), r.srv.root.Compress(true), r.srv.root.Timeout(1),
			r.srv.root.Except(), r.srv.root.Local(), r.srv.root.Volatile(), s.Compress(true), s.Volatile(), s.Timeout(1),
		} {
			must(t, send.Emit("n", i))
			p.want(fmt.Sprintf(`42["n",%d]`, i))
		}
		for _, none := range []Target{
			r.srv.To("x"), r.srv.In("x"), r.srv.Except("room"), r.srv.Except(s.ID()), s.To("room"), s.In("room"),
			s.Except("x"), s.Broadcast(), s.Local(), s.Timeout(1).Broadcast(), s.Volatile().To("room"),
		} {
			must(t, none.Emit("none"))
		}
		p.wantNothing()
		n := 0
		for range r.srv.Sockets() {
			n++
		}
		for range s.Timeout(1).Sockets() {
			n++
		}
		if n != 2 {
			t.Errorf("%d sockets, want 2", n)
		}
	})
}
