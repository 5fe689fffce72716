package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/postgres"
)

// flows sends from one to the other until something arrives: whatever was lost before,
// everything is in place again.
func flows(t *testing.T, from *cluster.Adapter, to *host, name string, args ...any) {
	t.Helper()
	n := 0
	eventually(t, "broadcasts flow: "+name, func() bool {
		n++
		// While the queue waits it fills up, so not each of these is new.
		if n%50 == 1 {
			if err := from.Broadcast(event(fmt.Sprint(name, n), args...), adapter.Opts{}); err != nil {
				t.Fatal(err)
			}
		}
		return slices.ContainsFunc(to.events(), func(s string) bool { return strings.HasPrefix(s, name) })
	})
}

// A connection that breaks, a PostgreSQL that is restarted, and one that stands still:
// sockets here are served all the time, requests end, and afterwards everything is as it
// was.
func TestPostgresGoesAndComesBack(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	p := clustertest.NewProxy(t, srv.addr)
	h1, h2 := &host{nsp: "/"}, &host{nsp: "/"}
	o := withTable
	o.RequestsTimeout = 2 * time.Second
	a1 := open(t, postgres.New(srv.pool(p.Addr()), o), h1)
	a2 := open(t, postgres.New(srv.pool(""), o), h2)
	s := connect(t, a1, "one")
	connect(t, a2, "two")
	wantServers(t, a1, a2)
	flows(t, a1, h2, "first", []byte("binary"))
	flows(t, a2, h1, "first", []byte("binary"))

	away := func(what string) {
		t.Helper()
		n := s.count()
		start := time.Now()
		for i := range 10 {
			if err := a1.Broadcast(event(fmt.Sprint("away", i)), adapter.Opts{}); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if s.count() != n+10 {
			t.Errorf("%s: %d of 10 delivered here", what, s.count()-n)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("%s: delivered after %v", what, d)
		}
		infos, err := a1.FetchSockets(t.Context(), adapter.Opts{})
		if !errors.Is(err, cluster.ErrTimeout) || len(infos) != 1 {
			t.Errorf("%s: fetched %v, %v", what, infos, err)
		}
		if got, err := a1.ServerSideCall(t.Context(), "ev", nil); !errors.Is(err, cluster.ErrTimeout) || len(got) != 0 {
			t.Errorf("%s: answers %v, %v", what, got, err)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s: took %v", what, d)
		}
	}
	back := func(what string) {
		t.Helper()
		flows(t, a1, h2, what)
		flows(t, a2, h1, what)
		flows(t, a1, h2, what+" binary", []byte("binary"))
		flows(t, a2, h1, what+" binary", []byte("binary"))
		wantServers(t, a1, a2)
		infos, err := a1.FetchSockets(t.Context(), adapter.Opts{})
		if err != nil || len(infos) != 2 {
			t.Errorf("%s: fetched %v, %v", what, infos, err)
		}
	}
	p.Cut()
	away("cut")
	p.Restore()
	back("restored")

	srv.kill()
	away("killed")
	srv.start()
	back("restarted")

	p.Freeze()
	away("frozen")
	p.Thaw()
	back("thawed")

	if !strings.Contains(h1.log(), "connection to postgres lost") {
		t.Errorf("logged %q", h1.log())
	}
}

// noHeartbeats make servers know each other only by what they say when they start, or
// listen again.
var noHeartbeats = postgres.Options{CreateTable: true, HeartbeatInterval: time.Hour, HeartbeatTimeout: time.Hour}

// Servers that start while another one does not hear them get to know it.
func TestMissedStart(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	p := clustertest.NewProxy(t, srv.addr)
	a := open(t, postgres.New(srv.pool(p.Addr()), noHeartbeats), &host{nsp: "/"})
	p.Cut()
	b := open(t, postgres.New(srv.pool(""), noHeartbeats), &host{nsp: "/"})
	p.Restore()
	wantServers(t, a, b)
}

// A connection on which nothing is heard any more, although it is not closed, is made
// again.
func TestConnectionFallsSilent(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	p := clustertest.NewProxy(t, srv.addr)
	h := &host{nsp: "/"}
	a := open(t, postgres.New(srv.pool(p.Addr()), withTable), h)
	connect(t, a, "one")
	b := open(t, postgres.New(srv.pool(""), withTable), &host{nsp: "/"})
	flows(t, b, h, "first")
	p.Freeze()
	eventually(t, "it is noticed", func() bool { return strings.Contains(h.log(), "connection to postgres lost") })
	p.Thaw()
	flows(t, b, h, "second")
}

// Sessions that are terminated are made again, also while much is sent. Nothing of what
// was not on its way comes twice or in another order.
func TestBackendsTerminated(t *testing.T) {
	srv := startServer(t)
	h1, h2 := &host{nsp: "/"}, &host{nsp: "/"}
	a1 := open(t, postgres.New(srv.pool(""), withTable), h1)
	a2 := open(t, postgres.New(srv.pool(""), withTable), h2)
	connect(t, a1, "one")
	connect(t, a2, "two")
	wantServers(t, a1, a2)
	for i := range 400 {
		if i%100 == 50 {
			srv.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		}
		arg := any("text")
		if i%3 == 0 {
			arg = []byte("binary")
		}
		if err := a1.Broadcast(event("e", i, arg), adapter.Opts{}); err != nil {
			t.Fatal(err)
		}
	}
	flows(t, a1, h2, "after")
	flows(t, a2, h1, "after")
	last := -1
	for _, e := range h2.events() {
		var n int
		if _, err := fmt.Sscanf(e, "e[%d ", &n); err != nil {
			continue
		}
		if n <= last {
			t.Errorf("%d after %d", n, last)
		}
		last = n
	}
	if !strings.Contains(h2.log(), "connection to postgres lost") {
		t.Errorf("logged %q", h2.log())
	}
}

// A server that starts while PostgreSQL is away joins later.
func TestPostgresComesLater(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	p := clustertest.NewProxy(t, srv.addr)
	p.Cut()
	h, other := &host{nsp: "/"}, &host{nsp: "/"}
	o := noHeartbeats
	o.PublishTimeout = 100 * time.Millisecond
	a := postgres.New(srv.pool(p.Addr()), o)(h).(*cluster.Adapter)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := a.Init(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v without PostgreSQL", err)
	}
	s := connect(t, a, "near")
	if err := a.Broadcast(event("alone"), adapter.Opts{}); err != nil || s.count() != 1 {
		t.Errorf("%v, %d delivered", err, s.count())
	}
	b := open(t, postgres.New(srv.pool(""), noHeartbeats), other)
	connect(t, b, "far")
	eventually(t, "what was sent in vain is given up", func() bool { return strings.Contains(h.log(), "lost") })
	p.Restore()
	wantServers(t, a, b)
	flows(t, b, h, "x")
	flows(t, a, other, "y")
	closeAdapter(t, a)
	wantServers(t, b)
}

// A process that is killed is forgotten when it has been silent for long enough, and
// requests do not wait for it after that. One that ends well says so.
func TestServersEnd(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	o := withTable
	o.HeartbeatInterval, o.HeartbeatTimeout = 200*time.Millisecond, time.Second
	h := &host{nsp: "/"}
	a := open(t, postgres.New(srv.pool(""), o), h)
	for _, sig := range []os.Signal{os.Kill, os.Interrupt} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TEST_NODE_DSN="+srv.dsn(""))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // it is dead already unless the test failed
		eventually(t, "the process is counted", func() bool {
			n, _ := a.ServerCount(t.Context())
			return n == 2
		})
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); (err == nil) != (sig == os.Interrupt) {
			t.Errorf("%v: %v", sig, err)
		}
		answers, err := a.ServerSideCall(t.Context(), "ev", nil)
		if len(answers) != 0 || err != nil {
			t.Errorf("%v: answers %v, %v", sig, answers, err)
		}
		wantServers(t, a)
	}
	if n := strings.Count(h.log(), "server is silent"); n != 1 {
		t.Errorf("%d servers fell silent, want one: logged %q", n, h.log())
	}
}

