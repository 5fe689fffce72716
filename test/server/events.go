package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/epio-go/epio/sio"
)

// target is the JSON form of a selection of sockets:
//
//	{"from":"server","to":["room"],"except":["id"],"local":true,"volatile":true,"noCompress":true}
type target struct {
	From     string   `json:"from"` // "socket" leaves the sender out
	To       []string `json:"to"`
	Except   []string `json:"except"`
	Local    bool     `json:"local"`
	Volatile bool     `json:"volatile"`

	NoCompress bool `json:"noCompress"`
}

func (t target) of(s *sio.Socket) sio.Target {
	sel := s.Namespace().All()
	if t.From == "socket" {
		sel = s.Broadcast()
	}
	sel = sel.To(t.To...).Except(t.Except...)
	if t.Local {
		sel = sel.Local()
	}
	if t.Volatile {
		sel = sel.Volatile()
	}
	return sel.Compress(!t.NoCompress)
}

// seq is a numbered message with as many letters as asked for.
type seq struct {
	N    int    `json:"n"`
	Fill string `json:"fill"`
}

// root registers the events of the main namespace.
func root(srv *sio.Server, out *reporter) {
	ns := srv.Of("/")
	common(ns, out)
	values(ns)
	acknowledgements(ns, out)
	selections(ns)

	sio.OnAck0(ns, "handshake", func(_ context.Context, s *sio.Socket) (map[string]any, error) {
		r := s.Request()
		query := map[string]string{}
		for k, v := range r.URL.Query() {
			query[k] = v[0]
		}
		var auth any
		if err := s.Auth(&auth); err != nil {
			return nil, err
		}
		return map[string]any{
			"auth": auth, "query": query, "header": r.Header.Get("x-test"), "address": r.RemoteAddr, "url": r.URL.RequestURI(),
			"forwarded": r.Header.Get("X-Forwarded-For"),
		}, nil
	})
	sio.On(ns, "kick", func(_ context.Context, s *sio.Socket, closeConn bool) error {
		s.Disconnect(closeConn)
		return nil
	})
	sio.On(ns, "kickAfter", func(_ context.Context, s *sio.Socket, event string) error {
		err := s.Emit(event)
		s.Disconnect(false)
		return err
	})
	type report struct {
		ID string `json:"id"`
		I  int    `json:"i"`
	}
	sio.On(ns, "report", func(_ context.Context, _ *sio.Socket, r report) error {
		out.report(map[string]any{"event": "report", "id": r.ID, "i": r.I})
		return nil
	})
}

// values registers events that carry values of all kinds.
func values(ns *sio.Namespace) {
	ns.Handle("echo", sio.HandlerFunc(func(_ context.Context, s *sio.Socket, m *sio.Message) error {
		args, err := m.Args()
		if err != nil {
			return err
		}
		return s.Emit("echo", args...)
	}))
	type inner struct {
		X float64 `json:"x"`
	}
	type typed struct {
		Text  string   `json:"text"`
		Count int      `json:"count"`
		Tags  []string `json:"tags"`
		Inner inner    `json:"inner"`
	}
	sio.OnAck(ns, "typed", func(_ context.Context, _ *sio.Socket, v typed) (typed, error) { return v, nil })
	type file struct {
		Name  string   `json:"name"`
		Blob  []byte   `json:"blob"`
		Parts [][]byte `json:"parts"`
	}
	sio.OnAck(ns, "typedBinary", func(_ context.Context, _ *sio.Socket, v file) (file, error) { return v, nil })
	sio.On2(ns, "divide", func(_ context.Context, s *sio.Socket, a, b float64) error { return s.Emit("divided", a/b) })

	type stream struct {
		N    int `json:"n"`
		Size int `json:"size"`
	}
	emit := func(s *sio.Socket, p stream, pause time.Duration) error {
		fill := strings.Repeat("x", p.Size)
		for i := range p.N {
			if err := s.Emit("seq", seq{N: i, Fill: fill}); err != nil {
				return err
			}
			if pause > 0 && i%3 == 0 {
				select {
				case <-s.Context().Done():
					return nil
				case <-time.After(pause):
				}
			}
		}
		return nil
	}
	sio.On(ns, "burst", func(_ context.Context, s *sio.Socket, p stream) error { return emit(s, p, 0) })
	// push sends beside the handlers of the socket, so that both directions are busy.
	sio.On(ns, "push", func(_ context.Context, s *sio.Socket, p stream) error {
		go func() { _ = emit(s, p, time.Millisecond/2) }()
		return nil
	})

	sio.OnAck(ns, "setData", func(_ context.Context, s *sio.Socket, v any) (bool, error) {
		s.SetData(v)
		return true, nil
	})
	sio.OnAck0(ns, "getData", func(_ context.Context, s *sio.Socket) (any, error) { return s.Data(), nil })
	sio.On0(ns, "panic", func(context.Context, *sio.Socket) error { panic("asked for by the test") })
}

