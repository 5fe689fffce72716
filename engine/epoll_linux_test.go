package engine

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPausedPeerResets shows that the end of a paused connection's peer, which
// epoll reports whether asked or not, does not keep the loop busy, and that what
// was sent before is still shown.
func TestPausedPeerResets(t *testing.T) {
	noLeaks(t)
	paused := make(chan struct{}, 1)
	first := true
	h := newHandler(func(c *Conn, p []byte) int {
		if first {
			first = false
			c.Pause()
			paused <- struct{}{}
			return 0
		}
		if string(p) != "data" {
			t.Errorf("shown %q", p)
		}
		return len(p)
	})
	_, c, client := adopted(t, Options{Reactor: Epoll}, h)
	io.WriteString(client, "data")
	receive(t, paused)
	client.SetLinger(0)
	client.Close()
	eventually(t, "the connection has left the set", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !c.link.(*epollConn).watched
	})
	if len(h.closed) > 0 {
		t.Error("closed while paused")
	}
	c.Resume()
	if err := h.waitClosed(t); !isPeerGone(err) {
		t.Errorf("closed with %v", err)
	}
}

// TestShownAtOnce has a handler that is slow for a while: it is shown little at once then, so that the loop gets to
// the other connections in between, and much again when it is quick.
func TestShownAtOnce(t *testing.T) {
	noLeaks(t)
	const perKiB = 2 * turn // longer than a turn, whatever else the machine does
	var slow atomic.Bool
	slow.Store(true)
	sizes := make(chan int, 1<<16)
	h := newHandler(func(_ *Conn, p []byte) int {
		if slow.Load() {
			time.Sleep(time.Duration(len(p)) * perKiB / 1024)
		}
		sizes <- len(p)
		return len(p)
	})
	_, _, client := adopted(t, Options{Reactor: Epoll}, h)
	block := make([]byte, readChunk)
	if _, err := client.Write(block); err != nil {
		t.Fatal(err)
	}
	for seen, n := 0, 0; seen < len(block); seen += n {
		first := seen == 0
		if n = receive(t, sizes); first && n > readChunk>>firstShown || !first && n > readChunk>>leastShown {
			t.Errorf("shown %d bytes at once after %d", n, seen)
		}
	}
	slow.Store(false)
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := client.Write(block); err != nil {
					return
				}
			}
		}
	}()
	for receive(t, sizes) < readChunk {
	}
	close(stop)
	<-ended
	client.Close()
	h.wantClosed(t, io.EOF)
}

// TestNextShift pins how what is shown follows the time it takes.
func TestNextShift(t *testing.T) {
	for _, c := range []struct {
		shift uint8
		n     int
		d     time.Duration
		want  uint8
	}{
		{0, readChunk, turn, 0},       // just right
		{0, readChunk, 2 * turn, 1},   // twice as long
		{0, readChunk, 2*turn + 1, 2}, // and a little longer
		{0, readChunk, time.Hour, leastShown},
		{0, 4 << 10, 4 * turn, leastShown}, // what was there counts, not what could have been
		{2, 16 << 10, turn / 8, 1},         // quick, and there may be more
		{2, 16<<10 - 1, turn / 8, 2},       // quick, and there was no more
		{0, readChunk, turn / 8, 0},
		{3, 8 << 10, turn / 2, 3},
		{leastShown, 1 << 10, turn * 2, leastShown},
	} {
		if got := nextShift(c.shift, c.n, c.d); got != c.want {
			t.Errorf("nextShift(%d, %d, %v) = %d, want %d", c.shift, c.n, c.d, got, c.want)
		}
	}
}

// TestDataRunsInTurn floods over many connections of one engine: nobody is
// starved by the others.
func TestDataRunsInTurn(t *testing.T) {
	reactors(t, func(t *testing.T, o Options) {
		_, dial := startServer(t, o, func(*Conn) Handler {
			return newHandler(func(c *Conn, p []byte) int {
				if string(p) == "ping" {
					return echo(c, p)
				}
				return len(p)
			})
		})
		stop := make(chan struct{})
		ended := make(chan struct{}, 4)
		for range cap(ended) {
			nc := dial()
			go func() {
				block := make([]byte, 256<<10)
				for {
					select {
					case <-stop:
						ended <- struct{}{}
						return
					default:
						nc.Write(block)
					}
				}
			}()
		}
		nc := dial()
		for range 20 {
			io.WriteString(nc, "ping")
			readN(t, nc, 4)
		}
		close(stop)
		for range cap(ended) {
			receive(t, ended)
		}
	})
}

// TestLoopForgets shows what a loop keeps: no connection that has ended, and no
// interest in room to write once everything is written.
func TestLoopForgets(t *testing.T) {
	noLeaks(t)
	conns := make(chan *Conn, 1)
	e, dial := startServer(t, Options{Reactor: Epoll, SendBuffer: 256 << 10}, func(c *Conn) Handler {
		conns <- c
		return newHandler(consume)
	})
	for range 20 {
		client := dial()
		c := receive(t, conns)
		sent := fill(t, c)
		readN(t, client, sent)
		eventually(t, "the loop waits for input only", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.link.(*epollConn).events == unix.EPOLLIN|unix.EPOLLRDHUP
		})
		client.Close()
	}
	eventually(t, "all connections have ended", func() bool { return e.Conns() == 0 })
	for i, l := range e.reactor.poll.(*epoller).loops {
		l.mu.Lock()
		if n := len(l.conns); n > 0 {
			t.Errorf("loop %d keeps %d connections", i, n)
		}
		l.mu.Unlock()
	}
}

// TestStaleHangUp shows that the hang-up of an earlier connection with the same
// descriptor, which the loop had fetched before that was closed, does not stop the
// writes of a paused one.
func TestStaleHangUp(t *testing.T) {
	noLeaks(t)
	h := newHandler(func(c *Conn, _ []byte) int {
		c.Pause()
		return 0
	})
	_, c, client := adopted(t, Options{Reactor: Epoll, SendBuffer: 256 << 10}, h)
	io.WriteString(client, "data")
	untilParked(t, c)
	sent := fill(t, c)
	c.link.(*epollConn).ready(unix.EPOLLHUP | unix.EPOLLERR)
	readN(t, client, sent)
	c.Close(nil)
	h.waitClosed(t)
}
