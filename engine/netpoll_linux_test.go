package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloudwego/netpoll"
	"github.com/epio-go/epio/internal/invariants"
	"github.com/epio-go/epio/pool"
	"golang.org/x/sys/unix"
)

// TestReactorIsOn fails when an update of netpoll moves what the reactor relies
// on: everything would go on working, on one goroutine per connection.
func TestReactorIsOn(t *testing.T) {
	if err := checkLayout(); err != nil {
		t.Fatal(err)
	}
	e, c, _ := adopted(t, Options{Reactor: Netpoll}, newHandler(consume))
	if _, ok := c.link.(*netpollConn); !ok || e.reactor == nil {
		t.Error("a TCP connection is not on the reactor")
	}
}

// Clients that reset their connections write no lines; what netpoll says of itself is passed on.
func TestNetpollLog(t *testing.T) {
	var out strings.Builder
	netpoll.SetLoggerOutput(netpollLog{&out})
	defer netpoll.SetLoggerOutput(netpollLog{os.Stderr})
	for range 20 {
		h := newHandler(consume)
		_, _, client := adopted(t, Options{Reactor: Netpoll}, h)
		client.SetLinger(0)
		client.Write([]byte("bytes"))
		client.Close()
		<-h.closed
	}
	if out.Len() > 0 {
		t.Errorf("the log has %q", out.String())
	}
	io.WriteString(netpollLog{&out}, "NETPOLL: operator has critical problem!")
	if out.Len() == 0 {
		t.Error("nothing is passed on")
	}
}

// TestSeize shows what seize means to netpoll: events are ignored from then on.
func TestSeize(t *testing.T) {
	if err := checkLayout(); err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	np, err := netpoll.NewFDConnection(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	seized := make(chan int32, 2)
	np.AddCloseCallback(func(np netpoll.Connection) error {
		w := stateWord(np)
		seized <- atomic.LoadInt32(w)
		seize(np)
		seized <- atomic.LoadInt32(w)
		seize(np) // again: returns at once
		return nil
	})
	np.Close()
	if before, after := <-seized, <-seized; before != opInUse || after != opUnused {
		t.Errorf("state word went from %d to %d, want %d to %d", before, after, opInUse, opUnused)
	}
}

// TestLeavingThePollerLosesNothing floods many connections whose handlers leave
// the poller with every few kilobytes, in bursts, so that they come back to it as
// often. Without seize, what the poller reads behind the back of a detach is lost.
func TestLeavingThePollerLosesNothing(t *testing.T) {
	noLeaks(t)
	const conns = 16
	total := scaled(256) << 10 // numbers per connection
	var pauses atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{}, conns)
	_, dial := startServer(t, Options{Reactor: Netpoll}, func(*Conn) Handler {
		next, calls := uint32(0), 0
		return newHandler(func(c *Conn, p []byte) int {
			n := 0
			for ; len(p)-n >= 4; n += 4 {
				if got := binary.BigEndian.Uint32(p[n:]); got != next {
					t.Errorf("number %d in place of %d", got, next)
					c.Close(nil)
					done <- struct{}{}
					return len(p)
				}
				next++
			}
			if next == uint32(total) {
				done <- struct{}{}
				return n
			}
			if calls++; calls%2 == 0 {
				c.Pause()
				pauses.Add(1)
				wg.Go(c.Resume)
			}
			return n
		})
	})
	for i := range conns {
		nc := dial()
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 9))
			buf := make([]byte, 0, 8<<10)
			for n := 0; n < total; {
				buf = buf[:0]
				for range min(1+rnd.IntN(300), total-n) {
					buf = binary.BigEndian.AppendUint32(buf, uint32(n))
					n++
				}
				if _, err := nc.Write(buf); err != nil {
					return
				}
				for range rnd.IntN(4) {
					runtime.Gosched()
				}
			}
		})
	}
	for range conns {
		receive(t, done)
	}
	wg.Wait()
	t.Logf("%d pauses", pauses.Load())
}

