package engine

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/internal/memconn"
)

// work keeps its goroutine for d, like work does, without keeping the processor
// from the poller.
func work(d time.Duration) { <-time.After(d) }

// TestFloodMeetsSlowHandler floods a handler that is slow without pausing. What
// has been received and not been handled must stay bounded, whatever the client
// sends.
func TestFloodMeetsSlowHandler(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		const total = 256 << 20
		// The kernel's buffers on both sides and what the engine holds.
		const bound = 24 << 20
		var sent, seen, worst atomic.Int64
		stop := make(chan struct{})
		calls := 0
		h := newHandler(func(c *Conn, p []byte) int {
			worst.Store(max(worst.Load(), sent.Load()-seen.Load()))
			work(time.Millisecond)
			seen.Add(int64(len(p)))
			if calls++; calls == 400 {
				c.Close(nil)
			}
			return len(p)
		})
		_, dial := startServer(t, o, func(*Conn) Handler { return h })
		nc := dial()
		go func() {
			defer close(stop)
			defer nc.Close()
			block := make([]byte, 256<<10)
			for sent.Load() < total {
				n, err := nc.Write(block)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
		h.waitClosed(t)
		<-stop
		if w := worst.Load(); w > bound {
			t.Errorf("%d MiB were in flight, want at most %d", w>>20, bound>>20)
		}
		t.Logf("at most %.1f MiB in flight", float64(worst.Load())/(1<<20))
	})
}

// TestBusyHandlerIsNotReadAhead floods a handler that does not return. Little more than what the kernel takes may leave
// the client, and when the handler goes on everything arrives, the end of the stream last.
func TestBusyHandlerIsNotReadAhead(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		// The kernel's buffers on both sides and what the engine holds.
		const total, bound = 32 << 20, 2 << 20
		stream := make([]byte, total)
		rand.NewChaCha8([32]byte{}).Read(stream)
		free := make(chan struct{})
		var got bytes.Buffer
		h := newHandler(recordFrom(free, &got))
		_, dial := startServer(t, o, func(*Conn) Handler { return h })
		nc := dial()
		nc.SetWriteBuffer(64 << 10)
		var sent atomic.Int64
		go func() {
			defer nc.Close()
			for rest := stream; len(rest) > 0; {
				n, err := nc.Write(rest[:min(len(rest), 16<<10)])
				sent.Add(int64(n))
				if rest = rest[n:]; err != nil {
					t.Error(err)
					return
				}
			}
		}()
		last, same := int64(0), 0
		eventually(t, "the client is held up", func() bool {
			now := sent.Load()
			if same++; now == 0 || now != last {
				last, same = now, 0
			}
			return same == 100
		})
		if last > bound {
			t.Errorf("%d KiB were taken from the client", last>>10)
		}
		t.Logf("%d KiB left the client", last>>10)
		close(free)
		h.wantClosed(t, io.EOF)
		if !bytes.Equal(got.Bytes(), stream) {
			t.Errorf("%d bytes arrived, or others than the %d sent", got.Len(), total)
		}
	})
}

// TestMaxInbound closes a connection whose handler hoards, and not one whose
// handler keeps as much as it may.
func TestMaxInbound(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		o.MaxInbound = 1000
		shown := make(chan int, 100)
		h := newHandler(func(_ *Conn, p []byte) int {
			shown <- len(p)
			return 0
		})
		_, _, client := adopted(t, o, h)
		client.Write(make([]byte, 1000))
		for receive(t, shown) < 1000 {
		}
		select {
		case err := <-h.closed:
			t.Fatalf("closed at the limit: %v", err)
		default:
		}
		client.Write(make([]byte, 1))
		h.wantClosed(t, ErrInboundLimit)
	})
}

