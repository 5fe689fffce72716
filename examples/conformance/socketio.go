package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/sio"
)

// on registers a handler that gets the arguments undecoded.
func on(r sio.Registrar, event string, fn func(s *sio.Socket, m *sio.Message) error) {
	r.Handle(event, sio.HandlerFunc(func(_ context.Context, s *sio.Socket, m *sio.Message) error { return fn(s, m) }))
}

// reply registers a handler that emits something else in return.
func reply(r sio.Registrar, event, back string, args ...any) {
	on(r, event, func(s *sio.Socket, _ *sio.Message) error { return s.Emit(back, args...) })
}

func suiteSIO(o *options) (*eio.Server, *sio.Server, error) {
	c := o.anyOrigin()
	c.PingInterval, c.PingTimeout = 300*time.Millisecond, 200*time.Millisecond
	srv, err := sio.New(sio.Config{Engine: c, Parser: o.parser(), ConnectTimeout: time.Second, Logger: c.Logger})
	if err != nil {
		return nil, nil, err
	}
	for _, ns := range []*sio.Namespace{srv.Of("/"), srv.Of("/custom")} {
		ns.OnConnect(func(_ context.Context, s *sio.Socket) error { return s.Emit("auth", auth(s)) })
	}
	on(srv, "message", func(s *sio.Socket, m *sio.Message) error {
		args, err := m.Args()
		if err != nil {
			return err
		}
		return s.Emit("message-back", args...)
	})
	on(srv, "message-with-ack", ackArgs)
	return nil, srv, nil
}

// auth returns the auth payload, an empty object if there was none.
func auth(s *sio.Socket) any {
	v := map[string]any{}
	if err := s.Auth(&v); err != nil {
		return map[string]any{}
	}
	return v
}

// ackArgs acknowledges with the arguments.
func ackArgs(_ *sio.Socket, m *sio.Message) error {
	args, err := m.Args()
	if err != nil {
		return err
	}
	return m.Ack(args...)
}

func suiteProbe(o *options) (*eio.Server, *sio.Server, error) {
	if o.maxPayload == 0 {
		o.maxPayload = 2000
	}
	return suiteMatrix(o)
}

func suiteMatrix(o *options) (*eio.Server, *sio.Server, error) {
	c := o.base()
	c.UpgradeTimeout = 700 * time.Millisecond
	c.AllowRequest = refuseDeny
	engine, err := eio.NewServer(c, echo{})
	if err != nil {
		return nil, nil, err
	}
	srv, err := sio.New(sio.Config{Engine: c, Parser: o.parser(), ConnectTimeout: 600 * time.Millisecond, Logger: c.Logger})
	if err != nil {
		return nil, nil, err
	}
	dynamic := regexp.MustCompile(`^/dyn-\d+$`)
	for _, ns := range []*sio.Namespace{
		srv.Of("/"),
		srv.Of("/custom"),
		srv.OfFunc(func(_ context.Context, name string, _ *sio.Handshake) bool { return dynamic.MatchString(name) }),
	} {
		on(ns, "echo", func(s *sio.Socket, m *sio.Message) error {
			if m.HasAck() {
				return ackArgs(s, m)
			}
			args, err := m.Args()
			if err != nil {
				return err
			}
			return s.Emit("echo", args...)
		})
	}
	srv.Of("/denied").Use(func(context.Context, *sio.Socket) error {
		return &sio.Error{Message: "nope", Data: map[string]any{"a": 1}}
	})
	return engine, srv, nil
}

// jsTime is a time as JSON.stringify writes a Date.
func jsTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func suiteClientSIO(o *options) (*eio.Server, *sio.Server, error) {
	c := o.base()
	c.PingInterval = 2 * time.Second
	c.AllowRequest = func(r *http.Request) error {
		select {
		case <-time.After(10 * time.Millisecond): // the suite wants an answer that takes its time
		case <-r.Context().Done():
		}
		return nil
	}
	srv, err := sio.New(sio.Config{Engine: c, Parser: o.parser(), Recovery: new(sio.Recovery), Logger: c.Logger})
	if err != nil {
		return nil, nil, err
	}
	srv.Use(func(_ context.Context, s *sio.Socket) error {
		if s.Request().URL.Query().Get("fail") != "" {
			return &sio.Error{Message: "Auth failed (main namespace)"}
		}
		return nil
	})
	srv.Of("/no").Use(func(context.Context, *sio.Socket) error {
		return &sio.Error{Message: "Auth failed (custom namespace)"}
	})
	for _, name := range []string{"/timeout_socket", "/valid", "/asd"} {
		srv.Of(name)
	}
	getID := func(_ *sio.Socket, m *sio.Message) error { return m.Ack(m.Socket().ID()) }
	on(srv.Of("/foo"), "getId", getID)
	srv.Of("/abc").OnConnect(func(_ context.Context, s *sio.Socket) error {
		return s.Emit("handshake", s.Handshake().Info())
	})
	on(srv, "getId", getID)
	on(srv, "getHandshake", func(s *sio.Socket, m *sio.Message) error { return m.Ack(s.Handshake().Info()) })
	on(srv, "echo", ackArgs)
	reply(srv, "hi", "hi")
	reply(srv, "false", "false", false)
	clientAcks(srv)
	clientDates(srv)
	clientText(srv)
	clientBinary(srv)
	return nil, srv, nil
}

