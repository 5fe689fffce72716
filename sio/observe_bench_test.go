package sio

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkHooks shows what hooks and counters cost: nothing while they are not there. The first
// row is the server as it was before there were any.
func BenchmarkHooks(b *testing.B) {
	var n atomic.Int64
	all := Hooks{
		EventStart: func(ctx context.Context, _ *Socket, _ *Message) context.Context { return ctx },
		EventEnd:   func(context.Context, *Socket, *Message, time.Duration, error) { n.Add(1) },
		Emit:       func(*Socket, string, int, error) { n.Add(1) },
		Broadcast:  func(*Namespace, string, int, int, error) { n.Add(1) },
	}
	for _, bc := range []struct {
		name string
		cfg  Config
	}{
		{"hooks=none", Config{}},
		{"hooks=all", Config{Hooks: all}},
		{"hooks=none,traffic=counted", Config{CountTraffic: true}},
	} {
		bc.cfg.Logger = slog.New(slog.DiscardHandler)
		b.Run(bc.name, func(b *testing.B) {
			r := loopback(b, bc.cfg)
			got := make(chan struct{})
			r.srv.Handle("x", HandlerFunc(func(context.Context, *Socket, *Message) error { got <- struct{}{}; return nil }))
			nc, s := rawClient(b, r)
			go io.Copy(io.Discard, nc)
			text := any("hello")
			b.Run("do=emit", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					s.Volatile().Emit("n", text)
				}
			})
			b.Run("do=broadcast", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r.srv.Volatile().Emit("n", text)
				}
			})
			frame := frames(`42["x","hello"]`)
			b.Run("do=event", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					nc.Write(frame)
					<-got
				}
			})
		})
	}
}
