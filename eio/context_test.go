package eio

import (
	"context"
	"net/http"
	"testing"
)

type contextKey struct{}

// What the request's context holds is kept where it is asked for, on every way in.
func TestSessionContext(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		cancelled := make(chan context.CancelFunc, 10)
		r := d.open(t, Config{
			Middleware: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					ctx, cancel := context.WithCancel(r.Context())
					ctx = context.WithValue(ctx, contextKey{}, "by the middleware of "+r.URL.Query().Get("transport"))
					select {
					case cancelled <- cancel:
					default:
						cancel()
					}
					next.ServeHTTP(w, r.WithContext(ctx))
				})
			},
			SessionContext: func(r *http.Request) context.Context { return r.Context() },
		}, nil)
		check := func(s *Session, want string) {
			t.Helper()
			for len(cancelled) > 0 {
				(<-cancelled)()
			}
			h := s.Handshake()
			for what, ctx := range map[string]context.Context{"Context": h.Context(), "Request": h.Request().Context()} {
				if got := ctx.Value(contextKey{}); got != want || ctx.Err() != nil {
					t.Errorf("%s holds %v (%v), want %q", what, got, ctx.Err(), want)
				}
			}
		}
		r.do("GET", pollingPath, "")
		check(r.session(), "by the middleware of polling")
		r.websocket()
		check(r.session(), "by the middleware of websocket")
	})
}

// Without a middleware, the own listener has to send handshakes through net/http for the
// hook alone. A hook that returns nil keeps nothing.
func TestSessionContextAlone(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{SessionContext: func(r *http.Request) context.Context {
			if r.URL.Query().Has("none") {
				return nil
			}
			return context.WithValue(context.Background(), contextKey{}, r.Header.Get("X-Test")+r.Method)
		}}, nil)
		r.websocket()
		if got := r.session().Handshake().Context().Value(contextKey{}); got != "GET" {
			t.Errorf("got %v", got)
		}
		r.websocket("&none=1")
		if ctx := r.session().Handshake().Context(); ctx != context.Background() {
			t.Errorf("got %v, want the background context", ctx)
		}
	})
}

// An address that was given as text is still one, whatever its form.
func TestHandshakeAddress(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "http://example.com/engine.io/?EIO=4", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "[2001:db8::1]:40000"
	h := newHandshake(r, false)
	if got := h.RemoteAddr(); got != r.RemoteAddr {
		t.Errorf("RemoteAddr is %q", got)
	}
	if got := h.Request().RemoteAddr; got != r.RemoteAddr {
		t.Errorf("the request's is %q", got)
	}
	if got := new(Handshake).RemoteAddr(); got != "" {
		t.Errorf("without one it is %q", got)
	}
}
