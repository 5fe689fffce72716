package engine

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/internal/memconn"
)

// TestRefusal closes a connection for which accept has no handler, whatever it
// did with it before.
func TestRefusal(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		refused := make(chan *Conn, 1)
		e, dial := startServer(t, o, func(c *Conn) Handler {
			b := c.Engine().NewBatch()
			c.Queue(frame([]byte("never flushed")), b)
			refused <- c
			return nil
		})
		for range 5 {
			client := dial()
			c := receive(t, refused)
			if p, err := io.ReadAll(client); len(p) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("refused client got %q, %v", p, err)
			}
			if err := c.Send(frame([]byte("x"))); !errors.Is(err, ErrClosed) {
				t.Errorf("Send on a refused connection: %v", err)
			}
			c.Close(nil)
			c.Resume()
		}
		eventually(t, "no connection is counted", func() bool { return e.Conns() == 0 })
	})
}

// TestRefusalAfterGentleEnd is the same for a connection that accept has begun to close: nothing keeps it.
func TestRefusalAfterGentleEnd(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		e, dial := startServer(t, o, func(c *Conn) Handler {
			c.CloseAfterFlush(nil, waitTime)
			return nil
		})
		if p, err := io.ReadAll(dial()); len(p) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("refused client got %q, %v", p, err)
		}
		eventually(t, "no connection is counted", func() bool { return e.Conns() == 0 })
		if n := e.Wheel().Armed(); n != 0 {
			t.Errorf("%d timers keep connections that are gone", n)
		}
	})
}

// pickyListener lets only every second connection through. That it embeds a
// *net.TCPListener must not tempt the engine into accepting behind its back.
type pickyListener struct {
	*net.TCPListener
	n int
}

func (l *pickyListener) Accept() (net.Conn, error) {
	for {
		nc, err := l.TCPListener.Accept()
		if err != nil {
			return nil, err
		}
		if l.n++; l.n%2 == 0 {
			return nc, nil
		}
		nc.Close()
	}
}

// TestWrappedListener shows that every connection passes through the listener's
// own Accept when it has one.
func TestWrappedListener(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		const n = 40
		ln := &pickyListener{TCPListener: listen(t).(*net.TCPListener)}
		var clients []*net.TCPConn
		for range n { // all in the backlog
			clients = append(clients, dialTCP(t, ln.Addr()))
		}
		var accepted atomic.Int64
		e := New(o)
		served := make(chan error, 1)
		go func() {
			served <- e.Serve(ln, func(*Conn) Handler { accepted.Add(1); return newHandler(echo) })
		}()
		got := 0
		for _, c := range clients {
			io.WriteString(c, "x")
			if k, _ := c.Read(make([]byte, 1)); k == 1 {
				got++
			}
			c.Close()
		}
		if got != n/2 || accepted.Load() != n/2 {
			t.Errorf("%d clients were answered and %d accepted, want %d", got, accepted.Load(), n/2)
		}
		e.Close()
		receive(t, served)
	})
}

// flakyListener fails with err a number of times before each connection.
type flakyListener struct {
	net.Listener
	err   error
	fails int
	left  int
	calls atomic.Int64
}

func (l *flakyListener) Accept() (net.Conn, error) {
	l.calls.Add(1)
	if l.left > 0 {
		l.left--
		return nil, l.err
	}
	l.left = l.fails
	return l.Listener.Accept()
}

// TestAcceptRetries shows which errors of Accept do not end Serve, and that it
// waits longer each time, from 5 ms to a second.
func TestAcceptRetries(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		synctest.Test(t, func(t *testing.T) {
			const fails = 12
			mem := memconn.Listen()
			ln := &flakyListener{Listener: mem, err: &net.OpError{Op: "accept", Err: errno}, fails: fails, left: fails}
			e := New(Options{Portable: true})
			served := make(chan error, 1)
			go func() { served <- e.Serve(ln, func(*Conn) Handler { return newHandler(echo) }) }()
			for range 2 {
				start := time.Now()
				client, err := mem.Dial()
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(client, "x")
				readN(t, client, 1)
				// 5 + 10 + ... + 640 ms, then a second each.
				if d := time.Since(start); d != (5<<8-5)*time.Millisecond+(fails-8)*time.Second {
					t.Errorf("%v: accepted after %v", errno, d)
				}
				client.Close()
			}
			e.Close()
			if err := <-served; !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v: Serve returned %v", errno, err)
			}
		})
	}
}

