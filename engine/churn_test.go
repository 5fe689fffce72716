package engine

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestChurn connects, talks and disconnects thousands of times, in waves, with
// every kind of end. Each handler hears of its end, and after all of it there
// are as many descriptors, goroutines and frames as before.
func TestChurn(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		const wave = 200
		waves := scaled(25)
		var made, ended atomic.Int64
		e, dial := startServer(t, o, func(*Conn) Handler {
			made.Add(1)
			return &churned{ended: &ended}
		})
		addr := dial().RemoteAddr()
		for range waves {
			var wg sync.WaitGroup
			for i := range wave {
				wg.Go(func() {
					if err := churn(addr, i); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				return
			}
		}
		eventually(t, "only the first client is left", func() bool { return e.Conns() == 1 })
		if m, n := made.Load(), ended.Load(); m != int64(waves*wave+1) || n != m-1 {
			t.Errorf("%d handlers were made and %d have ended", m, n)
		}
	})
}

// churned does what the first byte says: echo, close, or close after an answer.
type churned struct{ ended *atomic.Int64 }

func (h *churned) Data(c *Conn, p []byte) int {
	switch p[0] {
	case 'c':
		c.Close(nil)
	case 'g':
		c.CloseAfterFlush(frame(p), waitTime)
	default:
		c.Send(frame(p))
	}
	return len(p)
}

func (h *churned) Closed(*Conn, error) { h.ended.Add(1) }

// churn is the life of a client; i chooses how it ends.
func churn(addr net.Addr, i int) error {
	nc, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		return err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(waitTime))
	buf := make([]byte, 8)
	for range i % 3 {
		if _, err := nc.Write([]byte("echoecho")); err != nil {
			return err
		}
		if _, err := io.ReadFull(nc, buf); err != nil {
			return err
		}
	}
	switch i % 5 {
	case 0: // plain close
	case 1:
		nc.(*net.TCPConn).SetLinger(0)
	case 2:
		nc.Write([]byte("e")) // the answer meets a closed socket
	case 3:
		nc.Write([]byte("c"))
		if _, err := io.ReadAll(nc); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			return err
		}
	case 4:
		nc.Write([]byte("goodbye"))
		if p, err := io.ReadAll(nc); string(p) != "goodbye" || err != nil {
			return errors.Join(errors.New("no goodbye: "+string(p)), err)
		}
	}
	return nil
}

// TestIdleConnectionsOwnNoGoroutine is what the reactor is for.
func TestIdleConnectionsOwnNoGoroutine(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		if o.Portable {
			return
		}
		_, dial := startServer(t, o, func(*Conn) Handler { return newHandler(echo) })
		use := func() {
			nc := dial()
			io.WriteString(nc, "x")
			readN(t, nc, 1)
		}
		use() // starts the loops
		before := runtime.NumGoroutine()
		for range 200 {
			use()
		}
		eventually(t, "nobody works for idle connections", func() bool { return runtime.NumGoroutine() <= before })
	})
}
