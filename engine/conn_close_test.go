package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/internal/memconn"
)

var errTest = errors.New("test")

// closeCase is one connection of the matrix: what state it is in, and who ends it.
type closeCase struct {
	e      *Engine
	c      *Conn
	h      *testHandler
	client *net.TCPConn
	// inData runs a function inside Data.
	inData func(fn func(c *Conn))
	paused bool
}

// closeStates bring a fresh connection into a state.
var closeStates = []struct {
	name  string
	enter func(t *testing.T, k *closeCase)
}{
	{"open", func(*testing.T, *closeCase) {}},
	{"kept", func(t *testing.T, k *closeCase) {
		k.inData(func(*Conn) {}) // leaves its bytes
	}},
	{"pausing", func(t *testing.T, k *closeCase) {
		k.paused = true
		k.inData(func(c *Conn) { c.Pause() })
	}},
	{"paused", func(t *testing.T, k *closeCase) {
		k.paused = true
		k.inData(func(c *Conn) { c.Pause() })
		untilParked(t, k.c)
	}},
	{"resuming", func(t *testing.T, k *closeCase) {
		k.inData(func(c *Conn) { c.Pause() })
		k.c.Resume()
	}},
	{"sending", func(t *testing.T, k *closeCase) {
		k.c.Send(frame(make([]byte, 100<<10)))
	}},
	{"slow", func(t *testing.T, k *closeCase) {
		fill(t, k.c)
	}},
	{"dirty", func(t *testing.T, k *closeCase) {
		b := k.e.NewBatch()
		k.c.Queue(frame([]byte("never flushed in time")), b)
		t.Cleanup(b.Flush)
	}},
	{"closing", func(t *testing.T, k *closeCase) {
		k.c.CloseAfterFlush(frame([]byte("bye")), waitTime)
	}},
	{"closing slowly", func(t *testing.T, k *closeCase) {
		fill(t, k.c)
		k.c.CloseAfterFlush(frame([]byte("bye")), waitTime)
	}},
}

// peerGone are the errors by which the system tells that the peer has gone.
var peerGone = []error{io.EOF, syscall.ECONNRESET, syscall.EPIPE}

func isPeerGone(err error) bool {
	return slices.ContainsFunc(peerGone, func(want error) bool { return errors.Is(err, want) })
}

// closeActions end the connection, and say which error Closed may report.
var closeActions = []struct {
	name string
	do   func(k *closeCase)
	want []error
}{
	{"peer closes", func(k *closeCase) { k.client.Close() }, peerGone},
	{"peer resets", func(k *closeCase) { k.reset() }, peerGone},
	{"close", func(k *closeCase) { k.c.Close(nil) }, []error{net.ErrClosed}},
	{"close with cause", func(k *closeCase) { k.c.Close(errTest) }, []error{errTest}},
	{"close in Data", func(k *closeCase) {
		if k.paused {
			k.c.Resume() // what was left is shown again
		}
		k.inData(func(c *Conn) { c.Close(errTest) })
	}, append([]error{errTest}, peerGone...)},
	{"close gently", func(k *closeCase) {
		k.c.CloseAfterFlush(frame([]byte("x")), time.Millisecond)
		k.c.mu.Lock()
		again := k.c.queue.bytes > 0 // was closing before, with a longer linger
		k.c.mu.Unlock()
		if again || k.closing() {
			k.client.Close()
		}
	}, append([]error{net.ErrClosed}, peerGone...)},
	{"engine closes", func(k *closeCase) { k.e.Close() }, []error{net.ErrClosed}},
	{"everybody at once", func(k *closeCase) {
		var wg sync.WaitGroup
		for _, do := range []func(){
			func() { k.c.Close(errTest) },
			func() { k.c.Close(nil) },
			func() { k.c.CloseAfterFlush(frame([]byte("x")), 0) },
			func() { k.c.Resume() },
			func() { k.c.Send(frame([]byte("x"))) },
			k.reset,
			k.e.Close,
		} {
			wg.Go(do)
		}
		wg.Wait()
	}, append([]error{errTest, net.ErrClosed}, peerGone...)},
}

func (k *closeCase) reset() {
	k.client.SetLinger(0)
	k.client.Close()
}

func (k *closeCase) closing() bool {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	return k.c.flags.has(flagClosing)
}

func newCloseCase(t *testing.T, o Options) *closeCase {
	k := &closeCase{}
	fns, ran := make(chan func(c *Conn), 1), make(chan struct{}, 1)
	k.h = newHandler(func(c *Conn, p []byte) int {
		select {
		case fn := <-fns:
			fn(c)
			ran <- struct{}{}
			return 0
		default:
			return len(p)
		}
	})
	k.inData = func(fn func(*Conn)) {
		fns <- fn
		io.WriteString(k.client, "data")
		receive(t, ran)
	}
	o.SendBuffer = 256 << 10
	k.e, k.c, k.client = adopted(t, o, k.h)
	return k
}

// TestCloseMatrix ends connections in every state from every side: Closed comes
// once, with the right error, and nothing is left.
func TestCloseMatrix(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		for _, s := range closeStates {
			for _, a := range closeActions {
				t.Run(fmt.Sprintf("state=%s/by=%s", s.name, a.name), func(t *testing.T) {
					noLeaks(t)
					for range scaled(8) {
						k := newCloseCase(t, o)
						s.enter(t, k)
						a.do(k)
						if k.paused {
							k.c.Resume() // a paused connection sees its peer's end only then
						}
						err := k.h.waitClosed(t)
						ok := false
						for _, want := range a.want {
							ok = ok || errors.Is(err, want)
						}
						if !ok {
							t.Errorf("closed with %v, want one of %v", err, a.want)
						}
						if err := k.c.Send(frame([]byte("x"))); !errors.Is(err, ErrClosed) {
							t.Errorf("Send after the end: %v", err)
						}
						k.c.Close(nil)
						k.c.Resume()
						k.e.Close()
						k.client.Close()
						k.h.check(t)
						if k.c.LocalAddr() == nil || k.c.RemoteAddr() == nil {
							t.Error("an address is nil after the end")
						}
					}
				})
			}
		}
	})
}

