package sio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/codec"
)

func TestServerSideEmit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		servers := cluster(t, 3, Config{})
		seen := make(chan string, 100)
		type point struct{ X, Y int }
		for i, r := range servers {
			OnServer(r.srv, "point", func(_ context.Context, p point) error {
				seen <- fmt.Sprintf("%d %v", i, p)
				return nil
			})
			r.srv.HandleServer("many", func(_ context.Context, e *ServerEvent) error {
				var n int
				var text string
				var missing bool
				if err := e.Scan(&n, &text, &missing); err != nil {
					return err
				}
				seen <- fmt.Sprintf("%d %s %s %d %v %d %s %v %v", i, e.Event(), e.Namespace().Name(), e.Len(), e.Args(), n, text, missing, e.HasAck())
				e.Ack("nobody wants it")
				return nil
			})
		}
		here := servers[1].srv
		both := func(want string) {
			t.Helper()
			got := []string{receive(t, seen), receive(t, seen)}
			if slices.Sort(got); got[0] != "0 "+want || got[1] != "2 "+want {
				t.Errorf("got %q, want %q from two servers", got, want)
			}
		}
		must(t, here.ServerSide().Emit("point", point{1, 2}))
		both("{1 2}")
		must(t, here.ServerSide().Emit("many", 7, "seven"))
		both("many / 2 [7 seven] 7 seven false false")
		must(t, here.ServerSide().Emit("unheard"))
		must(t, here.ServerSide().Emit("point", "not a point"))
		synctest.Wait()
		servers[0].wantLog("server-side listener failed", "point", "codec: argument 0")
		wantNone(t, seen)
		for _, name := range []string{"connect", "connection", "new_namespace"} {
			wantErr(t, here.ServerSide().Emit(name), ErrReservedEvent)
			_, err := here.ServerSide().Call(context.Background(), name)
			wantErr(t, err, ErrReservedEvent)
		}
	})
}

// Events reach the same namespace of the other servers; those to a parent reach its
// children.
func TestServerSideOfNamespaces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		servers := cluster(t, 2, Config{})
		seen := make(chan string, 10)
		for _, r := range servers {
			r.srv.Of("/chat").HandleServer("x", func(_ context.Context, e *ServerEvent) error {
				seen <- e.Namespace().Name()
				return nil
			})
			r.srv.Of("/t/{id}").HandleServer("x", func(_ context.Context, e *ServerEvent) error {
				seen <- e.Namespace().Name()
				return nil
			})
			p := r.websocket()
			p.join("/t/1")
			p.join("/t/2")
		}
		must(t, servers[0].srv.ServerSide().Emit("x"))
		must(t, servers[0].srv.Of("/chat").ServerSide().Emit("x"))
		wantFrom(t, seen, "/chat")
		must(t, servers[0].srv.Of("/t/{id}").ServerSide().Emit("x"))
		got := receive(t, seen) + receive(t, seen)
		if got != "/t/1/t/2" && got != "/t/2/t/1" {
			t.Errorf("got %s", got)
		}
		wantNone(t, seen)
	})
}

func TestServerSideCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := context.Background()
		servers := cluster(t, 3, Config{AckTimeout: 3 * time.Second})
		mute := false
		for i, r := range servers {
			OnServerAck(r.srv, "add", func(_ context.Context, n int) (int, error) { return 10*i + n, nil })
			OnServerAck(r.srv, "mixed", func(context.Context, None) (any, error) {
				if i == 0 {
					return "text", nil
				}
				return i, nil
			})
			r.srv.HandleServer("twice", func(_ context.Context, e *ServerEvent) error {
				if mute && i == 2 {
					return nil
				}
				if !e.HasAck() {
					t.Error("no answer is wanted")
				}
				e.Ack(i)
				e.Ack("only the first answer counts")
				if e.HasAck() {
					t.Error("an answer is still wanted")
				}
				return nil
			})
		}
		here := servers[1].srv
		sum := func(all []int) (n int) {
			for _, v := range all {
				n += v
			}
			return n
		}
		all, err := CallServers[int](ctx, here.ServerSide(), "add", 1)
		if err != nil || len(all) != 2 || sum(all) != 22 {
			t.Errorf("got %v %v, want 1 and 21", all, err)
		}
		all, err = CallServers[int](ctx, here.ServerSide(), "twice")
		if err != nil || len(all) != 2 || sum(all) != 2 {
			t.Errorf("got %v %v, want 0 and 2", all, err)
		}
		all, err = CallServers[int](ctx, here.ServerSide(), "mixed")
		if e, ok := errors.AsType[*codec.DecodeError](err); !ok || len(all) != 1 || all[0] != 2 {
			t.Errorf("got %v %v (%v), want 2 and a *codec.DecodeError", all, err, e)
		}

		mute = true
		for _, test := range []struct {
			what string
			side ServerSide
			ctx  func() (context.Context, context.CancelFunc)
			want time.Duration
			is   error
		}{
			{"Config.AckTimeout", here.ServerSide(), nil, 3 * time.Second, ErrAckTimeout},
			{"Timeout", here.ServerSide().Timeout(time.Second), nil, time.Second, ErrAckTimeout},
			{"a deadline", here.ServerSide(), func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 7*time.Second)
			}, 7 * time.Second, context.DeadlineExceeded},
			{"Timeout before a deadline", here.ServerSide().Timeout(time.Second), func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 7*time.Second)
			}, time.Second, ErrAckTimeout},
		} {
			c, cancel := ctx, context.CancelFunc(func() {})
			if test.ctx != nil {
				c, cancel = test.ctx()
			}
			start := time.Now()
			got, err := test.side.Call(c, "twice")
			cancel()
			if took := time.Since(start); took != test.want || !errors.Is(err, test.is) || len(got) != 1 || got[0] != 0.0 {
				t.Errorf("%s: got %v %v after %v, want the answer there is and %v after %v", test.what, got, err, took, test.is, test.want)
			}
		}
	})
}

func TestServerSideAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.srv.HandleServer("x", func(context.Context, *ServerEvent) error { t.Error("heard itself"); return nil })
		must(t, r.srv.ServerSide().Emit("x"))
		start := time.Now()
		all, err := CallServers[int](context.Background(), r.srv.ServerSide(), "x")
		if len(all) != 0 || err != nil || time.Since(start) != 0 {
			t.Errorf("got %v %v", all, err)
		}
	})
}

// Listeners are called in the order of the events, one at a time, and never hold up the
// adapter.
func TestServerEventsRunInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		servers := cluster(t, 2, Config{})
		seen, open := make(chan int, 100), make(chan struct{})
		OnServer(servers[0].srv, "n", func(_ context.Context, n int) error {
			<-open
			seen <- n
			if n == 3 {
				panic("asked for")
			}
			return nil
		})
		for n := range 50 {
			must(t, servers[1].srv.ServerSide().Emit("n", n)) // would hang otherwise
		}
		wantNone(t, seen)
		close(open)
		for n := range 50 {
			wantFrom(t, seen, n)
		}
		servers[0].wantLog("server-side listener failed", "asked for", "stack=")
	})
}

func TestTooManyServerEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		n, open := 0, make(chan struct{})
		r.srv.HandleServer("x", func(context.Context, *ServerEvent) error { <-open; n++; return nil })
		h := (*host)(r.srv.Of("/"))
		h.ServerEvent("x", nil, nil)
		synctest.Wait() // it is being handled
		for range maxServerEvents + 7 {
			h.ServerEvent("x", nil, nil)
		}
		r.wantLog("server-side event dropped")
		close(open)
		synctest.Wait()
		if n != 1+maxServerEvents {
			t.Errorf("%d were handled, want %d", n, 1+maxServerEvents)
		}
	})
}

func TestListenersForServersComeOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		servers := cluster(t, 2, Config{})
		seen := make(chan string, 10)
		listen := func(what string) *Registration {
			return servers[0].srv.HandleServer("x", func(context.Context, *ServerEvent) error { seen <- what; return nil })
		}
		first := listen("first")
		for what, register := range map[string]func(){
			"registered at": func() { listen("second") },
			"is reserved": func() {
				servers[0].srv.HandleServer("connection", func(context.Context, *ServerEvent) error { return nil })
			},
			"nil listener": func() { servers[0].srv.HandleServer("y", nil) },
		} {
			func() {
				defer func() {
					if text := fmt.Sprint(recover()); !strings.Contains(text, what) || !strings.Contains(text, "serverevent_test.go:") {
						t.Errorf("panics with %q, want %q and the place", text, what)
					}
				}()
				register()
			}()
		}
		emit := func() { must(t, servers[1].srv.ServerSide().Emit("x")) }
		emit()
		wantFrom(t, seen, "first")
		first.Off()
		emit()
		wantNone(t, seen)
		listen("third")
		first.Off()
		emit()
		wantFrom(t, seen, "third")
	})
}

// Shutdown waits for a listener, and its context ends when that takes too long.
func TestShutdownWaitsForListeners(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		entered, ended := make(chan struct{}, 2), make(chan error, 2)
		r.srv.HandleServer("x", func(ctx context.Context, e *ServerEvent) error {
			entered <- struct{}{}
			<-ctx.Done()
			ended <- ctx.Err()
			return nil
		})
		(*host)(r.srv.Of("/")).ServerEvent("x", nil, nil)
		receive(t, entered)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		wantErr(t, r.srv.Shutdown(ctx), context.DeadlineExceeded)
		if time.Since(start) != time.Second {
			t.Errorf("waited %v", time.Since(start))
		}
		wantErr(t, receive(t, ended), context.Canceled)
		(*host)(r.srv.Of("/")).ServerEvent("x", nil, nil) // too late
		wantNone(t, entered)
	})
}

var _ adapter.Host = (*host)(nil)