func clientAcks(srv *sio.Server) {
	sio.On0(srv, "ack", func(ctx context.Context, s *sio.Socket) error {
		type test struct {
			Test any `json:"test"`
		}
		// The client's next events must not wait for its answer, which in some
		// tests never comes.
		go func() {
			args, err := sio.Call[sio.Args](ctx, s, "ack")
			if err != nil {
				return
			}
			var n int
			var t test
			if args.Scan(&n, &t) == nil && n == 5 && t.Test != nil && t.Test != false {
				s.Emit("got it")
			}
		}()
		return nil
	})
}

func clientDates(srv *sio.Server) {
	on(srv, "getAckDate", func(_ *sio.Socket, m *sio.Message) error { return m.Ack(jsTime(time.Now())) })
	on(srv, "getDate", func(s *sio.Socket, _ *sio.Message) error { return s.Emit("takeDate", jsTime(time.Now())) })
	on(srv, "getDateObj", func(s *sio.Socket, _ *sio.Message) error {
		return s.Emit("takeDateObj", map[string]any{"date": jsTime(time.Now())})
	})
}

func clientText(srv *sio.Server) {
	on(srv, "getUtf8", func(s *sio.Socket, _ *sio.Message) error {
		for _, text := range []string{"てすと", "Я Б Г Д Ж Й", "Ä ä Ü ü ß", "utf8 — string", "utf8 — string"} {
			if err := s.Emit("takeUtf8", text); err != nil {
				return err
			}
		}
		return nil
	})
}

// binaryObject is what the client's binary tests send.
type binaryObject struct {
	Hello   string `json:"hello"`
	Message []byte `json:"message"`
	Goodbye string `json:"goodbye"`
}

func clientBinary(srv *sio.Server) {
	doge := []byte("asdfasdf")
	reply(srv, "doge", "doge", doge)
	reply(srv, "getbin", "takebin", doge)

	bin := func(event, back string) {
		sio.On(srv, event, func(_ context.Context, s *sio.Socket, data []byte) error {
			if data == nil {
				return fmt.Errorf("%s: argument is not binary", event)
			}
			if back == "" {
				return nil
			}
			return s.Emit(back)
		})
	}
	bin("buffa", "buffack")
	bin("blob", "back")
	on(srv, "abuff1", func(s *sio.Socket, _ *sio.Message) error { s.SetData("abuff1"); return nil })
	on(srv, "abuff2", func(s *sio.Socket, _ *sio.Message) error {
		if s.Data() != "abuff1" {
			return fmt.Errorf("abuff2 out of order")
		}
		return s.Emit("abuff2-ack")
	})
	object := func(event, back string) {
		sio.On(srv, event, func(_ context.Context, s *sio.Socket, o binaryObject) error {
			if o.Hello != "lol" || o.Goodbye != "gotcha" || !bytes.Equal(o.Message, doge) && len(o.Message) == 0 {
				return fmt.Errorf("%s: unexpected content", event)
			}
			return s.Emit(back)
		})
	}
	object("jsonbuff", "jsonbuff-ack")
	object("jsonblob", "jsonblob-ack")
	// Three events that must arrive in this order.
	on(srv, "blob1", func(s *sio.Socket, _ *sio.Message) error { s.SetData(1); return nil })
	on(srv, "blob2", func(s *sio.Socket, m *sio.Message) error {
		var text string
		if err := m.Scan(&text); err != nil || text != "second" || s.Data() != 1 {
			return fmt.Errorf("blob2 out of order: %v", err)
		}
		s.SetData(2)
		return nil
	})
	on(srv, "blob3", func(s *sio.Socket, _ *sio.Message) error {
		if s.Data() != 2 {
			return fmt.Errorf("blob3 out of order")
		}
		return s.Emit("blob3-ack")
	})
}
