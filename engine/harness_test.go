package engine

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epio-go/epio/internal/invariants"
	"github.com/epio-go/epio/pool"
)

// waitTime bounds how long a test waits for something that should happen at once.
const waitTime = 20 * time.Second

// scaled returns n, or less of it in builds with checks, which are slow.
func scaled(n int) int {
	if invariants.Enabled {
		return max(n/4, 1)
	}
	return n
}

// engines runs a test on each engine this platform has. Each run must give back
// every goroutine, descriptor and frame it took.
func engines(t *testing.T, fn func(t *testing.T, o Options)) {
	t.Run("engine=portable", func(t *testing.T) {
		noLeaks(t)
		fn(t, Options{Portable: true})
	})
	reactors(t, fn)
}

// reactors is engines without the portable one.
func reactors(t *testing.T, fn func(t *testing.T, o Options)) {
	for name, r := range map[string]Reactor{"epoll": Epoll, "netpoll": Netpoll} {
		t.Run("engine="+name, func(t *testing.T) {
			if New(Options{}).reactor == nil {
				t.Skip("no reactor on this platform")
			}
			noLeaks(t)
			fn(t, Options{Reactor: r})
		})
	}
}

// noLeaks checks, after everything else has been cleaned up, that the test has
// given back what it took. It must be called first.
func noLeaks(t *testing.T) {
	t.Helper()
	warmUp(t)
	goroutines, fds, live := runtime.NumGoroutine(), openFDs(), pool.Live()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
		eventually(t, "all descriptors are closed", func() bool { return openFDs() <= fds })
		eventually(t, "all frames are released", func() bool { return pool.Live() <= live })
		if n := pool.Live(); n < live {
			t.Errorf("%d frames were released that the test did not make", live-n)
		}
	})
}

var warm sync.Once

// warmUp makes what stays for the life of the process: netpoll's pollers.
func warmUp(t testing.TB) {
	t.Helper()
	warm.Do(func() {
		for _, r := range []Reactor{Epoll, Netpoll} {
			e := New(Options{Reactor: r})
			defer e.Close()
			client, server := tcpPair(t)
			defer client.Close()
			h := newHandler(echo)
			if _, err := e.Adopt(server, nil, h); err != nil {
				t.Fatal(err)
			}
			io.WriteString(client, "x")
			readN(t, client, 1)
		}
	})
}

// testHandler is a Handler made of a function. It checks that Data is not called
// again after Closed, nor Closed twice.
type testHandler struct {
	data   func(c *Conn, p []byte) int
	closed chan error // capacity 1
	ended  atomic.Bool
	broken atomic.Pointer[string]
}

func newHandler(data func(c *Conn, p []byte) int) *testHandler {
	return &testHandler{data: data, closed: make(chan error, 1)}
}

// consume is a handler function that takes everything and does nothing.
func consume(_ *Conn, p []byte) int { return len(p) }

// recordFrom returns a handler function that is busy until free is closed, and writes everything to got.
func recordFrom(free <-chan struct{}, got *bytes.Buffer) func(*Conn, []byte) int {
	return func(_ *Conn, p []byte) int {
		<-free
		got.Write(p)
		return len(p)
	}
}

func echo(c *Conn, p []byte) int {
	c.Send(frame(p))
	return len(p)
}

func (h *testHandler) Data(c *Conn, p []byte) int {
	if h.ended.Load() {
		h.complain("Data after Closed")
	}
	return h.data(c, p)
}

func (h *testHandler) Closed(_ *Conn, err error) {
	if h.ended.Swap(true) {
		h.complain("Closed called twice")
		return
	}
	h.closed <- err
}

func (h *testHandler) complain(s string) { h.broken.Store(&s) }

// waitClosed returns what Closed was called with.
func (h *testHandler) waitClosed(t *testing.T) error {
	t.Helper()
	select {
	case err := <-h.closed:
		return err
	case <-time.After(waitTime):
		t.Fatal("not closed")
		return nil
	}
}

func (h *testHandler) wantClosed(t *testing.T, want error) {
	t.Helper()
	if err := h.waitClosed(t); !errors.Is(err, want) {
		t.Errorf("closed with %v, want %v", err, want)
	}
	h.check(t)
}

// check reports calls out of order.
func (h *testHandler) check(t *testing.T) {
	t.Helper()
	if s := h.broken.Load(); s != nil {
		t.Error(*s)
	}
}

// frame returns a frame with a copy of p and one reference.
func frame(p []byte) *pool.Frame { return pool.Copy(p).Seal(0) }

// listen returns a loopback listener.
func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// startServer serves on loopback until the test ends and returns a dialer.
func startServer(t testing.TB, o Options, accept func(*Conn) Handler) (*Engine, func() *net.TCPConn) {
	t.Helper()
	ln := listen(t)
	e := New(o)
	served := make(chan error, 1)
	go func() { served <- e.Serve(ln, accept) }()
	t.Cleanup(func() {
		e.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
		if n := e.Conns(); n != 0 {
			t.Errorf("%d connections left", n)
		}
		for i := range e.reg {
			if all := e.reg[i].snapshot(); len(all) > 0 {
				t.Errorf("%d connections are known still", len(all))
			}
		}
	})
	return e, func() *net.TCPConn { t.Helper(); return dialTCP(t, ln.Addr()) }
}

func dialTCP(t testing.TB, a net.Addr) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(waitTime))
	t.Cleanup(func() { nc.Close() })
	return nc.(*net.TCPConn)
}

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	ln := listen(t)
	defer ln.Close()
	client = dialTCP(t, ln.Addr())
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return client, nc.(*net.TCPConn)
}

// adopted returns a connection on an engine of its own and its client.
func adopted(t testing.TB, o Options, h Handler) (*Engine, *Conn, *net.TCPConn) {
	t.Helper()
	e := New(o)
	t.Cleanup(e.Close)
	client, server := tcpPair(t)
	c, err := e.Adopt(server, nil, h)
	if err != nil {
		t.Fatal(err)
	}
	return e, c, client
}

// fill sends to a client that does not read until neither the socket nor the
// queue takes more, and returns how many bytes that were.
func fill(t testing.TB, c *Conn) (sent int) {
	t.Helper()
	shrinkSendBuffer(t, c)
	block := make([]byte, 16<<10)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for stuck := 0; stuck < 5; { // the writer may be slower than we are
		switch err := c.Send(frame(block)); {
		case errors.Is(err, ErrBufferFull):
			stuck++
			<-tick.C
		case err != nil:
			t.Fatal(err)
		default:
			stuck = 0
			if sent += len(block); sent > 64<<20 {
				t.Fatal("the send buffer has no limit")
			}
		}
	}
	return sent
}

// shrinkNetConn is shrinkSendBuffer for the portable engine.
func shrinkNetConn(c *Conn) {
	if nc, ok := c.link.(*netConn).nc.(*net.TCPConn); ok {
		nc.SetWriteBuffer(4096)
	}
}

func readN(t testing.TB, r io.Reader, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	if got, err := io.ReadFull(r, p); err != nil {
		t.Fatalf("got %d of %d bytes: %v", got, n, err)
	}
	return p
}

// receive returns what arrives on ch.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(waitTime):
		t.Fatal("nothing arrived")
		panic("unreachable")
	}
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(waitTime)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("timed out waiting until %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
		<-tick.C
	}
}
