package sio_test

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/sio"
)

// On SIGTERM the server moves its clients to others before it ends.
func ExampleServer_Drain() {
	srv, err := sio.New(sio.Config{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", srv)
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if srv.Draining() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
		}
	})
	hs := &http.Server{Addr: ":3000", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go hs.ListenAndServe()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	<-ctx.Done()
	stop() // a second signal kills

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	// Clients leave over half a minute; then handlers have what remains of the 50 seconds.
	if err := srv.Drain(ctx, 30*time.Second); err != nil {
		slog.Error("clients were cut off", "err", err)
	}
	if err := hs.Shutdown(ctx); err != nil { // the HTTP server is ours to stop
		slog.Error("requests were cut off", "err", err)
	}
}

// Counters for Prometheus, without a library: serve this at /metrics.
func ExampleServer_Stats() {
	srv, err := sio.New(sio.Config{CountTraffic: true})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	metrics := func(w io.Writer) {
		st := srv.Stats()
		fmt.Fprintf(w, "socketio_connections %d\n", st.Engine.Sessions)
		for _, ns := range st.Namespaces {
			fmt.Fprintf(w, "socketio_sockets{namespace=%q} %d\n", ns.Name, ns.Sockets)
			fmt.Fprintf(w, "socketio_rooms{namespace=%q} %d\n", ns.Name, ns.Rooms)
		}
		fmt.Fprintf(w, "socketio_connects_total %d\n", st.Connects)
		for c, n := range st.Engine.Closed {
			fmt.Fprintf(w, "socketio_closed_total{reason=%q,transport=%q} %d\n", string(c.Reason), c.Transport.String(), n)
		}
		for code, n := range st.Engine.Refused {
			fmt.Fprintf(w, "socketio_refused_total{code=\"%d\"} %d\n", int(code), n)
		}
		fmt.Fprintf(w, "socketio_sent_bytes_total %d\n", st.BytesSent)
	}
	metrics(os.Stdout)
	// Output:
	// socketio_connections 0
	// socketio_sockets{namespace="/"} 0
	// socketio_rooms{namespace="/"} 0
	// socketio_connects_total 0
	// socketio_sent_bytes_total 0
}

// Counters and latencies by event, for expvar. For histograms replace the map by those of
// a metrics library.
func ExampleHooks_metrics() {
	events := expvar.NewMap("socketio_events")
	var hooks sio.Hooks
	hooks.EventEnd = func(_ context.Context, _ *sio.Socket, m *sio.Message, took time.Duration, err error) {
		outcome := "ok"
		if _, ok := errors.AsType[*sio.PanicError](err); ok {
			outcome = "panic"
		} else if _, ok := errors.AsType[*sio.Error](err); ok {
			outcome = "refused"
		} else if err != nil {
			outcome = "failed"
		}
		// Names come from clients: count only those that the server knows.
		events.Add(m.Event()+" "+outcome, 1)
		events.AddFloat(m.Event()+" seconds", took.Seconds())
	}
	hooks.Broadcast = func(n *sio.Namespace, event string, receivers, bytes int, err error) {
		events.Add(event+" receivers", int64(receivers))
	}
	srv, err := sio.New(sio.Config{Hooks: hooks})
	if err != nil {
		log.Fatal(err)
	}
	expvar.Publish("socketio", expvar.Func(func() any { return srv.Stats() }))
}

// span and startSpan stand for a tracing library.
type span struct{ name string }

func (*span) SetError(error) {}
func (*span) End()           {}

type spanKey struct{}

func startSpan(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, spanKey{}, &span{name})
}

// A span around every event. With OpenTelemetry startSpan is tracer.Start, and the span is
// found with trace.SpanFromContext. Handlers see it in their context.
func ExampleHooks_tracing() {
	var hooks sio.Hooks
	hooks.EventStart = func(ctx context.Context, s *sio.Socket, m *sio.Message) context.Context {
		return startSpan(ctx, "socket.io "+m.Event())
	}
	hooks.EventEnd = func(ctx context.Context, _ *sio.Socket, _ *sio.Message, _ time.Duration, err error) {
		sp := ctx.Value(spanKey{}).(*span)
		if err != nil {
			sp.SetError(err)
		}
		sp.End()
	}
	_, err := sio.New(sio.Config{Hooks: hooks})
	if err != nil {
		log.Fatal(err)
	}
}

// Limits for a server behind a load balancer.
func ExampleConfig_limits() {
	cfg := sio.Config{
		Rates: sio.Rates{
			Events: sio.Rate{PerSecond: 50, Burst: 200},
			Joins:  sio.Rate{PerSecond: 1, Burst: 20},
		},
		MaxRooms: 100,
		Engine: eio.Config{
			MaxConns: 50_000,
			Admission: eio.Admission{
				ConnsPerAddress:      200,
				HandshakesPerAddress: eio.Rate{PerSecond: 5, Burst: 50},
				Handshakes:           eio.Rate{PerSecond: 1000},
				Proxies:              []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			},
			Flow: eio.Flow{HighWater: 1 << 20, MaxSlow: 30 * time.Second},
		},
	}
	_, err := sio.New(cfg)
	fmt.Println(err)
	// Output: <nil>
}

// State of which only the newest matters goes to a client as fast as it can take it; it
// sends less while the client is slow.
func ExampleTarget_WhenFull() {
	var mu sync.Mutex
	slow := make(map[*sio.Socket]bool)
	cfg := sio.Config{
		OnSlow: func(s *sio.Socket, buffered int) { mu.Lock(); slow[s] = true; mu.Unlock() },
		OnFast: func(s *sio.Socket, buffered int) { mu.Lock(); delete(slow, s); mu.Unlock() },
	}
	cfg.Engine.Flow = eio.Flow{HighWater: 256 << 10}
	srv, err := sio.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	srv.OnDisconnect(func(s *sio.Socket, _ sio.Reason) { mu.Lock(); delete(slow, s); mu.Unlock() })
	err = srv.To("dashboard").WhenFull(sio.DropOldestWhenFull).Emit("prices", []float64{1.5, 2.5})
	fmt.Println(err)
	// Output: <nil>
}