// TestLargeInputLeavesNoMemory sends megabytes and then a few bytes over many
// connections and looks at what they keep. netpoll's own buffers would keep it.
func TestLargeInputLeavesNoMemory(t *testing.T) {
	reactors(t, func(t *testing.T, o Options) {
		const large = 4 << 20
		conns := scaled(20)
		var m runtime.MemStats
		debug.FreeOSMemory()
		runtime.ReadMemStats(&m)
		heap := m.HeapAlloc
		var got atomic.Int64
		gathered := make(chan struct{}) // a block is in netpoll's buffers, or what they take of it
		conn := make(chan *Conn, 1)
		_, dial := startServer(t, o, func(c *Conn) Handler {
			slow := o.Reactor == Netpoll
			conn <- c
			return newHandler(func(_ *Conn, p []byte) int {
				if len(p) > 1 && slow {
					slow = false
					<-gathered
				}
				got.Add(int64(len(p)))
				return len(p)
			})
		})
		for _, size := range []int{60 << 10, large} {
			block := make([]byte, size)
			want := got.Load()
			for range conns {
				nc := dial()
				c := <-conn
				var first netpoll.Connection
				if np, ok := c.link.(*netpollConn); ok {
					first = polledBy(t, np)
				}
				for _, p := range [][]byte{[]byte("a"), block, []byte("some"), []byte("more")} {
					if len(p) == large && first != nil {
						go nc.Write(p)
						isFat(t, c.link.(*netpollConn))
					} else if _, err := nc.Write(p); err != nil {
						t.Fatal(err)
					}
					if len(p) == size && first != nil {
						gathered <- struct{}{}
					}
					want += int64(len(p))
					eventually(t, "everything has arrived", func() bool { return got.Load() == want })
				}
				if size == large && first != nil && polledBy(t, c.link.(*netpollConn)) == first {
					t.Fatal("the buffers that grew are still there")
				}
			}
		}
		debug.FreeOSMemory() // twice, since the pools keep what they held for one more cycle
		debug.FreeOSMemory()
		runtime.ReadMemStats(&m)
		if m.HeapAlloc > heap+2<<20 && !invariants.Enabled { // which keep released buffers back
			t.Errorf("%d connections keep %d KiB", 2*conns, (m.HeapAlloc-heap)>>10)
		}
		t.Logf("%d KiB for %d connections and their clients", (int64(m.HeapAlloc)-int64(heap))>>10, 2*conns)
	})
}

// polledBy returns what c is to netpoll.
func polledBy(t *testing.T, c *netpollConn) (np netpoll.Connection) {
	t.Helper()
	eventually(t, "the connection is on a poller", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		np = c.np
		return c.mode == attached
	})
	return np
}

// isFat waits until the poller has taken as much of c's input as it may.
func isFat(t *testing.T, c *netpollConn) {
	t.Helper()
	eventually(t, "the poller has read ahead", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.fat
	})
	if n := c.np.Reader().Len(); n > fatRead+readChunk {
		t.Errorf("the poller has read %d KiB ahead", n>>10)
	}
	// Otherwise it would be told of the input again and again.
	eventually(t, "the poller does not look at the connection", func() bool { return !polled(t, c.fd) })
}

// polled reports whether fd is in an epoll set of this process.
func polled(t *testing.T, fd int) bool {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, _ := os.ReadFile(name) // it may have been closed
		for line := range strings.Lines(string(info)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "tfd:" && f[1] == strconv.Itoa(fd) {
				return true
			}
		}
	}
	return false
}

// TestEndBehindFatInput has a client hang up while its handler is busy and the poller has read as much as it may: what the
// kernel has still arrives, then the end.
func TestEndBehindFatInput(t *testing.T) {
	e := New(Options{Reactor: Netpoll})
	t.Cleanup(e.Close)
	for range scaled(20) {
		stream := make([]byte, 2*(fatRead+readChunk))
		rand.NewChaCha8([32]byte{}).Read(stream)
		free := make(chan struct{})
		var got bytes.Buffer
		h := newHandler(recordFrom(free, &got))
		client, server := tcpPair(t)
		c, err := e.Adopt(server, nil, h)
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := client.Write(stream)
			client.CloseWrite()
			sent <- err
		}()
		isFat(t, c.link.(*netpollConn))
		if err := receive(t, sent); err != nil {
			t.Fatal(err)
		}
		// Each poller looks around once more.
		for range 2 * runtime.GOMAXPROCS(0) {
			other, server := tcpPair(t)
			if _, err := e.Adopt(server, nil, newHandler(echo)); err != nil {
				t.Fatal(err)
			}
			io.WriteString(other, "x")
			readN(t, other, 1)
			other.Close()
		}
		close(free)
		h.wantClosed(t, io.EOF)
		client.Close()
		if !bytes.Equal(got.Bytes(), stream) {
			t.Fatalf("%d bytes arrived, or others than the %d sent", got.Len(), len(stream))
		}
	}
}