// TestMaxInboundWhilePaused shows that what arrives before a pause takes effect
// is not held against the peer: only what the handler leaves counts.
func TestMaxInboundWhilePaused(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		o.MaxInbound = 10
		const total = 300_000
		paused, done := make(chan *Conn, 1), make(chan struct{})
		n, first := 0, true
		h := newHandler(func(c *Conn, p []byte) int {
			if first {
				first = false
				c.Pause()
				paused <- c
				return 0
			}
			if n += len(p); n == total {
				close(done)
			}
			return len(p)
		})
		_, _, client := adopted(t, o, h)
		go client.Write(make([]byte, total))
		c := receive(t, paused)
		untilParked(t, c)
		c.Resume()
		receive(t, done)
	})
}

// TestHandlerPanics shows that a panic in Data costs its connection only.
func TestHandlerPanics(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		h := newHandler(func(*Conn, []byte) int { panic("boom") })
		e, c, client := adopted(t, o, h)
		io.WriteString(client, "x")
		err := h.waitClosed(t)
		if err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("closed with %v", err)
		}
		if err := c.Send(frame([]byte("x"))); !errors.Is(err, ErrClosed) {
			t.Errorf("Send: %v", err)
		}

		other, server := tcpPair(t)
		if _, err := e.Adopt(server, nil, newHandler(echo)); err != nil {
			t.Fatal(err)
		}
		io.WriteString(other, "still alive")
		readN(t, other, len("still alive"))
	})
}

// TestDataReturnsNonsense treats a wrong count as the panic it would become.
func TestDataReturnsNonsense(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		for _, count := range []func(p []byte) int{
			func([]byte) int { return -1 },
			func(p []byte) int { return len(p) + 1 },
		} {
			h := newHandler(func(_ *Conn, p []byte) int { return count(p) })
			_, _, client := adopted(t, o, h)
			io.WriteString(client, "x")
			if err := h.waitClosed(t); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("closed with %v", err)
			}
		}
	})
}

// TestSetHandlerPipelined changes the handler in the middle of what one read
// brought: each handler sees its part, at once.
func TestSetHandlerPipelined(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		var h [3]*testHandler
		got := make(chan string, 10)
		take := func(n, next int) func(c *Conn, p []byte) int {
			return func(c *Conn, p []byte) int {
				if len(p) < n {
					return 0
				}
				got <- string(p[:n])
				c.SetHandler(h[next])
				return n
			}
		}
		h[0], h[1] = newHandler(take(3, 1)), newHandler(take(5, 2))
		h[2] = newHandler(func(_ *Conn, p []byte) int {
			got <- string(p)
			return len(p)
		})
		_, _, client := adopted(t, o, h[0])
		io.WriteString(client, "onethreeand the rest")
		for _, want := range []string{"one", "three", "and the rest"} {
			if s := receive(t, got); s != want {
				t.Errorf("got %q, want %q", s, want)
			}
		}
		client.Close()
		h[2].wantClosed(t, io.EOF) // the current handler hears of the end
		if len(h[0].closed)+len(h[1].closed) > 0 {
			t.Error("a replaced handler heard of the end")
		}
	})
}

// TestKeptBytesComeFirst receives a message in pieces of every size; a handler
// that waits for all of it sees each piece behind what it left.
func TestKeptBytesComeFirst(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		msg := strings.Repeat("0123456789", 30)
		done := make(chan string, 1)
		last := 0
		h := newHandler(func(_ *Conn, p []byte) int {
			if !strings.HasPrefix(msg, string(p)) || len(p) < last {
				t.Errorf("shown %q", p)
			}
			if last = len(p); last < len(msg) {
				return 0
			}
			last = 0
			done <- string(p)
			return len(p)
		})
		_, _, client := adopted(t, o, h)
		for size := 1; size <= len(msg); size = size*3/2 + 1 {
			for rest := msg; rest != ""; {
				n := min(size, len(rest))
				io.WriteString(client, rest[:n])
				rest = rest[n:]
			}
			if s := receive(t, done); s != msg {
				t.Errorf("got %q", s)
			}
		}
	})
}

