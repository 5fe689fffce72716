package engine

import (
	"io"
	"net"
	"testing"

	"github.com/epio-go/epio/internal/invariants"
	"github.com/epio-go/epio/pool"
)

// Ceilings are counted over the whole process, clients included, which allocate
// nothing themselves.

// TestSendAllocatesNothing sends a shared frame to a connection that keeps up.
func TestSendAllocatesNothing(t *testing.T) {
	if invariants.Enabled {
		t.Skip("test builds keep released memory back")
	}
	engines(t, func(t *testing.T, o Options) {
		e, c, client := adopted(t, o, newHandler(consume))
		f := frame(make([]byte, 100))
		defer f.Release()
		buf := make([]byte, 100)
		echoed := func() {
			if _, err := io.ReadFull(client, buf); err != nil {
				t.Fatal(err)
			}
		}
		ceiling := 0.0
		if e.reactor == nil {
			ceiling = 1 // the goroutine that writes
		}
		if n := testing.AllocsPerRun(2000, func() {
			f.Retain(1)
			c.Send(f)
			echoed()
		}); n > ceiling {
			t.Errorf("%v allocations per Send, want at most %v", n, ceiling)
		}
		if n := testing.AllocsPerRun(2000, func() {
			f.Retain(1)
			b := e.NewBatch()
			c.Queue(f, b)
			b.Flush()
			echoed()
		}); n > ceiling {
			t.Errorf("%v allocations per batch, want at most %v", n, ceiling)
		}
	})
}

// broadcaster is a fan-out with its receivers.
type broadcaster struct {
	e       *Engine
	conns   []*Conn
	clients []*net.TCPConn
	f       *pool.Frame
}

func newBroadcaster(t testing.TB, o Options, receivers int) *broadcaster {
	conns := make(chan *Conn, 1)
	e, dial := startServer(t, o, func(c *Conn) Handler { conns <- c; return newHandler(consume) })
	s := &broadcaster{e: e, f: frame(make([]byte, 100))}
	t.Cleanup(s.f.Release)
	for range receivers {
		s.clients = append(s.clients, dial())
		s.conns = append(s.conns, receive(t, conns))
	}
	return s
}

func (s *broadcaster) send() {
	s.f.Retain(len(s.conns))
	b := s.e.NewBatch()
	for _, c := range s.conns {
		c.Queue(s.f, b)
	}
	b.Flush()
}

// await reads what send has sent.
func (s *broadcaster) await(buf []byte) error {
	for _, nc := range s.clients {
		if _, err := io.ReadFull(nc, buf[:s.f.Len()]); err != nil {
			return err
		}
	}
	return nil
}

// TestFanOutAllocatesNothing counts what a receiver of a broadcast costs.
func TestFanOutAllocatesNothing(t *testing.T) {
	if invariants.Enabled {
		t.Skip("test builds keep released memory back")
	}
	reactors(t, func(t *testing.T, o Options) {
		const receivers = 300
		s := newBroadcaster(t, o, receivers)
		buf := make([]byte, 100)
		n := testing.AllocsPerRun(100, func() {
			s.send()
			if err := s.await(buf); err != nil {
				t.Fatal(err)
			}
		})
		if n/receivers > 0.02 { // the workers, and pools emptied by the collector
			t.Errorf("%.3f allocations per receiver", n/receivers)
		}
		t.Logf("%v allocations per broadcast to %d", n, receivers)
	})
}

// TestReceiveAllocations counts what a message from a client costs: nothing,
// except for netpoll's task and nodes of its buffers.
func TestReceiveAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("test builds keep released memory back")
	}
	engines(t, func(t *testing.T, o Options) {
		got := make(chan struct{}, 1)
		_, _, client := adopted(t, o, newHandler(func(_ *Conn, p []byte) int {
			got <- struct{}{}
			return len(p)
		}))
		msg := make([]byte, 100)
		n := testing.AllocsPerRun(2000, func() {
			client.Write(msg)
			<-got
		})
		ceiling := 0.0
		if !o.Portable && o.Reactor == Netpoll {
			ceiling = 3
		}
		if n > ceiling {
			t.Errorf("%v allocations per message, want at most %v", n, ceiling)
		}
		t.Logf("%v allocations per message", n)
	})
}
