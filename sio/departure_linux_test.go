package sio

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/internal/herd"
	"github.com/epio-go/epio/internal/invariants"
	"github.com/epio-go/epio/pool"
)

const (
	// envDeparture makes the test binary the server of TestSIGTERM.
	envDeparture = "EPIO_DEPARTURE"
	// departure is the time over which it sends its clients away.
	departure = 4 * time.Second
	// departureLimit is when it would cut them off. It is there to be far away.
	departureLimit = time.Minute
)

// departed is what that server says at its end.
type departed struct {
	Err            string
	Took           time.Duration
	Slow, SlowDone int // handlers of "slow": begun, and finished without having been cut off
	Asked, Heard   int // calls of "confirm", and their answers
	Clogged        int // connections that took nothing any more when the end began
	Sessions       int // what is left
	Frames         int
	Goroutines     int
	Descriptors    int // besides those there were before the first connection
}

// departing is the server: it drains on SIGTERM, as examples/drain does.
func departing() {
	if os.Getenv(envDeparture) == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	live, fds := pool.Live(), openFiles()
	d := new(departed)
	var slow, slowDone, asked, heard atomic.Int64
	cfg := Config{AckTimeout: departureLimit}
	cfg.Engine.PingInterval = 10 * time.Minute // the clients do not answer
	srv, err := New(cfg)
	fatal(err)
	OnAck0(srv, "slow", func(hctx context.Context, s *Socket) (int, error) {
		n := slow.Add(1)
		if err := s.Emit("begun"); err != nil {
			return 0, err
		}
		<-ctx.Done()
		work := time.NewTimer(time.Duration(n%100) * departure / 80) // longer than the period, for some
		defer work.Stop()
		select {
		case <-work.C:
			slowDone.Add(1)
			return int(n), nil
		case <-hctx.Done():
			return 0, context.Cause(hctx)
		}
	})
	On0(srv, "ask", func(_ context.Context, s *Socket) error {
		go func() {
			asked.Add(1)
			if ok, err := Call[bool](context.Background(), s, "confirm"); err == nil && ok {
				heard.Add(1)
			}
		}()
		return nil
	})
	page := strings.Repeat("x", 128<<10)
	srv.Handle("fill", HandlerFunc(func(_ context.Context, s *Socket, m *Message) error {
		s.SetData("mute")
		err := m.Ack()
		for i := 0; i < 4 && err == nil; i++ {
			err = s.Emit("page", page)
		}
		return err
	}))
	// The kernel takes little, so that there is something left here for those who do not read.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			fatal(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 32<<10))
		})
	}}
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	fatal(err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	fmt.Println(ln.Addr())

	<-ctx.Done()
	start := time.Now()
	d.Clogged = clogged(srv)
	dctx, cancel := context.WithTimeout(context.Background(), departureLimit)
	defer cancel()
	if err := srv.Drain(dctx, departure); err != nil {
		d.Err = err.Error()
	}
	d.Took = time.Since(start)
	if err := <-served; err != ErrServerClosed {
		d.Err += " served: " + err.Error()
	}
	// Goroutines that have done everything may not have ended yet.
	tick := time.NewTicker(5 * time.Millisecond)
	for range 2000 {
		d.Goroutines, d.Frames, d.Descriptors = runtime.NumGoroutine(), pool.Live()-live, openFiles()-fds
		if d.Goroutines <= keepWorkers() && d.Frames <= 0 {
			break
		}
		<-tick.C
	}
	d.Sessions = srv.Engine().Sessions()
	d.Slow, d.SlowDone, d.Asked, d.Heard = int(slow.Load()), int(slowDone.Load()), int(asked.Load()), int(heard.Load())
	fatal(json.NewEncoder(os.Stdout).Encode(d))
	if d.Err != "" {
		os.Exit(1)
	}
	os.Exit(0)
}

// clogged counts the clients that take nothing any more, once all of those are there that will come.
func clogged(srv *Server) (n int) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		n = 0
		mute := 0
		for s := range srv.Sockets() {
			if s.Data() == "mute" {
				mute++
				if s.c.sess.Buffered() > 0 {
					n++
				}
			}
		}
		if n == mute {
			break
		}
		<-tick.C
	}
	return n
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func openFiles() int {
	all, err := os.ReadDir("/proc/self/fd")
	fatal(err)
	return len(all)
}

