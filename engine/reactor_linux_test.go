package engine

import (
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/epio-go/epio/pool"
)

// TestSlowClosedDelaysNobody lets many clients hang up at once; Closed of each
// waits until all have been called. netpoll tells hang-ups one after another.
func TestSlowClosedDelaysNobody(t *testing.T) {
	reactors(t, func(t *testing.T, o Options) {
		const n = 200
		var entered sync.WaitGroup
		entered.Add(n)
		left := make(chan struct{}, n)
		conns := make(chan *Conn, 1)
		_, dial := startServer(t, o, func(c *Conn) Handler {
			conns <- c
			return closedFunc(func(*Conn, error) {
				entered.Done()
				entered.Wait()
				left <- struct{}{}
			})
		})
		var clients []*net.TCPConn
		for range n {
			clients = append(clients, dial())
			receive(t, conns)
		}
		for _, nc := range clients {
			nc.Close()
		}
		for range n {
			receive(t, left)
		}
	})
}

// TestClosedDescriptorIsLeftAlone closes connections, in each mode, under
// goroutines that send all the time. Nothing may be written to the descriptor
// once it is closed and its number is somebody else's.
func TestClosedDescriptorIsLeftAlone(t *testing.T) {
	reactors(t, func(t *testing.T, o Options) {
		defer watchFreshFiles(t, t.TempDir())()
		e := New(o)
		defer e.Close()
		f := pool.Static(make([]byte, 100))
		for i := range scaled(400) {
			client, server := tcpPair(t)
			h := newHandler(func(c *Conn, p []byte) int {
				c.Pause()
				return len(p)
			})
			c, err := e.Adopt(server, nil, h)
			if err != nil {
				t.Fatal(err)
			}
			var senders sync.WaitGroup
			for range 3 {
				senders.Go(func() {
					for c.Send(f) == nil {
						runtime.Gosched()
					}
				})
			}
			senders.Go(func() { io.Copy(io.Discard, client) })
			if i%2 == 0 {
				io.WriteString(client, "x")
				untilParked(t, c)
			}
			c.Close(nil)
			h.wantClosed(t, net.ErrClosed)
			senders.Wait()
			client.Close()
		}
	})
}