// runNode is what the test starts as another process.
func runNode(dsn string) {
	pool, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		panic(err)
	}
	a := postgres.New(pool, postgres.Options{HeartbeatInterval: 200 * time.Millisecond})(&host{nsp: "/"})
	if err := a.Init(context.Background()); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	<-ctx.Done()
	if err := a.Close(context.Background()); err != nil {
		panic(err)
	}
}

// Rubbish on the channel is logged and ignored, and nobody is disconnected by it.
func TestMalformedNotifications(t *testing.T) {
	srv := startServer(t)
	h, other := &host{nsp: "/"}, &host{nsp: "/"}
	a := open(t, postgres.New(srv.pool(""), withTable), h)
	b := open(t, postgres.New(srv.pool(""), withTable), other)
	s := connect(t, a, "one", "r")
	wantServers(t, a, b)
	row := func(payload string) string {
		srv.exec(`INSERT INTO socket_io_attachments (payload) VALUES ($1)`, []byte(payload))
		return fmt.Sprint(srv.count(`SELECT max(id) FROM socket_io_attachments`))
	}
	header := func(id string) string { return `{"uid":"u","type":3,"attachmentId":` + id + `}` }
	for _, p := range []string{
		"", "x", "{", "{}", "[]", "null", "7", `"attachmentId"`, `["attachmentId"]`, `{"attachmentId":null}`,
		header(`""`), header(`"x"`), header(`{}`), header(`[1]`), header(`"999999999999999999999"`), header(`"-1"`),
		header(`"4711"`), header(`4711`), header(`1.5`), header(`true`),
		header(`"` + row("") + `"`), header(`"` + row("\xc1\xc1") + `"`), header(`"` + row("{}") + `"`),
		header(`"` + row("\x80") + `"`), header(`"` + row("\x83\xa4type\x03") + `"`),
		header(row(strings.Repeat("\x91", 10000))),
		`{"uid":"u","type":3,"attachmentId":"1","opts":7,"to":7,"requestId":7}`,
		`{"uid":"u","type":3,"attachmentId":"1","opts":{"rooms":7}}`,
		`{"type":6,"uid":"u","nsp":"/","data":{"close":true}}`,
		`{"type":6,"uid":"u","nsp":"/","data":{"opts":{},"close":true}}`,
		`{"type":6,"uid":"emitter","data":{"close":true}}`,
		`{"type":6,"uid":"u","nsp":"/"}`, `{"type":3,"uid":"u","nsp":"/"}`, `{"type":9,"uid":"u","nsp":"/"}`,
		`{"type":3,"uid":"u","nsp":"/","data":{"packet":{"type":1,"data":[]},"opts":{"rooms":[],"except":[]}}}`,
		`{"type":11,"uid":"u","nsp":"/","data":null}`, `{"type":99,"uid":"u","nsp":"/"}`, `{"type":-1,"uid":"u","nsp":"/"}`,
		strings.Repeat("[", 7000), strings.Repeat(`{"a":`, 1500),
	} {
		srv.exec(`SELECT pg_notify('socket.io#/', $1)`, p)
	}
	flows(t, b, h, "after")
	flows(t, b, h, "binary after", []byte{1})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disconnected {
		t.Error("disconnected")
	}
	for _, want := range []string{"malformed message ignored", "lost with its attachment"} {
		if !strings.Contains(h.log(), want) {
			t.Errorf("not logged: %s, in %q", want, h.log())
		}
	}
}