// TestSIGTERM ends a server with 10,000 clients, in processes of their own: most wait, some for the answer of a handler, some
// are asked for something, some never read. All are told to go, over the period, and go to another server, which is this
// process. Nothing that was begun is lost and nothing is left.
func TestSIGTERM(t *testing.T) {
	f := &herd.Flock{Idle: 8700, Slow: 400, Asked: 400, Mute: 50, Polls: 450, Answers: departure * 5 / 4}
	if testing.Short() || invariants.Enabled {
		f.Idle, f.Slow, f.Asked, f.Mute, f.Polls = 300, 40, 40, 5, 40
	}
	needFiles(t, f.Size()+1000)
	next, nextAddr := listen(t, quiet(eio.Config{})) // the clients answer no PING
	f.Next = nextAddr

	exe, err := os.Executable()
	must(t, err)
	server := exec.Command(exe)
	server.Env = append(os.Environ(), envDeparture+"=1")
	server.Stderr = os.Stderr
	stdout, err := server.StdoutPipe()
	must(t, err)
	must(t, server.Start())
	defer server.Process.Kill() // if the test fails
	lines := bufio.NewReader(stdout)
	addr, err := lines.ReadString('\n')
	must(t, err)
	f.Addr = strings.TrimSpace(addr)

	opening := time.Now()
	flock, err := f.Run()
	must(t, err)
	defer flock.Stop()
	t.Logf("%d clients in %v", f.Size(), time.Since(opening).Round(time.Millisecond))

	told := time.Now()
	must(t, server.Process.Signal(syscall.SIGTERM))
	refused := make(chan error, 1)
	go func() { refused <- untilRefused(f.Addr) }()
	rep, err := flock.Leave(told)
	if err != nil {
		t.Error(err)
	}
	must(t, receive(t, refused))
	var d departed
	line, err := lines.ReadBytes('\n')
	must(t, err)
	must(t, json.Unmarshal(line, &d))
	if err := server.Wait(); err != nil {
		t.Errorf("the server ended with %v: %s", err, d.Err)
	}
	t.Logf("drained in %v, all in %v; told in each tenth of a second: %v", d.Took.Round(time.Millisecond), time.Since(told).Round(time.Millisecond), rep.Spread)
	t.Logf("%+v", d)

	loud := f.Size() - f.Mute
	if rep.Closed != loud || rep.Cut != 0 || rep.Moved != loud {
		t.Errorf("of %d clients %d were told, %d cut off, and %d moved", loud, rep.Closed, rep.Cut, rep.Moved)
	}
	if n := next.Engine().Sessions(); n != loud {
		t.Errorf("the other server has %d clients, want %d", n, loud)
	}
	if d.Slow != f.Slow || d.SlowDone != f.Slow || rep.Answered != f.Slow {
		t.Errorf("of %d handlers %d finished, and %d answers came", d.Slow, d.SlowDone, rep.Answered)
	}
	if d.Asked != f.Asked || d.Heard != f.Asked {
		t.Errorf("of %d calls %d were answered", d.Asked, d.Heard)
	}
	if d.Clogged != f.Mute {
		t.Errorf("%d connections were clogged, want %d", d.Clogged, f.Mute)
	}
	if d.Sessions != 0 || d.Frames > 0 || d.Goroutines > keepWorkers() || d.Descriptors > 8 {
		t.Errorf("left: %d sessions, %d frames, %d goroutines, %d descriptors", d.Sessions, d.Frames, d.Goroutines, d.Descriptors)
	}
	// A machine that stands still makes it late, but never early.
	for _, by := range []struct{ tenths, most int }{{10, 50}, {20, 75}} {
		n := 0
		for _, k := range rep.Spread[:min(by.tenths, len(rep.Spread))] {
			n += k
		}
		if all := f.Idle + f.Polls; n*100 > all*by.most {
			t.Errorf("%d of %d were told within %d tenths of a second", n, all, by.tenths)
		}
	}
}

// untilRefused connects until the server does not want that any more, and returns another reason for that, if it is one.
func untilRefused(addr string) error {
	for {
		c, err := herd.Dial(addr)
		if err == nil {
			c.Close()
			continue
		}
		if strings.Contains(err.Error(), "503") {
			return nil
		}
		return err
	}
}

// needFiles skips the test, or fails in CI, if this process and those it starts may not have n files.
func needFiles(t *testing.T, n int) {
	t.Helper()
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur >= uint64(n) {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("ulimit -n is %d, want %d", limit.Cur, n)
	}
	t.Skipf("ulimit -n is %d, want %d", limit.Cur, n)
}