// TestCloseCallbackWithUnreadInput brings about what netpoll does when the last bytes and the end arrive between onRequest's last look
// and its own: its close callbacks run while there is input.
func TestCloseCallbackWithUnreadInput(t *testing.T) {
	for size := 1; size <= 16<<10; size *= 2 {
		var got []byte
		h := newHandler(func(c *Conn, p []byte) int {
			if got == nil {
				c.Pause() // which is still respected
				defer c.Resume()
			}
			got = append(got, p...)
			return len(p)
		})
		_, c, client := adopted(t, Options{Reactor: Netpoll}, h)
		np := polledBy(t, c.link.(*netpollConn))
		np.SetOnRequest(func(_ context.Context, np netpoll.Connection) error {
			eventually(t, "everything and the end have come", func() bool { return !np.IsActive() && np.Reader().Len() == size })
			return np.Close() // so that it asks no more
		})
		want := bytes.Repeat([]byte("x"), size)
		client.Write(want)
		client.CloseWrite()
		h.wantClosed(t, io.EOF)
		if !bytes.Equal(got, want) {
			t.Errorf("got %d of %d bytes before the end", len(got), size)
		}
		// The descriptor is ours to close, and is closed.
		if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the client reads %d, %v", n, err)
		}
	}
}

// watchFreshFiles makes files all the time and complains when one has content:
// somebody wrote to a descriptor number that was not theirs any more. The result
// stops it.
func watchFreshFiles(t *testing.T, dir string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
			}
			f, err := os.Create(dir + "/fresh")
			if err != nil {
				t.Error(err)
				return
			}
			runtime.Gosched()
			if st, err := f.Stat(); err != nil || st.Size() > 0 {
				t.Errorf("%d bytes written to somebody else's file, %v", st.Size(), err)
			}
			f.Close()
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// TestRegistrationFails uses a descriptor that no poller takes. netpoll closes it
// then; a writer that is at work meanwhile must not hit the next file with the
// same number.
func TestRegistrationFails(t *testing.T) {
	reactors(t, func(t *testing.T, o Options) {
		dir := t.TempDir()
		e := New(o)
		defer e.Close()
		netpoll.SetLoggerOutput(io.Discard) // it complains
		defer netpoll.SetLoggerOutput(os.Stderr)
		block := pool.Static(make([]byte, 100))
		defer watchFreshFiles(t, dir)()
		for range scaled(400) {
			fd, err := unix.Open(dir+"/plain", unix.O_CREAT|unix.O_RDWR|unix.O_TRUNC|unix.O_CLOEXEC, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			h := newHandler(consume)
			sent := make(chan struct{})
			started := make(chan struct{})
			_, err = e.reactor.poll.start(fd, netip.AddrPort{}, nil, func(c *Conn) Handler {
				go func() {
					defer close(sent)
					c.Send(block)
					close(started)
					for c.Send(block) == nil {
						runtime.Gosched()
					}
				}()
				<-started
				return h
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := h.waitClosed(t); err == nil || errors.Is(err, io.EOF) {
				t.Fatalf("closed with %v", err)
			}
			<-sent
		}
	})
}

// TestCloseWhileRegistering closes connections from another goroutine as soon as they are given to the poller. What
// netpoll knew them by goes to the next ones at once, and must be theirs alone.
func TestCloseWhileRegistering(t *testing.T) {
	noLeaks(t)
	links := make(chan *netpollConn, 1)
	_, doomed := startServer(t, Options{Reactor: Netpoll}, func(c *Conn) Handler {
		link := c.link.(*netpollConn)
		go func() {
			for given := false; !given; runtime.Gosched() {
				c.mu.Lock()
				given = link.mode == attached
				c.mu.Unlock()
			}
			c.Close(nil)
		}()
		return closedFunc(func(*Conn, error) { links <- link })
	})
	_, dial := startServer(t, Options{Reactor: Netpoll}, func(*Conn) Handler { return newHandler(echo) })
	var all []*netpollConn
	for range scaled(300) {
		doomed()
		all = append(all, receive(t, links))
		for range 4 { // on each poller
			nc := dial()
			io.WriteString(nc, "mine")
			if got := readN(t, nc, 4); string(got) != "mine" {
				t.Fatalf("got %q", got)
			}
		}
	}
	for _, c := range all {
		if c.inputs != nil || c.inputAck != nil {
			t.Fatal("a closed connection takes part in another one's input")
		}
	}
}