// TestAcceptFails shows that any other error ends Serve.
func TestAcceptFails(t *testing.T) {
	e := New(Options{})
	defer e.Close()
	ln := &flakyListener{Listener: memconn.Listen(), err: errTest, left: 1}
	if err := e.Serve(ln, func(*Conn) Handler { return nil }); !errors.Is(err, errTest) {
		t.Errorf("Serve returned %v", err)
	}
}

// TestCloseWhileRetrying does not wait for the next try.
func TestCloseWhileRetrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &flakyListener{Listener: memconn.Listen(), err: syscall.EMFILE, left: 1 << 30}
		e := New(Options{Portable: true})
		served := make(chan error, 1)
		go func() { served <- e.Serve(ln, func(*Conn) Handler { return nil }) }()
		<-time.After(time.Minute)
		if n := ln.calls.Load(); n > 80 {
			t.Errorf("%d tries in a minute", n)
		}
		start := time.Now()
		e.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) || time.Since(start) > 0 {
			t.Errorf("Serve returned %v after %v", err, time.Since(start))
		}
	})
}

// TestServeAfterClose closes the listener it is given.
func TestServeAfterClose(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		e := New(o)
		e.Close()
		e.Close() // again
		ln := listen(t)
		if err := e.Serve(ln, func(*Conn) Handler { return nil }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
		// Not by its address, which may be another process's by now.
		if err := ln.(*net.TCPListener).SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is still open: %v", err)
		}
		client, server := tcpPair(t)
		if _, err := e.Adopt(server, nil, newHandler(echo)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Adopt returned %v", err)
		}
		if p, err := io.ReadAll(client); len(p) > 0 || err != nil {
			t.Errorf("client of a refused Adopt got %q, %v", p, err)
		}
	})
}

// TestListenerCloses ends Serve and leaves the connections alone.
func TestListenerCloses(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		ln := listen(t)
		e := New(o)
		defer e.Close()
		served := make(chan error, 1)
		go func() { served <- e.Serve(ln, func(*Conn) Handler { return newHandler(echo) }) }()
		client := dialTCP(t, ln.Addr())
		io.WriteString(client, "x")
		readN(t, client, 1)
		ln.Close()
		if err := receive(t, served); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve returned %v", err)
		}
		io.WriteString(client, "y")
		readN(t, client, 1)
	})
}

// TestCloseDuringAccepts closes the engine while clients keep coming: every
// handler that was made hears of the end, and no client is left hanging.
func TestCloseDuringAccepts(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		for range scaled(20) {
			ln := listen(t)
			e := New(o)
			var made, ended atomic.Int64
			served := make(chan error, 1)
			go func() {
				served <- e.Serve(ln, func(*Conn) Handler {
					made.Add(1)
					return closedFunc(func(*Conn, error) { ended.Add(1) })
				})
			}()
			var clients sync.WaitGroup
			for range 4 {
				clients.Go(func() {
					for {
						nc, err := net.Dial("tcp", ln.Addr().String())
						if err != nil {
							return
						}
						nc.SetDeadline(time.Now().Add(waitTime))
						io.WriteString(nc, "x")
						if made.Load() < 40 {
							defer nc.Close() // stays until the engine closes
							continue
						}
						if _, err := io.ReadAll(nc); errors.Is(err, syscall.ETIMEDOUT) {
							t.Error("a client was left hanging")
						}
						nc.Close()
					}
				})
			}
			eventually(t, "many are connected", func() bool { return made.Load() >= 40 })
			e.Close()
			if m, n := made.Load(), ended.Load(); m != n {
				t.Errorf("%d handlers were made, %d heard of the end", m, n)
			}
			if err := receive(t, served); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Serve returned %v", err)
			}
			clients.Wait()
			if m, n := made.Load(), ended.Load(); m != n {
				t.Errorf("%d handlers were made, %d heard of the end", m, n)
			}
		}
	})
}
