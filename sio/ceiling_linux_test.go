package sio

import (
	"context"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/herd"
	"github.com/epio-go/epio/internal/invariants"
)

func TestMain(m *testing.M) {
	herd.Main()
	departing()
	os.Exit(m.Run())
}

// resident returns the resident memory of this process in bytes, after a
// collection that gives free memory back.
func resident(t *testing.T) int {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestIdleConnectionsAreCheap measures what an idle WebSocket connection keeps
// after it has joined "/" and exchanged a few messages: memory, goroutines, and
// that all of it comes back.
func TestIdleConnectionsAreCheap(t *testing.T) {
	for _, c := range []struct {
		name    string
		reactor engine.Reactor
		ceiling int // bytes of resident memory per connection
	}{
		{"epoll", engine.Epoll, 2 << 10},
		{"netpoll", engine.Netpoll, 6 << 10},
	} {
		t.Run("engine="+c.name, func(t *testing.T) {
			// The herd answers no PING.
			idle(t, quiet(eio.Config{Reactor: c.reactor}), c.ceiling)
		})
	}
}

func idle(t *testing.T, cfg Config, ceiling int) {
	const echoes = 3
	n := 10_000
	if invariants.Enabled {
		n = 200 // checks of leaks only: memory of such builds means nothing
	}
	if testing.Short() {
		n = 500
	}
	srv, addr := listen(t, cfg)
	OnAck(srv, "echo", func(_ context.Context, _ *Socket, v string) (string, error) { return v, nil })

	// Once through, so that what is allocated once is not counted.
	warm, err := herd.Run(addr, 100, echoes)
	if err != nil {
		t.Fatal(err)
	}
	warm.Stop()
	waitFor(t, "the warm-up connections are gone", func() bool { return srv.Engine().Sessions() == 0 })
	// A server keeps a few goroutines for its next events; not by connection.
	mem, fds, gos := resident(t), descriptors(t), runtime.NumGoroutine()+keepWorkers()

	h, err := herd.Run(addr, n, echoes)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Stop()
	if got := srv.Engine().Sessions(); got != n {
		t.Fatalf("%d sessions, want %d", got, n)
	}
	waitFor(t, "handlers have ended", func() bool { return runtime.NumGoroutine() <= gos })
	perConn := (resident(t) - mem) / n
	t.Logf("%d idle connections: %d bytes resident each, %d goroutines in total", n, perConn, runtime.NumGoroutine())
	if perConn > ceiling && !invariants.Enabled && n >= 10_000 {
		t.Errorf("an idle connection keeps %d bytes, more than %d", perConn, ceiling)
	}
	if p := os.Getenv("EPIO_HEAP_PROFILE"); p != "" {
		writeHeapProfile(t, p)
	}

	h.Stop()
	waitFor(t, "all sessions are gone", func() bool { return srv.Engine().Sessions() == 0 })
	waitFor(t, "all descriptors are closed", func() bool { return descriptors(t) <= fds+2 })
	waitFor(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= gos })
	left := (resident(t) - mem) / n
	t.Logf("after they left: %d bytes each", left)
	if left > 2<<10 && !invariants.Enabled && n >= 10_000 {
		t.Errorf("%d bytes per closed connection are kept", left)
	}
}

// listen starts a server on loopback for the length of the test.
func listen(t *testing.T, cfg Config) (*Server, string) {
	t.Helper()
	srv, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-served; err != ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
	return srv, ln.Addr().String()
}

// waitFor waits for a condition that another goroutine brings about.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatal("timed out waiting until ", what)
		}
		<-tick.C
	}
}
