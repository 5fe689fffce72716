package main

import (
	"context"
	"errors"

	"github.com/epio-go/epio/sio"
)

// common registers what several namespaces have.
func common(ns *sio.Namespace, out *reporter) {
	ns.OnDisconnect(func(s *sio.Socket, r sio.Reason) {
		out.report(map[string]any{"event": "disconnect", "id": s.ID(), "reason": r, "rooms": s.Rooms()})
	})
	ns.Handle("echoAck", sio.HandlerFunc(func(_ context.Context, _ *sio.Socket, m *sio.Message) error {
		args, err := m.Args()
		if err != nil {
			return err
		}
		return m.Ack(args...)
	}))
	sio.OnAck0(ns, "where", func(_ context.Context, s *sio.Socket) (string, error) { return s.Namespace().Name(), nil })
	rooms := func(m *sio.Message) ([]string, error) {
		names := make([]string, m.Len())
		for i := range names {
			if err := m.Decode(i, &names[i]); err != nil {
				return nil, err
			}
		}
		return names, nil
	}
	ns.Handle("join", sio.HandlerFunc(func(_ context.Context, s *sio.Socket, m *sio.Message) error {
		names, err := rooms(m)
		if err != nil {
			return err
		}
		if err := s.Join(names...); err != nil {
			return err
		}
		return m.Ack(true)
	}))
	ns.Handle("leave", sio.HandlerFunc(func(_ context.Context, s *sio.Socket, m *sio.Message) error {
		names, err := rooms(m)
		if err != nil {
			return err
		}
		s.Leave(names...)
		return m.Ack(true)
	}))
	sio.OnAck0(ns, "rooms", func(_ context.Context, s *sio.Socket) ([]string, error) { return s.Rooms(), nil })
}

// namespaces registers all but the main one.
func namespaces(srv *sio.Server, out *reporter) {
	chat := srv.Of("/chat")
	common(chat, out)
	chat.OnConnect(func(_ context.Context, s *sio.Socket) error { return s.Emit("welcome", s.ID()) })
	sio.OnAck(chat, "blast", func(_ context.Context, _ *sio.Socket, data []byte) (bool, error) {
		return true, chat.Emit("blob", data)
	})

	// Lets in who says {token: "secret"}.
	auth := srv.Of("/auth")
	auth.Use(func(_ context.Context, s *sio.Socket) error {
		var credentials struct {
			Token string `json:"token"`
		}
		if err := s.Auth(&credentials); err != nil {
			return err
		}
		switch credentials.Token {
		case "secret":
			s.SetData(credentials.Token)
			return nil
		case "internal":
			return errors.New("the database has gone")
		default:
			return &sio.Error{Message: "not allowed", Data: map[string]any{"code": 401, "hint": "ask for a token"}}
		}
	})
	sio.OnAck0(auth, "whoami", func(_ context.Context, s *sio.Socket) (any, error) { return s.Data(), nil })

	tenant := srv.Of("/tenant/{id}")
	common(tenant, out)
	sio.OnAck0(tenant, "tenant", func(_ context.Context, s *sio.Socket) (string, error) { return s.PathValue("id"), nil })

	// Sees every event, and answers those it does not know.
	all := srv.Of("/any")
	forward := func(s *sio.Socket, as string, m *sio.Message) error {
		args, err := m.Args()
		if err != nil {
			return err
		}
		return s.Emit(as, append([]any{m.Event()}, args...)...)
	}
	all.HandleAny(sio.HandlerFunc(func(_ context.Context, s *sio.Socket, m *sio.Message) error {
		return forward(s, "any", m)
	}))
	all.HandleFallback(sio.HandlerFunc(func(_ context.Context, s *sio.Socket, m *sio.Message) error {
		if err := forward(s, "fallback", m); err != nil {
			return err
		}
		return m.Ack("fallback of " + m.Event())
	}))
	sio.OnAck0(all, "known", func(context.Context, *sio.Socket) (string, error) { return "known", nil })
}
