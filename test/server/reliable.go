package main

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/epio-go/epio/sio"
)

// reliable registers what is about messages that are sent again. A client uses a namespace of its own,
// /reliable/{run}, across all its connections.
func reliable(srv *sio.Server, out *reporter) {
	ns := srv.Of("/reliable/{run}")
	var mu sync.Mutex
	arrivals := make(map[string]int)           // events that came, by run
	effects := make(map[string]map[string]int) // how often each id was handled, by run
	ns.Wrap(func(next sio.Handler) sio.Handler {
		return sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
			if m.Event() == "add" {
				mu.Lock()
				arrivals[s.PathValue("run")]++
				mu.Unlock()
			}
			return next.Handle(ctx, s, m)
		})
	})
	ns.Wrap(sio.Deduplicate(sio.Dedup{Key: sio.KeyArg(-1)}))
	ns.OnConnect(func(_ context.Context, s *sio.Socket) error { return s.Join("all of " + s.PathValue("run")) })

	// add tells when it has begun, and is slow enough to be interrupted; its effect is not.
	sio.OnAck2(ns, "add", func(_ context.Context, s *sio.Socket, n int, id string) (int, error) {
		mu.Lock()
		run := s.PathValue("run")
		if effects[run] == nil {
			effects[run] = make(map[string]int)
		}
		effects[run][id]++
		mu.Unlock()
		_ = s.Emit("handling", n) // nobody may be left to be told
		time.Sleep(30 * time.Millisecond)
		return 2 * n, nil
	})
	sio.OnAck0(ns, "effects", func(_ context.Context, s *sio.Socket) (map[string]any, error) {
		mu.Lock()
		defer mu.Unlock()
		run := s.PathValue("run")
		return map[string]any{"effects": maps.Clone(effects[run]), "arrivals": arrivals[run]}, nil
	})

	// deliver sends n orders to whoever is connected in this run, until each is acknowledged. It reports the answers.
	sio.On(ns, "deliver", func(_ context.Context, s *sio.Socket, n int) error {
		run := s.PathValue("run")
		to := srv.Of(s.Namespace().Name()).To("all of " + run)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			answers := make([]int, n)
			var failed error
			for i := range n {
				var err error
				answers[i], err = sio.Deliver[int](ctx, to, sio.Retry{
					Timeout: 500 * time.Millisecond, MinWait: 5 * time.Millisecond, MaxWait: 20 * time.Millisecond,
				}, "order", i)
				failed = errors.Join(failed, err)
			}
			report := map[string]any{"event": "delivered", "run": run, "answers": answers}
			if failed != nil {
				report["error"] = failed.Error()
			}
			out.report(report)
		}()
		return nil
	})
}