// TestPauseIsImmediate shows, in fake time, that nothing reaches a paused
// handler, that Resume shows again what was left, and that calls too many do no
// harm.
func TestPauseIsImmediate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := memconn.Pipe()
		e := New(Options{Portable: true})
		defer e.Close()
		var shown []string
		h := newHandler(func(c *Conn, p []byte) int {
			shown = append(shown, string(p))
			c.Pause()
			return 1
		})
		c, err := e.Adopt(server, []byte("ab"), h)
		if err != nil {
			t.Fatal(err)
		}
		want := func(s ...string) {
			t.Helper()
			synctest.Wait()
			if strings.Join(shown, "|") != strings.Join(s, "|") {
				t.Errorf("shown %q, want %q", shown, s)
			}
		}
		want("ab")
		io.WriteString(client, "cd")
		<-time.After(time.Hour)
		want("ab")
		c.Resume()
		want("ab", "b")
		c.Resume()
		want("ab", "b", "cd")
		c.Resume()
		want("ab", "b", "cd", "d")
		c.Resume() // nothing is left
		want("ab", "b", "cd", "d")
		c.Resume() // not paused
		c.Resume()
		io.WriteString(client, "e")
		want("ab", "b", "cd", "d", "e")
		client.Close()
		<-time.After(time.Hour) // the end is not seen while paused
		if len(h.closed) > 0 {
			t.Error("closed while paused")
		}
		c.Resume()
		h.wantClosed(t, io.EOF)
	})
}

// lastWords is a connection whose last Read returns bytes and the end together,
// which io.Reader permits.
type lastWords struct{ net.Conn }

func (c lastWords) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil {
		err = io.EOF
	}
	return n, err
}

// TestEndWithBytes pauses at bytes that came together with the end: the end
// waits until they are consumed.
func TestEndWithBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := memconn.Pipe()
		defer client.Close()
		e := New(Options{Portable: true})
		defer e.Close()
		var got []string
		h := newHandler(func(c *Conn, p []byte) int {
			got = append(got, string(p))
			if len(got) == 1 {
				c.Pause()
				return 0
			}
			return len(p)
		})
		c, err := e.Adopt(lastWords{server}, nil, h)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(client, "last")
		<-time.After(time.Hour)
		if len(h.closed) > 0 {
			t.Fatal("closed while paused")
		}
		c.Resume()
		h.wantClosed(t, io.EOF)
		if len(got) != 2 || got[1] != "last" {
			t.Errorf("shown %q", got)
		}
	})
}

// TestUnixSockets runs over Unix sockets, which have no addresses to speak of.
func TestUnixSockets(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		ln, err := net.Listen("unix", t.TempDir()+"/s")
		if err != nil {
			t.Skip("no Unix sockets here: ", err)
		}
		e := New(o)
		conns := make(chan *Conn, 1)
		served := make(chan error, 1)
		h := newHandler(echo)
		go func() {
			served <- e.Serve(ln, func(c *Conn) Handler { conns <- c; return h })
		}()
		client, err := net.Dial("unix", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(client, "hello")
		readN(t, client, 5)
		c := receive(t, conns)
		if c.RemoteAddr() == nil || c.RemoteAddr().Network() != "unix" || c.LocalAddr().Network() != "unix" {
			t.Errorf("addresses %v, %v", c.LocalAddr(), c.RemoteAddr())
		}
		client.Close()
		h.wantClosed(t, io.EOF)
		e.Close()
		if err := receive(t, served); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestAddresses compares both ends' idea of the connection.
func TestAddresses(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		conns := make(chan *Conn, 1)
		_, dial := startServer(t, o, func(c *Conn) Handler { conns <- c; return newHandler(echo) })
		for range 3 { // the reactor accepts the first of a burst in another way
			client := dial()
			c := receive(t, conns)
			if c.RemoteAddr().String() != client.LocalAddr().String() ||
				c.LocalAddr().String() != client.RemoteAddr().String() {
				t.Errorf("server %v %v, client %v %v", c.RemoteAddr(), c.LocalAddr(), client.LocalAddr(), client.RemoteAddr())
			}
		}
	})
}