// Without the table, what fits into a notification is delivered all the same, and the
// rest is reported.
func TestWithoutTable(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	h1, h2 := &host{nsp: "/"}, &host{nsp: "/"}
	f := func() adapter.Factory { return postgres.New(srv.pool(""), postgres.Options{}) }
	a1, a2 := open(t, f(), h1), open(t, f(), h2)
	connect(t, a2, "two")
	wantServers(t, a1, a2)
	for i := range 20 {
		arg := any("text")
		if i%4 == 3 {
			arg = []byte("binary")
		}
		if err := a1.Broadcast(event("e", i, arg), adapter.Opts{}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{}
	for i := range 20 {
		if i%4 != 3 {
			want = append(want, fmt.Sprintf("e[%d text]", i))
		}
	}
	eventually(t, "what fits is delivered", func() bool { return slices.Equal(h2.events(), want) })
	// The sender is told by then, and logs it at its leisure.
	eventually(t, "the rest is in the log", func() bool {
		log := h1.log()
		return strings.Contains(log, "messages to other servers lost") && strings.Contains(log, "socket_io_attachments")
	})
}

// Servers that come and go leave nothing behind, and namespaces share the connection
// that listens.
func TestNothingIsLeftBehind(t *testing.T) {
	srv := startServer(t)
	pool := srv.pool("")
	sessions := func() int {
		return srv.count(`SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	}
	f := postgres.New(pool, postgres.Options{CreateTable: true, CleanupInterval: time.Hour})
	goroutines := runtime.NumGoroutine()
	for range 3 {
		var as []*cluster.Adapter
		for i := range 10 {
			as = append(as, f(&host{nsp: fmt.Sprint("/", i)}).(*cluster.Adapter))
			if err := as[i].Init(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		// The pool makes connections in the background.
		eventually(t, "one connection besides the pool's", func() bool {
			return sessions()-int(pool.Stat().TotalConns()) == 1
		})
		for _, a := range as {
			closeAdapter(t, a)
		}
	}
	pool.Reset()
	eventually(t, "all connections and goroutines gone", func() bool {
		return sessions() == 0 && runtime.NumGoroutine() <= goroutines
	})
}
