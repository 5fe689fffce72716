package main

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"sync"

	"github.com/epio-go/epio/sio"
)

// api registers what changes a server while it runs: handlers that come and go, namespaces that are made and deleted.
func api(srv *sio.Server, out *reporter) {
	ns := srv.Of("/api")
	common(ns, out)
	srv.OnNamespace(func(n *sio.Namespace) { out.report(map[string]any{"event": "namespace", "name": n.Name()}) })

	// Handlers of the socket that asks for them. Each answers "<event> of <name>".
	var mu sync.Mutex
	registered := sio.NewKey[map[string]*sio.Registration]("registered")
	remember := func(s *sio.Socket, event string, r *sio.Registration) {
		mu.Lock()
		defer mu.Unlock()
		registered.GetOrSet(s, func() map[string]*sio.Registration { return make(map[string]*sio.Registration) })[event] = r
	}
	sio.OnAck2(ns, "on", func(_ context.Context, s *sio.Socket, event, name string) (bool, error) {
		remember(s, event, sio.OnAck0(s, event, func(context.Context, *sio.Socket) (string, error) { return event + " of " + name, nil }))
		return true, nil
	})
	sio.OnAck2(ns, "once", func(_ context.Context, s *sio.Socket, event, name string) (bool, error) {
		sio.OnAck0(sio.Once(s), event, func(context.Context, *sio.Socket) (string, error) { return event + " of " + name, nil })
		return true, nil
	})
	sio.OnAck(ns, "off", func(_ context.Context, s *sio.Socket, event string) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		list, err := registered.Require(s)
		if err != nil {
			return false, err
		}
		list[event].Off()
		return true, nil
	})
	ns.HandleFallback(sio.HandlerFunc(func(_ context.Context, _ *sio.Socket, m *sio.Message) error { return m.Ack("nobody") }))

	// A middleware of this socket alone refuses every event with the given first argument.
	sio.OnAck(ns, "refuse", func(_ context.Context, s *sio.Socket, word string) (bool, error) {
		s.Wrap(func(next sio.Handler) sio.Handler {
			return sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
				var first any
				if m.Len() > 0 && m.Decode(0, &first) == nil && first == word {
					return &sio.Error{Message: "refused", Data: word}
				}
				return next.Handle(ctx, s, m)
			})
		})
		return true, nil
	})
	sio.OnAck0(ns, "watch", func(_ context.Context, s *sio.Socket) (bool, error) {
		s.OnError(func(s *sio.Socket, err error) {
			kind := "other"
			if _, ok := errors.AsType[*sio.EventError](err); ok {
				kind = "event"
			} else if _, ok := errors.AsType[*sio.ViolationError](err); ok {
				kind = "violation"
			}
			out.report(map[string]any{"event": "error", "id": s.ID(), "kind": kind})
		})
		return true, nil
	})

	sio.OnAck0(ns, "messages", func(_ context.Context, s *sio.Socket) (bool, error) {
		return true, errors.Join(s.Send("to one", 1), s.Within(s.ID()).Send("to many", 2), ns.Send())
	})
	sio.On(ns, "message", func(_ context.Context, s *sio.Socket, text string) error { return s.Send("got " + text) })

	// The socket itself, as FetchSockets finds it.
	sio.OnAck0(ns, "remote", func(ctx context.Context, s *sio.Socket) (any, error) {
		if err := s.Join("found"); err != nil {
			return nil, err
		}
		s.SetData(map[string]any{"score": 7})
		all, err := ns.To("found").FetchSockets(ctx)
		if err != nil {
			return nil, err
		}
		if len(all) != 1 {
			return len(all), nil
		}
		r := all[0]
		answer, err := sio.Call[string](ctx, r, "ask", "remote")
		return map[string]any{"socket": r, "answer": answer}, errors.Join(err, r.Leave("found"))
	})
	sio.OnAck0(ns, "allRooms", func(ctx context.Context, s *sio.Socket) ([]string, error) { return s.Within(s.ID()).Rooms(ctx) })
	sio.OnAck0(ns, "leaveAll", func(_ context.Context, s *sio.Socket) ([]string, error) {
		s.LeaveAll()
		return s.Rooms(), nil
	})
	sio.OnAck0(ns, "user", func(ctx context.Context, _ *sio.Socket) (any, error) { return ctx.Value(userKey{}), nil })

	// Namespaces, made and deleted by name.
	sio.OnAck(ns, "make", func(_ context.Context, _ *sio.Socket, name string) (bool, error) {
		common(srv.Of(name), out)
		return true, nil
	})
	remove := func(name string) error {
		n := srv.Namespace(name)
		if n == nil {
			return &sio.Error{Message: "no namespace " + name}
		}
		return n.Delete()
	}
	sio.OnAck(ns, "delete", func(_ context.Context, _ *sio.Socket, name string) (bool, error) { return true, remove(name) })
	dynamic := srv.OfRegexp(regexp.MustCompile(`^/dynamic-(?P<id>\d+)$`))
	common(dynamic, out)
	sio.OnAck0(dynamic, "id", func(_ context.Context, s *sio.Socket) (string, error) { return s.PathValue("id"), nil })
	sio.On0(dynamic, "delete", func(_ context.Context, s *sio.Socket) error { return s.Namespace().Delete() })
}

type userKey struct{}

// user is the context of a session: who the client says it is.
func user(r *http.Request) context.Context {
	return context.WithValue(context.Background(), userKey{}, r.Header.Get("X-User"))
}
