package sio

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/epio-go/epio/eio"
)

func TestKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		_, sockets := r.clients(2)
		s, other := sockets[0], sockets[1]
		name, twin := NewKey[string]("name"), NewKey[string]("name")
		number := NewKey[int]("number")
		problem := NewKey[error]("problem")
		for _, h := range []Holder{s, r.srv, r.srv.Of("/chat")} {
			if v, ok := name.Get(h); v != "" || ok || Values(h) != 0 {
				t.Errorf("%T: %q %v before anything was set", h, v, ok)
			}
			if _, deleted := name.Delete(h); deleted {
				t.Errorf("%T: deleted what was not there", h)
			}
			ClearValues(h)
			if old, replaced := name.Set(h, "a"); old != "" || replaced {
				t.Errorf("%T: the first Set replaced %q", h, old)
			}
			if old, replaced := name.Set(h, "b"); old != "a" || !replaced {
				t.Errorf("%T: the second Set replaced %q, %v", h, old, replaced)
			}
			if _, ok := twin.Get(h); ok {
				t.Errorf("%T: a key of the same name finds the value", h)
			}
			number.Set(h, 0)
			if v, ok := number.Get(h); v != 0 || !ok || Values(h) != 2 {
				t.Errorf("%T: got %d %v, %d values", h, v, ok, Values(h))
			}
			if v, err := name.Require(h); v != "b" || err != nil {
				t.Errorf("%T: got %q %v", h, v, err)
			}
			if old, deleted := name.Delete(h); old != "b" || !deleted {
				t.Errorf("%T: deleted %q %v", h, old, deleted)
			}
			_, err := name.Require(h)
			if e, ok := errors.AsType[*KeyError](err); !ok || e.Key != "name" || e.Error() != `sio: no "name" in `+e.Holder {
				t.Errorf("%T: got %v, want a *KeyError", h, err)
			}
			made := 0
			for range 2 {
				if v := twin.GetOrSet(h, func() string { made++; return "made" }); v != "made" || made != 1 {
					t.Errorf("%T: got %q, made %d times", h, v, made)
				}
			}
			problem.Set(h, nil) // a value like any other
			if v, ok := problem.Get(h); v != nil || !ok {
				t.Errorf("%T: got %v %v, want nil that was set", h, v, ok)
			}
			ClearValues(h)
			if _, ok := twin.Get(h); ok || Values(h) != 0 {
				t.Errorf("%T: values after ClearValues", h)
			}
		}
		if name.String() != "name" {
			t.Error("a key has its name")
		}
		name.Set(s, "mine")
		if _, ok := name.Get(other); ok {
			t.Error("one socket has the value of another")
		}
		s.Disconnect(false)
		if v, _ := name.Get(s); v != "mine" {
			t.Error("the value is gone before the socket")
		}
	})
}

func TestKeysFromManyGoroutines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		_, s := r.join()
		count := NewKey[*[]int]("count")
		var wg sync.WaitGroup
		var same sync.Map
		for i := range 16 {
			wg.Go(func() {
				same.Store(count.GetOrSet(s, func() *[]int {
					for range 100 {
						runtime.Gosched() // the others find nothing, either
					}
					return new([]int)
				}), true)
				k := NewKey[int](strconv.Itoa(i))
				for n := range 100 {
					k.Set(s, n)
					if v, ok := k.Get(s); v != n || !ok {
						t.Errorf("got %d %v, want %d", v, ok, n)
					}
				}
			})
		}
		wg.Wait()
		n := 0
		same.Range(func(any, any) bool { n++; return true })
		if n != 1 || Values(s) != 17 {
			t.Errorf("%d values made, %d kept", n, Values(s))
		}
	})
}

type outerKey struct{}

// What a middleware around the server puts on the request's context is seen by the
// middlewares and handlers of sockets, over both ways in.
func TestValuesOfTheRequestsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Engine: eio.Config{
			Middleware: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx := context.WithValue(r.Context(), outerKey{}, "user "+r.URL.Query().Get("user"))
					next.ServeHTTP(w, r.WithContext(ctx))
				})
			},
			SessionContext: func(r *http.Request) context.Context { return r.Context() },
		}})
		seen := make(chan any, 10)
		r.srv.Use(func(ctx context.Context, s *Socket) error {
			seen <- ctx.Value(outerKey{})
			seen <- s.Request().Context().Value(outerKey{})
			return nil
		})
		OnAck0(r.srv, "who", func(ctx context.Context, s *Socket) (any, error) { return ctx.Value(outerKey{}), nil })
		p := r.websocketWith("&user=ann", "")
		s := p.join("/")
		wantFrom(t, seen, any("user ann"), any("user ann"))
		p.send(`421["who"]`)
		p.want(`431["user ann"]`)
		s.Disconnect(false)
		if context.Cause(s.Context()) != ServerDisconnect || s.Context().Value(outerKey{}) != "user ann" {
			t.Errorf("%v, %v after the disconnect", context.Cause(s.Context()), s.Context().Value(outerKey{}))
		}
		q := r.polling()
		q.join("/")
		wantFrom(t, seen, any("user "), any("user "))
	})
}
