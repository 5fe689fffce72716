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

// A connection that breaks, a PostgreSQL that is restarted, and one that stands still:
// sockets here are served all the time, requests end, and afterwards everything is as it
// was.
func TestPostgresGoesAndComesBack(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	p := clustertest.NewProxy(t, srv.addr)
	h1, h2 := &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
	o := withTable
	o.RequestsTimeout = 2 * time.Second
	a1 := clustertest.Open(t, postgres.New(srv.pool(p.Addr()), o), h1)
	a2 := clustertest.Open(t, postgres.New(srv.pool(""), o), h2)
	s := clustertest.Connect(t, a1, "one")
	clustertest.Connect(t, a2, "two")
	clustertest.WantServers(t, a1, a2)
	clustertest.Flows(t, a1, h2, adapter.Opts{}, "first", []byte("binary"))
	clustertest.Flows(t, a2, h1, adapter.Opts{}, "first", []byte("binary"))

	away := func(what string) {
		t.Helper()
		n, start := s.Delivered(), time.Now()
		err := a1.Broadcast(clustertest.Event("away"), adapter.Opts{})
		if d := time.Since(start); err != nil || s.Delivered() != n+1 || d > time.Second {
			t.Errorf("%s: delivered here after %v, %v", what, d, err)
		}
		if err := clustertest.Away(t, a1, s, what); !errors.Is(err, cluster.ErrTimeout) {
			t.Errorf("%s: sockets were fetched, %v", what, err)
		}
		if got, err := a1.ServerSideCall(t.Context(), "ev", nil); !errors.Is(err, cluster.ErrTimeout) || len(got) != 0 {
			t.Errorf("%s: answers %v, %v", what, got, err)
		}
	}
	back := func(what string) {
		t.Helper()
		clustertest.Flows(t, a1, h2, adapter.Opts{}, what)
		clustertest.Flows(t, a2, h1, adapter.Opts{}, what)
		clustertest.Flows(t, a1, h2, adapter.Opts{}, what+" binary", []byte("binary"))
		clustertest.Flows(t, a2, h1, adapter.Opts{}, what+" binary", []byte("binary"))
		clustertest.WantServers(t, a1, a2)
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

	if !strings.Contains(h1.Log(), "connection to postgres lost") {
		t.Errorf("logged %q", h1.Log())
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
	a := clustertest.Open(t, postgres.New(srv.pool(p.Addr()), noHeartbeats), &clustertest.Host{Name: "/"})
	p.Cut()
	b := clustertest.Open(t, postgres.New(srv.pool(""), noHeartbeats), &clustertest.Host{Name: "/"})
	p.Restore()
	clustertest.WantServers(t, a, b)
}

// A connection on which nothing is heard any more, although it is not closed, is made
// again.
func TestConnectionFallsSilent(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	p := clustertest.NewProxy(t, srv.addr)
	h := &clustertest.Host{Name: "/"}
	a := clustertest.Open(t, postgres.New(srv.pool(p.Addr()), withTable), h)
	clustertest.Connect(t, a, "one")
	b := clustertest.Open(t, postgres.New(srv.pool(""), withTable), &clustertest.Host{Name: "/"})
	clustertest.Flows(t, b, h, adapter.Opts{}, "first")
	p.Freeze()
	clustertest.Eventually(t, "it is noticed", func() bool { return strings.Contains(h.Log(), "connection to postgres lost") })
	p.Thaw()
	clustertest.Flows(t, b, h, adapter.Opts{}, "second")
}

// Sessions that are terminated are made again, also while much is sent. Nothing of what
// was not on its way comes twice or in another order.
func TestBackendsTerminated(t *testing.T) {
	srv := startServer(t)
	h1, h2 := &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
	a1 := clustertest.Open(t, postgres.New(srv.pool(""), withTable), h1)
	a2 := clustertest.Open(t, postgres.New(srv.pool(""), withTable), h2)
	clustertest.Connect(t, a1, "one")
	clustertest.Connect(t, a2, "two")
	clustertest.WantServers(t, a1, a2)
	for i := range 400 {
		if i%100 == 50 {
			srv.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		}
		arg := any("text")
		if i%3 == 0 {
			arg = []byte("binary")
		}
		if err := a1.Broadcast(clustertest.Event("e", i, arg), adapter.Opts{}); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Flows(t, a1, h2, adapter.Opts{}, "after")
	clustertest.Flows(t, a2, h1, adapter.Opts{}, "after")
	last := -1
	for _, e := range h2.Got() {
		var n int
		if _, err := fmt.Sscanf(e, "e[%d ", &n); err != nil {
			continue
		}
		if n <= last {
			t.Errorf("%d after %d", n, last)
		}
		last = n
	}
	if !strings.Contains(h2.Log(), "connection to postgres lost") {
		t.Errorf("logged %q", h2.Log())
	}
}

// A server that starts while PostgreSQL is away joins later.
func TestPostgresComesLater(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	p := clustertest.NewProxy(t, srv.addr)
	p.Cut()
	h, other := &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
	o := noHeartbeats
	o.PublishTimeout = 100 * time.Millisecond
	a := postgres.New(srv.pool(p.Addr()), o)(h).(*cluster.Adapter)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := a.Init(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v without PostgreSQL", err)
	}
	s := clustertest.Connect(t, a, "near")
	if err := a.Broadcast(clustertest.Event("alone"), adapter.Opts{}); err != nil || s.Delivered() != 1 {
		t.Errorf("%v, %d delivered", err, s.Delivered())
	}
	b := clustertest.Open(t, postgres.New(srv.pool(""), noHeartbeats), other)
	clustertest.Connect(t, b, "far")
	clustertest.Eventually(t, "what was sent in vain is given up", func() bool { return strings.Contains(h.Log(), "lost") })
	p.Restore()
	clustertest.WantServers(t, a, b)
	clustertest.Flows(t, b, h, adapter.Opts{}, "x")
	clustertest.Flows(t, a, other, adapter.Opts{}, "y")
	clustertest.Close(t, a)
	clustertest.WantServers(t, b)
}

// A process that is killed is forgotten when it has been silent for long enough, and
// requests do not wait for it after that. One that ends well says so.
func TestServersEnd(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	o := withTable
	o.HeartbeatInterval, o.HeartbeatTimeout = 200*time.Millisecond, time.Second
	h := &clustertest.Host{Name: "/"}
	a := clustertest.Open(t, postgres.New(srv.pool(""), o), h)
	for _, sig := range []os.Signal{os.Kill, os.Interrupt} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TEST_NODE_DSN="+srv.dsn(""))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // it is dead already unless the test failed
		clustertest.Eventually(t, "the process is counted", func() bool {
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
		clustertest.WantServers(t, a)
	}
	if n := strings.Count(h.Log(), "server is silent"); n != 1 {
		t.Errorf("%d servers fell silent, want one: logged %q", n, h.Log())
	}
}

// runNode is what the test starts as another process.
func runNode(dsn string) {
	pool, err := pgxpool.New(context.Background(), dsn)
	if err != nil {
		panic(err)
	}
	a := postgres.New(pool, postgres.Options{HeartbeatInterval: 200 * time.Millisecond})(&clustertest.Host{Name: "/"})
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
	h, other := &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
	a := clustertest.Open(t, postgres.New(srv.pool(""), withTable), h)
	b := clustertest.Open(t, postgres.New(srv.pool(""), withTable), other)
	s := clustertest.Connect(t, a, "one", "r")
	clustertest.WantServers(t, a, b)
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
	clustertest.Flows(t, b, h, adapter.Opts{}, "after")
	clustertest.Flows(t, b, h, adapter.Opts{}, "binary after", []byte{1})
	if s.Disconnected() {
		t.Error("disconnected")
	}
	for _, want := range []string{"malformed message ignored", "lost with its attachment"} {
		if !strings.Contains(h.Log(), want) {
			t.Errorf("not logged: %s, in %q", want, h.Log())
		}
	}
}

// Without the table, what fits into a notification is delivered all the same, and the
// rest is reported.
func TestWithoutTable(t *testing.T) {
	t.Parallel()
	srv := startServer(t)
	h1, h2 := &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
	f := func() adapter.Factory { return postgres.New(srv.pool(""), postgres.Options{}) }
	a1, a2 := clustertest.Open(t, f(), h1), clustertest.Open(t, f(), h2)
	clustertest.Connect(t, a2, "two")
	clustertest.WantServers(t, a1, a2)
	for i := range 20 {
		arg := any("text")
		if i%4 == 3 {
			arg = []byte("binary")
		}
		if err := a1.Broadcast(clustertest.Event("e", i, arg), adapter.Opts{}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{}
	for i := range 20 {
		if i%4 != 3 {
			want = append(want, fmt.Sprintf("e[%d text]", i))
		}
	}
	clustertest.Eventually(t, "what fits is delivered", func() bool { return slices.Equal(h2.Got(), want) })
	// The sender is told by then, and logs it at its leisure.
	clustertest.Eventually(t, "the rest is in the log", func() bool {
		log := h1.Log()
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
			as = append(as, f(&clustertest.Host{Name: fmt.Sprint("/", i)}).(*cluster.Adapter))
			if err := as[i].Init(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		// The pool makes connections in the background.
		clustertest.Eventually(t, "one connection besides the pool's", func() bool {
			return sessions()-int(pool.Stat().TotalConns()) == 1
		})
		for _, a := range as {
			clustertest.Close(t, a)
		}
	}
	pool.Reset()
	clustertest.Eventually(t, "all connections and goroutines gone", func() bool {
		return sessions() == 0 && runtime.NumGoroutine() <= goroutines
	})
}
