package engine

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestEcho(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		h := newHandler(echo)
		_, dial := startServer(t, o, func(*Conn) Handler { return h })
		nc := dial()
		msg := bytes.Repeat([]byte("0123456789"), 20_000)
		go nc.Write(msg)
		got := make([]byte, len(msg))
		if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("echo broke: %v", err)
		}
		nc.Close()
		h.wantClosed(t, io.EOF)
	})
}

// TestAdopt hands over a connection that already carries bytes.
func TestAdopt(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		e := New(o)
		defer e.Close()
		h := newHandler(echo)
		go func() {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := e.Adopt(nc, []byte("carried "), h); err != nil {
				t.Error(err)
			}
		}()
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.WriteString(nc, "and more")
		got := make([]byte, len("carried and more"))
		if _, err := io.ReadFull(nc, got); err != nil || string(got) != "carried and more" {
			t.Fatalf("%q %v", got, err)
		}
	})
}

// TestFloodMeetsBackpressure is the heart of the inbound path: a client floods a
// handler that pauses again and again. It must be stopped by its own send
// buffer, memory must stay bounded, and not one byte may be lost or reordered.
func TestFloodMeetsBackpressure(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		const total = 16 << 20
		var seen atomic.Int64
		var bad atomic.Bool
		paused := make(chan *Conn, 1)
		var next uint32
		budget := 0
		h := newHandler(nil)
		h.data = func(c *Conn, p []byte) int {
			n := 0
			for len(p)-n >= 4 {
				if budget == 0 {
					budget = 8000
					c.Pause()
					paused <- c
					return n
				}
				if binary.BigEndian.Uint32(p[n:]) != next {
					bad.Store(true)
				}
				next++
				budget--
				n += 4
			}
			seen.Store(int64(next) * 4)
			return n
		}
		_, dial := startServer(t, o, func(*Conn) Handler { return h })
		nc := dial()
		written := make(chan struct{})
		var sent atomic.Int64
		go func() {
			defer close(written)
			buf := make([]byte, 0, 4096)
			for i := uint32(0); i < total/4; {
				buf = buf[:0]
				for range 1024 {
					buf = binary.BigEndian.AppendUint32(buf, i)
					i++
				}
				if _, err := nc.Write(buf); err != nil {
					return
				}
				sent.Add(int64(len(buf)))
			}
		}()
		c := <-paused
		// Nobody reads now. The client must get stuck, with no more than the
		// kernel's buffers in flight.
		var last int64 = -1
		for stable := 0; stable < 5; {
			if s := sent.Load(); s == last {
				stable++
			} else {
				last, stable = s, 0
			}
			<-time.After(20 * time.Millisecond)
		}
		select {
		case <-written:
			t.Error("client was not stopped by backpressure")
		default:
		}
		c.Resume()
		done := false
		for !done {
			select {
			case c := <-paused:
				c.Resume()
			case <-time.After(time.Millisecond):
				done = seen.Load() == total || bad.Load()
			}
		}
		<-written
		if bad.Load() {
			t.Error("bytes were lost or reordered")
		}
	})
}

func TestDetachKeepsEveryByte(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		got := make(chan net.Conn, 1)
		h := newHandler(nil)
		h.data = func(c *Conn, p []byte) int {
			if len(p) < 10 {
				return 0
			}
			nc, err := c.Detach()
			if err != nil {
				t.Error(err)
			}
			got <- nc
			return 5
		}
		e, dial := startServer(t, o, func(*Conn) Handler { return h })
		nc := dial()
		msg := bytes.Repeat([]byte("abcdefghij"), 10_000)
		go func() {
			nc.Write(msg)
			nc.CloseWrite()
		}()
		d := <-got
		rest, err := io.ReadAll(d)
		if err != nil || !bytes.Equal(rest, msg[5:]) {
			t.Fatalf("%d of %d bytes, %v", len(rest), len(msg)-5, err)
		}
		io.WriteString(d, "answer")
		d.Close()
		back, err := io.ReadAll(nc)
		if string(back) != "answer" {
			t.Errorf("%q %v", back, err)
		}
		if n := e.Conns(); n != 0 {
			t.Errorf("%d connections still counted", n)
		}
		if len(h.closed) != 0 {
			t.Error("Closed was called for a detached connection")
		}
	})
}

// TestSlowReader shows that a client that does not read costs no goroutine and
// no delay, is refused beyond the send buffer, and gets everything in the end.
func TestSlowReader(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		o.SendBuffer = 1 << 20
		conns := make(chan *Conn, 1)
		h := newHandler(func(c *Conn, p []byte) int { return len(p) })
		_, dial := startServer(t, o, func(c *Conn) Handler { conns <- c; return h })
		nc := dial()
		c := <-conns
		sent := fill(t, c)
		if c.SendVolatile(frame([]byte("x"))) {
			t.Error("volatile frame taken by a full connection")
		}
		c.CloseAfterFlush(nil, waitTime)
		got, err := io.Copy(io.Discard, nc)
		if err != nil || int(got) != sent {
			t.Errorf("client got %d of %d bytes, %v", got, sent, err)
		}
		nc.Close()
		h.wantClosed(t, io.EOF)
	})
}

func TestBatchReachesEverybody(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		const n, rounds = 200, 20
		conns := make(chan *Conn, n)
		h := func(c *Conn) Handler {
			conns <- c
			return newHandler(func(c *Conn, p []byte) int { return len(p) })
		}
		e, dial := startServer(t, o, h)
		var clients []*net.TCPConn
		var all []*Conn
		for range n {
			clients = append(clients, dial())
			all = append(all, <-conns)
		}
		for r := range rounds {
			f := frame([]byte{byte(r)})
			f.Retain(n)
			b := e.NewBatch()
			for _, c := range all {
				if err := c.Queue(f, b); err != nil {
					t.Fatal(err)
				}
			}
			f.Release()
			b.Flush()
		}
		var wg sync.WaitGroup
		for _, nc := range clients {
			wg.Go(func() {
				got := make([]byte, rounds)
				if _, err := io.ReadFull(nc, got); err != nil {
					t.Error(err)
				}
				for i, b := range got {
					if int(b) != i {
						t.Errorf("frame %d in place %d", b, i)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}
