package sio

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/internal/memconn"
	"github.com/epio-go/epio/pool"
)

// patience is how long a test waits for something that must happen. It is shorter
// than the default ping interval and, in a bubble, fake time.
const patience = 20 * time.Second

// rig is a running server and the way to it. When its test ends, nothing of the
// server may be left: no session, no goroutine, no pooled buffer.
type rig struct {
	t    testing.TB
	srv  *Server
	log  *journal
	addr string
	dial func() (net.Conn, error)
	http *http.Client // for polling
}

// bubble runs f with fake time. Goroutines that f leaves behind fail the test.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// memory starts a server behind in-memory connections. It needs a bubble.
func memory(t *testing.T, cfg Config) *rig {
	t.Helper()
	live := pool.Live()
	cfg.Engine.Portable = true // the reactor knows nothing of bubbles
	ln := memconn.Listen()
	return serve(t, cfg, ln, "memory", ln.Dial, func() {
		synctest.Wait()
		if n := pool.Live() - live; n > 0 {
			t.Errorf("%d buffers were not released", n)
		}
	})
}

// loopback starts a server behind TCP.
func loopback(t testing.TB, cfg Config) *rig {
	t.Helper()
	live, goroutines := pool.Live(), runtime.NumGoroutine()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	return serve(t, cfg, ln, addr, func() (net.Conn, error) { return net.Dial("tcp", addr) }, func() {
		// What the process keeps once its first reactor has run is not a leak.
		const shared = 8
		eventually(t, "goroutines and buffers are back", func() bool {
			return runtime.NumGoroutine() <= goroutines+shared && pool.Live() <= live
		})
	})
}

func serve(t testing.TB, cfg Config, ln net.Listener, addr string, dial func() (net.Conn, error), settled func()) *rig {
	t.Helper()
	r := &rig{t: t, addr: addr, dial: dial, log: new(journal)}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	srv, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.srv = srv
	transport := &http.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return dial() },
		DisableCompression: true,
	}
	r.http = &http.Client{Transport: transport}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
		transport.CloseIdleConnections()
		if n := srv.Engine().Sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		settled()
		if t.Failed() {
			t.Logf("server log:\n%s", r.log)
		}
	})
	return r
}

// remote is the way to a server in another process.
func remote(t testing.TB, addr string, dial func() (net.Conn, error)) *rig {
	r := &rig{t: t, addr: addr, dial: dial, http: &http.Client{Transport: new(http.Transport)}}
	t.Cleanup(r.http.CloseIdleConnections)
	return r
}

// journal keeps what the server logs.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// wantLog checks that one line of the log holds all of parts.
func (r *rig) wantLog(parts ...string) {
	r.t.Helper()
lines:
	for line := range strings.Lines(r.log.String()) {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue lines
			}
		}
		return
	}
	r.t.Errorf("no line of the log has %q", parts)
}

// eventually waits for a condition that other goroutines bring about, outside of a
// bubble.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s (%d goroutines, %d buffers)", what, runtime.NumGoroutine(), pool.Live())
		}
	}
}

// receive returns what comes next out of c.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came out of the %T", c)
		panic("unreachable")
	}
}

// wantFrom checks what comes out of c next.
func wantFrom[T comparable](t *testing.T, c <-chan T, want ...T) {
	t.Helper()
	for _, w := range want {
		if got := receive(t, c); got != w {
			t.Fatalf("got %v, want %v", got, w)
		}
	}
}

// wantNone checks, in a bubble, that nothing comes out of c any more.
func wantNone[T any](t *testing.T, c <-chan T) {
	t.Helper()
	synctest.Wait()
	select {
	case v := <-c:
		t.Fatalf("got %v, want nothing", v)
	default:
	}
}

// wantErr checks an error with errors.Is.
func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
