package engine

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
)

// A handler that panics, or ends its goroutine, costs its connection. The others, those of the
// same loop among them, are served as before.
func TestFaultyData(t *testing.T) {
	faults := map[string]func(){
		"panic":  func() { panic("boo") },
		"goexit": runtime.Goexit,
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			engines(t, func(t *testing.T, o Options) {
				e := New(o)
				defer e.Close()
				connect := func(h Handler, carry string) net.Conn {
					client, server := tcpPair(t)
					t.Cleanup(func() { client.Close() })
					done := make(chan error)
					go func() {
						err := errors.New("the goroutine that gives a connection was ended")
						defer func() { done <- err }()
						_, err = e.Adopt(server, []byte(carry), h)
					}()
					if err := <-done; err != nil && (carry == "" || name == "panic") {
						t.Fatal(err)
					}
					return client
				}
				var neighbours []net.Conn
				for range 2 * runtime.GOMAXPROCS(0) {
					neighbours = append(neighbours, connect(newHandler(echo), ""))
				}
				served := func() {
					t.Helper()
					for _, nc := range neighbours {
						if _, err := io.WriteString(nc, "x"); err != nil {
							t.Fatal(err)
						}
						readN(t, nc, 1)
					}
				}
				fail := func(*Conn, []byte) int { fault(); return 0 }
				for range 2 * runtime.GOMAXPROCS(0) {
					// While reading.
					h := newHandler(fail)
					nc := connect(h, "")
					io.WriteString(nc, "boo")
					wantFault(t, h)
					served()
					// With what came before the engine had the connection.
					h = newHandler(fail)
					connect(h, "boo")
					wantFault(t, h)
					served()
					// With what was left until Resume.
					paused := make(chan *Conn, 1)
					h = newHandler(nil)
					h.data = func(c *Conn, _ []byte) int {
						h.data = fail
						c.Pause()
						paused <- c
						return 0
					}
					nc = connect(h, "")
					io.WriteString(nc, "boo")
					(<-paused).Resume()
					wantFault(t, h)
					served()
				}
			})
		})
	}
}

func wantFault(t *testing.T, h *testHandler) {
	t.Helper()
	if err := h.waitClosed(t); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Fatalf("closed with %v", err)
	}
}

// The end of a connection is told in any case, and the engine counts it, when that panics.
func TestFaultyClosed(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		e := New(o)
		defer e.Close()
		for _, fault := range []func(){func() { panic("boo") }, runtime.Goexit} {
			client, server := tcpPair(t)
			if _, err := e.Adopt(server, nil, &faultyClosed{fault}); err != nil {
				t.Fatal(err)
			}
			client.Close()
			eventually(t, "the connection is gone", func() bool { return e.Conns() == 0 })
		}
	})
}

type faultyClosed struct{ fault func() }

func (*faultyClosed) Data(_ *Conn, p []byte) int { return len(p) }
func (h *faultyClosed) Closed(*Conn, error)      { h.fault() }

// faultyConn is a connection of the application's that panics in one method.
type faultyConn struct {
	net.Conn
	in string
}

func (c *faultyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.in == "Read" {
		panic("boo")
	}
	return n, err
}

func (c *faultyConn) Write(p []byte) (int, error) {
	if c.in == "Write" {
		panic("boo")
	}
	return c.Conn.Write(p)
}

func (c *faultyConn) Close() error {
	c.Conn.Close()
	if c.in == "Close" {
		panic("boo")
	}
	return nil
}

func (c *faultyConn) CloseWrite() error {
	c.Conn.Close()
	if c.in == "CloseWrite" {
		panic("boo")
	}
	return nil
}

// What wraps a listener's connections is code of the application. A panic there ends that
// connection.
func TestFaultyConn(t *testing.T) {
	noLeaks(t)
	e := New(Options{Portable: true})
	defer e.Close()
	for _, in := range []string{"Read", "Write", "Close", "CloseWrite"} {
		client, server := tcpPair(t)
		h := newHandler(func(c *Conn, p []byte) int {
			c.Send(frame(p))
			if in == "Close" {
				c.Close(nil)
			} else {
				c.CloseAfterFlush(nil, 0)
			}
			return len(p)
		})
		if _, err := e.Adopt(&faultyConn{server, in}, nil, h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(client, "x")
		h.waitClosed(t)
		client.Close()
		eventually(t, "the connection is gone after a panic in "+in, func() bool { return e.Conns() == 0 })
	}
}

type exiting struct{ done chan struct{} }

func (e *exiting) Expire(*Timer) {
	close(e.done)
	runtime.Goexit()
}

// runtime.Goexit in Expire ends no timers but that one.
func TestFaultyTimer(t *testing.T) {
	w := NewWheel()
	defer w.Stop()
	for range 3 * wheelShards {
		x, y := &exiting{make(chan struct{})}, &exiting{make(chan struct{})}
		var timers [2 * wheelShards]Timer
		timers[0].Init(w, x)
		for i := range wheelShards {
			timers[1+i].Init(w, &exiting{make(chan struct{})})
		}
		timers[wheelShards].e = y // of the same shard as the first
		timers[0].Reset(w.Now())
		timers[wheelShards].Reset(w.Now() + 2*tick)
		<-x.done
		<-y.done
	}
}