// acknowledgements registers events about answers, in both directions.
func acknowledgements(ns *sio.Namespace, out *reporter) {
	sio.On0(ns, "neverAck", func(context.Context, *sio.Socket) error { return nil })
	sio.OnAck0(ns, "fail", func(context.Context, *sio.Socket) (sio.None, error) {
		return sio.None{}, &sio.Error{Message: "out of stock", Data: map[string]int{"left": 0}}
	})
	sio.OnAck0(ns, "failInside", func(context.Context, *sio.Socket) (sio.None, error) {
		return sio.None{}, errors.New("the password of the database is hunter2")
	})

	type question struct {
		Event     string `json:"event"`
		Args      []any  `json:"args"`
		TimeoutMs int    `json:"timeoutMs"`
		Tag       string `json:"tag"`
	}
	sio.OnAck(ns, "callBack", func(ctx context.Context, s *sio.Socket, q question) (map[string]any, error) {
		answer, err := sio.Call[any](ctx, s.Timeout(timeout(q.TimeoutMs)), q.Event, q.Args...)
		if err != nil {
			if q.Tag != "" {
				out.report(map[string]any{"event": "call failed", "tag": q.Tag, "error": failure(err)})
			}
			return map[string]any{"error": failure(err)}, nil
		}
		return map[string]any{"answer": answer}, nil
	})
	sio.OnAck(ns, "callMany", func(ctx context.Context, s *sio.Socket, n int) ([]int, error) {
		answers, errs := make([]int, n), make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { answers[i], errs[i] = sio.Call[int](ctx, s, "number", i) })
		}
		wg.Wait()
		return answers, errors.Join(errs...)
	})
	type poll struct {
		target
		Event     string `json:"event"`
		Args      []any  `json:"args"`
		TimeoutMs int    `json:"timeoutMs"`
	}
	type result struct {
		Answers []any  `json:"answers"`
		Error   string `json:"error,omitempty"`
	}
	sio.OnAck(ns, "gather", func(ctx context.Context, s *sio.Socket, p poll) (result, error) {
		res := result{Answers: []any{}}
		for r, err := range sio.Gather[any](ctx, p.of(s).Timeout(timeout(p.TimeoutMs)), p.Event, p.Args...) {
			if err != nil {
				res.Error = failure(err)
				continue
			}
			res.Answers = append(res.Answers, r.Value)
		}
		return res, nil
	})
}

// selections registers events that act on other sockets.
func selections(ns *sio.Namespace) {
	type broadcast struct {
		target
		Event string `json:"event"`
		Args  []any  `json:"args"`
	}
	sio.OnAck(ns, "send", func(_ context.Context, s *sio.Socket, b broadcast) (bool, error) {
		return true, b.of(s).Emit(b.Event, b.Args...)
	})
	type found struct {
		ID    string   `json:"id"`
		Rooms []string `json:"rooms"`
		Data  any      `json:"data"`
	}
	sio.OnAck(ns, "fetch", func(ctx context.Context, s *sio.Socket, t target) ([]found, error) {
		infos, err := t.of(s).FetchSockets(ctx)
		if err != nil {
			return nil, err
		}
		list := []found{}
		for _, r := range infos {
			list = append(list, found{ID: r.ID(), Rooms: r.Rooms(), Data: r.Data()})
		}
		return list, nil
	})
	type action struct {
		target
		Op    string   `json:"op"`
		Rooms []string `json:"rooms"`
		Close bool     `json:"close"`
	}
	sio.OnAck(ns, "select", func(_ context.Context, s *sio.Socket, a action) (bool, error) {
		switch sel := a.of(s); a.Op {
		case "join":
			return true, sel.Join(a.Rooms...)
		case "leave":
			return true, sel.Leave(a.Rooms...)
		case "disconnect":
			return true, sel.Disconnect(a.Close)
		default:
			return false, &sio.Error{Message: "no operation " + a.Op}
		}
	})
}

func timeout(ms int) time.Duration {
	if ms == 0 {
		ms = 5000
	}
	return time.Duration(ms) * time.Millisecond
}

// failure names the kind of an error for the tests.
func failure(err error) string {
	switch {
	case errors.Is(err, sio.ErrAckTimeout), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, sio.ErrClosed):
		return "disconnected"
	default:
		return err.Error()
	}
}