// TestHalfClose sends and shuts down: every byte is seen before the end.
func TestHalfClose(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		msg := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
		for i := range scaled(100) {
			var got []byte
			h := newHandler(func(_ *Conn, p []byte) int {
				got = append(got, p...)
				return len(p)
			})
			e, _, client := adopted(t, o, h)
			want := msg[:len(msg)>>(i%16)]
			client.Write(want)
			client.CloseWrite()
			h.wantClosed(t, io.EOF)
			if !bytes.Equal(got, want) {
				t.Fatalf("got %d of %d bytes before the end", len(got), len(want))
			}
			e.Close()
			client.Close()
		}
	})
}

// TestHalfCloseWhilePaused is the same for a handler that pauses: what waits in
// the kernel and what was left unconsumed comes before the end.
func TestHalfCloseWhilePaused(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		for range scaled(40) {
			var got []byte
			paused := make(chan *Conn, 1)
			pauses := 0
			h := newHandler(nil)
			h.data = func(c *Conn, p []byte) int {
				if pauses < 3 {
					pauses++
					c.Pause()
					paused <- c
					return 0
				}
				got = append(got, p...)
				return len(p)
			}
			e, _, client := adopted(t, o, h)
			io.WriteString(client, "first ")
			c := receive(t, paused)
			io.WriteString(client, "second")
			client.CloseWrite()
			for range 2 {
				untilParked(t, c)
				c.Resume()
				receive(t, paused)
			}
			c.Resume()
			h.wantClosed(t, io.EOF)
			if string(got) != "first second" {
				t.Fatalf("got %q", got)
			}
			e.Close()
			client.Close()
		}
	})
}

// TestCloseAfterFlush shows the gentle end: all that was queued, the last frame,
// FIN; the peer's answer still arrives; its close ends the connection.
func TestCloseAfterFlush(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		answer := make(chan string, 1)
		h := newHandler(func(_ *Conn, p []byte) int {
			answer <- string(p)
			return len(p)
		})
		e, c, client := adopted(t, o, h)
		shrinkSendBuffer(t, c)
		block := bytes.Repeat([]byte{1}, 100<<10)
		b := e.NewBatch()
		for range 10 {
			c.Queue(frame(block), b)
		}
		c.CloseAfterFlush(frame([]byte("bye")), waitTime)
		b.Flush()
		got, err := io.ReadAll(client)
		if err != nil || len(got) != 10*len(block)+3 || !bytes.HasSuffix(got, []byte("\x01bye")) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		io.WriteString(client, "bye yourself")
		if s := receive(t, answer); s != "bye yourself" {
			t.Errorf("answer %q", s)
		}
		client.Close()
		h.wantClosed(t, io.EOF)
		if n := e.Wheel().Armed(); n != 0 {
			t.Errorf("%d timers keep connections that are gone", n)
		}
	})
}

// TestLinger closes, on time, a connection whose peer never does.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, reads := range []bool{true, false} {
			client, server := memconn.PipeSize(100)
			e := New(Options{Portable: true})
			h := newHandler(consume)
			c, err := e.Adopt(server, nil, h)
			if err != nil {
				t.Fatal(err)
			}
			if reads {
				go io.Copy(io.Discard, client)
			}
			start := time.Now()
			c.CloseAfterFlush(frame(make([]byte, 1000)), 10*time.Second)
			h.wantClosed(t, net.ErrClosed)
			if d := time.Since(start); d < 10*time.Second || d > 11*time.Second {
				t.Errorf("closed after %v", d)
			}
			client.Close()
			e.Close()
		}
	})
}

// TestLingerOfTheReactor is the same in real time.
func TestLingerOfTheReactor(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		h := newHandler(consume)
		_, c, client := adopted(t, o, h)
		start := time.Now()
		c.CloseAfterFlush(frame([]byte("bye")), 30*time.Millisecond)
		h.wantClosed(t, net.ErrClosed)
		if d := time.Since(start); d < 30*time.Millisecond {
			t.Errorf("closed after %v", d)
		}
		if got, err := io.ReadAll(client); string(got) != "bye" || err != nil {
			t.Errorf("client got %q, %v", got, err)
		}
	})
}

// TestCallsFromClosed uses the connection from inside Closed, where it can do
// nothing any more and must not lock up.
func TestCallsFromClosed(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		done := make(chan error, 1)
		h := closedFunc(func(c *Conn, err error) {
			c.Close(nil)
			c.CloseAfterFlush(frame([]byte("x")), time.Hour)
			c.Resume()
			c.SetHandler(nil)
			b := c.Engine().NewBatch()
			done <- errors.Join(c.Send(frame([]byte("x"))), c.Queue(frame([]byte("x")), b))
			b.Flush()
		})
		_, c, _ := adopted(t, o, h)
		c.Close(nil)
		if err := receive(t, done); !errors.Is(err, ErrClosed) {
			t.Errorf("sends said %v", err)
		}
	})
}

// closedFunc is a handler that cares for the end only.
type closedFunc func(c *Conn, err error)

func (f closedFunc) Data(_ *Conn, p []byte) int { return len(p) }
func (f closedFunc) Closed(c *Conn, err error)  { f(c, err) }
