package engine

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/epio-go/epio/pool"
)

// waiting counts the connections whose socket is full. The kernel makes room in
// a full socket now and then though its peer does not read: such a connection
// writes for a moment, and waits again.
func waiting(conns []*Conn) (n int) {
	for _, c := range conns {
		c.mu.Lock()
		if c.flags.has(flagWaiting) {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// TestSlowReadersCostNoGoroutine fills the sockets of many clients that do not
// read. One goroutine waits for all of them, nobody else is delayed, and once
// they read, each gets every byte in order.
func TestSlowReadersCostNoGoroutine(t *testing.T) {
	reactors(t, func(t *testing.T, o Options) {
		n := scaled(300)
		const size = 100 << 10 // bytes for each
		conns := make(chan *Conn, 1)
		_, dial := startServer(t, o, func(c *Conn) Handler {
			conns <- c
			return newHandler(echo)
		})
		clients := make([]*net.TCPConn, n)
		all := make([]*Conn, n)
		for i := range n {
			nc := dial()
			nc.SetReadBuffer(4096)
			clients[i], all[i] = nc, receive(t, conns)
			shrinkSendBuffer(t, all[i])
		}
		before := runtime.NumGoroutine()
		var sent []byte
		for i := range size / 4 {
			sent = binary.BigEndian.AppendUint32(sent, uint32(i))
		}
		for p := range slices.Chunk(sent, 3000) { // not a divisor of anything
			f := frame(p)
			f.Retain(n)
			b := all[0].Engine().NewBatch()
			for _, c := range all {
				if err := c.Queue(f, b); err != nil {
					t.Fatal(err)
				}
			}
			f.Release()
			b.Flush()
		}
		eventually(t, "every connection waits", func() bool { return waiting(all) == n })
		eventually(t, "one goroutine does, or none", func() bool { return runtime.NumGoroutine() <= before+1 })

		healthy := dial()
		c := receive(t, conns)
		for range 100 {
			if _, err := healthy.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			readN(t, healthy, 4)
			c.Send(pool.Static([]byte("x")))
			readN(t, healthy, 1)
		}
		for _, c := range all {
			if c.Buffered() == 0 {
				t.Fatal("a slow reader has nothing queued: the test has not tested much")
			}
		}
		eventually(t, "every connection still waits", func() bool { return waiting(all) == n })

		var wg sync.WaitGroup
		for _, r := range clients {
			r.SetReadBuffer(1 << 20)
			wg.Go(func() {
				got := make([]byte, len(sent))
				if k, err := io.ReadFull(r, got); err != nil {
					t.Errorf("got %d of %d bytes: %v", k, len(sent), err)
				} else if !bytes.Equal(got, sent) {
					t.Error("bytes were lost or reordered")
				}
			})
		}
		wg.Wait()
		eventually(t, "nobody waits, nothing is queued", func() bool {
			return waiting(all) == 0 && !slices.ContainsFunc(all, func(c *Conn) bool { return c.Buffered() > 0 })
		})
	})
}

// TestWaitingConnectionsClose closes connections while their sockets are full:
// none stays in the set.
func TestWaitingConnectionsClose(t *testing.T) {
	noLeaks(t)
	e := New(Options{Reactor: Netpoll, SendBuffer: 256 << 10})
	defer e.Close()
	for i := range 60 {
		client, server := tcpPair(t)
		h := newHandler(consume)
		c, err := e.Adopt(server, nil, h)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, c)
		eventually(t, "the connection waits", func() bool { return e.reactor.poll.(*netpoller).out.waiting() == 1 })
		switch i % 3 {
		case 0:
			c.Close(nil)
		case 1:
			client.SetLinger(0)
			client.Close()
		default:
			c.CloseAfterFlush(nil, 0)
		}
		h.waitClosed(t)
		h.check(t)
		if w := e.reactor.poll.(*netpoller).out.waiting(); w != 0 {
			t.Fatalf("case %d: %d closed connections still wait", i%3, w)
		}
		client.Close()
	}
}
