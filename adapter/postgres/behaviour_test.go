package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/postgres"
)

// two returns two servers that know each other, the second with a client.
func two(t *testing.T, srv *server, o postgres.Options) (a1, a2 *cluster.Adapter, h1, h2 *clustertest.Host) {
	t.Helper()
	h1, h2 = &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
	a1 = clustertest.Open(t, postgres.New(srv.pool(""), o), h1)
	a2 = clustertest.Open(t, postgres.New(srv.pool(""), o), h2)
	clustertest.Connect(t, a2, "two")
	clustertest.WantServers(t, a1, a2)
	return a1, a2, h1, h2
}

// Messages around the size that PostgreSQL refuses arrive, each of them.
func TestSizes(t *testing.T) {
	a1, _, _, h2 := two(t, startServer(t), withTable)
	var want []string
	sizes := []int{100_000, 3_000_000}
	for n := 7850; n < 7910; n++ {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		text := strings.Repeat("x", n)
		if err := a1.Broadcast(clustertest.Event("e", text), adapter.Opts{}); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("e[%s]", clustertest.Brief([]byte(text))))
	}
	clustertest.Eventually(t, "all sizes arrive", func() bool { return len(h2.Got()) == len(want) })
	if got := h2.Got(); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// Text that PostgreSQL cannot store as such arrives as well.
func TestOddText(t *testing.T) {
	a1, _, _, h2 := two(t, startServer(t), withTable)
	for _, v := range []any{"nul \x00", json.RawMessage("\"\xff\xfe not UTF-8\""), "😀 é \u2028 \\ ' \" $1"} {
		if err := a1.Broadcast(clustertest.Event("e", v), adapter.Opts{}); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Eventually(t, "all arrive", func() bool { return len(h2.Got()) == 3 })
	if got := h2.Got(); got[0] != "e[nul \x00]" || got[2] != "e[😀 é \u2028 \\ ' \" $1]" {
		t.Errorf("got %q", got)
	}
}

// Small messages, large ones and such with binary do not overtake each other, whoever
// sends at the same time.
func TestOrderUnderLoad(t *testing.T) {
	srv := startServer(t)
	a1, a2, _, h2 := two(t, srv, withTable)
	h3 := &clustertest.Host{Name: "/"}
	a3 := clustertest.Open(t, postgres.New(srv.pool(""), withTable), h3)
	clustertest.Connect(t, a3, "three")
	clustertest.WantServers(t, a1, a2, a3)
	const count = 1000
	var senders sync.WaitGroup
	for i, a := range []*cluster.Adapter{a1, a2} {
		senders.Go(func() {
			for n := range count {
				arg := any("small")
				switch n % 5 {
				case 1:
					arg = []byte("binary")
				case 3:
					arg = strings.Repeat("large", 3000)
				}
				if err := a.Broadcast(clustertest.Event("e", i, n, arg), adapter.Opts{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
	check := func(h *clustertest.Host, want int) {
		t.Helper()
		clustertest.Eventually(t, "all arrive", func() bool { return len(h.Got()) == want })
		next := [2]int{}
		for _, e := range h.Got() {
			var i, n int
			if _, err := fmt.Sscanf(e, "e[%d %d ", &i, &n); err != nil {
				t.Fatal(err)
			}
			if n != next[i] {
				t.Fatalf("from server %d came %d, want %d", i, n, next[i])
			}
			next[i]++
		}
	}
	check(h2, count)
	check(h3, 2*count)
}

// Equal messages are different messages, though PostgreSQL would take them for one.
func TestEqualMessages(t *testing.T) {
	srv := startServer(t)
	h2 := &clustertest.Host{Name: "/", Clients: 50}
	a1 := clustertest.Open(t, postgres.New(srv.pool(""), withTable), &clustertest.Host{Name: "/"})
	a2 := clustertest.Open(t, postgres.New(srv.pool(""), withTable), h2)
	clustertest.Connect(t, a2, "two")
	clustertest.WantServers(t, a1, a2)
	for range 500 {
		if err := a1.Broadcast(clustertest.Event("same"), adapter.Opts{}); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Eventually(t, "all arrive", func() bool { return len(h2.Got()) >= 500 })
	got := new(acks)
	servers, err := a1.BroadcastWithAck(clustertest.Event("q"), adapter.Opts{Timeout: 10 * time.Second}, got)
	if err != nil || servers != 2 {
		t.Fatal(servers, err)
	}
	clustertest.Eventually(t, "all clients' answers arrive", func() bool {
		counts, answers := got.result()
		return slices.Equal(counts, []int{0, h2.Clients}) && answers == h2.Clients
	})
	if n := len(h2.Got()); n != 501 {
		t.Errorf("%d events", n)
	}
}

// acks counts.
type acks struct {
	mu      sync.Mutex
	counts  []int // guarded by mu
	answers int   // guarded by mu
}

func (a *acks) Count(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts = append(a.counts, n)
}

func (a *acks) Ack(string, any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers++
}

func (a *acks) Lost(int) {}

func (a *acks) result() (counts []int, answers int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(slices.Values(a.counts)), a.answers
}

// Rows for clients of other servers are not fetched: here there are none to fetch.
func TestRowsForOthers(t *testing.T) {
	srv := startServer(t)
	_, a2, h1, h2 := two(t, srv, withTable)
	conn := srv.connect()
	defer conn.Close(context.Background())
	listen(t, conn, "socket.io#/")
	srv.exec(`SELECT pg_notify('socket.io#/', '{"uid":"u","type":3,"attachmentId":"99","opts":{"rooms":["r"],"except":[]}}')`)
	srv.exec(`SELECT pg_notify('socket.io#/', '{"uid":"u","type":12,"attachmentId":"99","to":"somebody"}')`)
	srv.exec(`SELECT pg_notify('socket.io#/', '{"uid":"u","type":8,"attachmentId":"99"}')`)
	srv.exec(`SELECT pg_notify('socket.io#/', '{"uid":"u","type":3,"attachmentId":"99","opts":{"rooms":["r"],"except":[]},"requestId":"req"}')`)
	// The last one is answered all the same, by both, with no clients.
	for range 2 {
		waitFor(t, conn, `"requestId":"req","clientCount":0`)
	}
	if h1.Log()+h2.Log() != "" {
		t.Errorf("logged %q and %q", h1.Log(), h2.Log())
	}
	// With somebody in the room it is missed.
	clustertest.Connect(t, a2, "more", "r")
	srv.exec(`SELECT pg_notify('socket.io#/', '{"uid":"u","type":3,"attachmentId":"99","opts":{"rooms":["r"],"except":[]}}')`)
	clustertest.Eventually(t, "the row is missed", func() bool { return strings.Contains(h2.Log(), "no row 99") })
	if h1.Log() != "" {
		t.Errorf("logged %q", h1.Log())
	}
}

// A client that joins by a message gets what comes after that, through the table, too.
func TestJoinedJustBefore(t *testing.T) {
	a1, _, _, h2 := two(t, startServer(t), withTable)
	room := adapter.Opts{Rooms: []string{"r"}}
	for i := range 20 {
		_ = a1.DelSockets(adapter.Opts{}, []string{"r"})
		_ = a1.Broadcast(clustertest.Event("not", []byte("binary")), room)
		_ = a1.AddSockets(adapter.Opts{}, []string{"r"})
		if err := a1.Broadcast(clustertest.Event("e", i, []byte("binary")), room); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Eventually(t, "all arrive", func() bool { return len(h2.Got()) == 20 })
	for i, e := range h2.Got() {
		if !strings.HasPrefix(e, fmt.Sprintf("e[%d ", i)) {
			t.Errorf("%d: %s", i, e)
		}
	}
}

// What @socket.io/postgres-emitter 0.1.1 sends, which does not say the namespace.
func TestNodeEmitter(t *testing.T) {
	srv := startServer(t)
	a1, _, h1, h2 := two(t, srv, withTable)
	s := clustertest.Connect(t, a1, "one")
	notify := func(text string) { srv.exec(`SELECT pg_notify('socket.io#/', $1)`, text) }
	notify(`{"type":3,"data":{"packet":{"type":2,"data":["hi",1],"nsp":"/"},"opts":{"rooms":[],"flags":{},"except":[]}},"uid":"emitter"}`)
	notify(`{"type":4,"data":{"opts":{"rooms":[],"except":[]},"rooms":["r"]},"uid":"emitter"}`)
	notify(`{"type":9,"data":{"packet":["ev",2]},"uid":"emitter"}`)
	m := &cluster.Message{
		Type: cluster.Broadcast, UID: cluster.Emitter, Event: "bin", Args: []any{[]byte{1}},
		Opts: adapter.Opts{Rooms: []string{"r"}},
	}
	row, err := m.EncodeAs(cluster.Msgpack)
	if err != nil {
		t.Fatal(err)
	}
	srv.exec(`INSERT INTO socket_io_attachments (payload) VALUES ($1)`, row)
	notify(fmt.Sprintf(`{"uid":"emitter","type":3,"attachmentId":"%d"}`, srv.count(`SELECT max(id) FROM socket_io_attachments`)))
	for _, h := range []*clustertest.Host{h1, h2} {
		clustertest.Eventually(t, "everything arrives", func() bool {
			return h.Has("hi[1]") && h.Has("server ev[2]") && h.Has("bin[[1]]")
		})
	}
	clustertest.WantServers(t, a1, a1) // an emitter is not a server
	notify(`{"type":6,"data":{"opts":{"rooms":["r"],"except":[]},"close":true},"uid":"emitter"}`)
	clustertest.Eventually(t, "disconnected", s.Disconnected)
}

// A name that PostgreSQL would cut off is refused, and its namespace is served here.
func TestChannelNames(t *testing.T) {
	srv := startServer(t)
	for _, nsp := range []string{"/" + strings.Repeat("x", 53), "/" + strings.Repeat("é", 27), "/a\x00b", "/\xff"} {
		h := &clustertest.Host{Name: nsp}
		a := postgres.New(srv.pool(""), withTable)(h).(*cluster.Adapter)
		if err := a.Init(t.Context()); !errors.Is(err, postgres.ErrChannelName) {
			t.Errorf("%q: %v", nsp, err)
		}
		s := clustertest.Connect(t, a, "one")
		if err := a.Broadcast(clustertest.Event("e"), adapter.Opts{}); !errors.Is(err, postgres.ErrChannelName) || s.Delivered() != 1 {
			t.Errorf("%q: %v, %d delivered", nsp, err, s.Delivered())
		}
		if err := a.Broadcast(clustertest.Event("e"), adapter.Opts{Flags: adapter.Local}); err != nil || s.Delivered() != 2 {
			t.Errorf("%q: %v, %d delivered", nsp, err, s.Delivered())
		}
		if infos, err := a.FetchSockets(t.Context(), adapter.Opts{}); err != nil || len(infos) != 1 {
			t.Errorf("%q: %v, %v", nsp, infos, err)
		}
		clustertest.Close(t, a)
		if h.Log() != "" {
			t.Errorf("%q: logged %q", nsp, h.Log())
		}
	}
	// 63 bytes are allowed, and what differs in the last one is another namespace.
	x, y := &clustertest.Host{Name: "/" + strings.Repeat("x", 52)}, &clustertest.Host{Name: "/" + strings.Repeat("x", 51) + "y"}
	f, g := postgres.New(srv.pool(""), withTable), postgres.New(srv.pool(""), withTable)
	ax, ay := clustertest.Open(t, f, x), clustertest.Open(t, f, y)
	clustertest.Connect(t, ax, "x")
	clustertest.Connect(t, ay, "y")
	bx, by := clustertest.Open(t, g, &clustertest.Host{Name: x.Name}), clustertest.Open(t, g, &clustertest.Host{Name: y.Name})
	clustertest.Flows(t, bx, x, adapter.Opts{}, "to x")
	clustertest.Flows(t, by, y, adapter.Opts{}, "to y")
	if slices.ContainsFunc(x.Got(), func(s string) bool { return strings.HasPrefix(s, "to y") }) {
		t.Errorf("x got %q", x.Got())
	}
}

// Servers that start together create the table once.
func TestCreateTable(t *testing.T) {
	srv := startServer(t)
	srv.exec(`CREATE SCHEMA app`)
	for _, name := range []string{"app.Attachments", `"A ""table"""`} {
		var starts sync.WaitGroup
		for range 8 {
			pool := srv.pool("")
			starts.Go(func() {
				a := postgres.New(pool, postgres.Options{CreateTable: true, TableName: name})(&clustertest.Host{Name: "/"})
				if err := a.Init(t.Context()); err != nil {
					t.Error(err)
				}
				clustertest.Close(t, a.(*cluster.Adapter))
				pool.Close()
			})
		}
		starts.Wait()
		if n := srv.count(`SELECT count(*) FROM ` + name); n != 0 {
			t.Errorf("%s: %d rows", name, n)
		}
	}
	// Who may not is told, and works without.
	srv.exec(`CREATE ROLE other LOGIN`)
	srv.exec(`REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	cc := srv.pool("").Config().ConnConfig
	cc.User = "other"
	h := &clustertest.Host{Name: "/"}
	a := postgres.New(srv.pool(""), postgres.Options{CreateTable: true, Listen: cc})(h).(*cluster.Adapter)
	if err := a.Init(t.Context()); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("error %v", err)
	}
	clustertest.Connect(t, a, "one")
	b := clustertest.Open(t, postgres.New(srv.pool(""), postgres.Options{}), &clustertest.Host{Name: "/"})
	clustertest.Flows(t, b, h, adapter.Opts{}, "x")
	clustertest.Close(t, a)
	// Unless the table is there.
	srv.exec(`CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea)`)
	clustertest.Open(t, postgres.New(srv.pool(""), postgres.Options{CreateTable: true, Listen: cc}), &clustertest.Host{Name: "/"})
}

// Old rows are deleted, and others stay.
func TestCleanUp(t *testing.T) {
	srv := startServer(t)
	o := withTable
	o.CleanupInterval = -1
	h := &clustertest.Host{Name: "/"}
	clustertest.Open(t, postgres.New(srv.pool(""), o), &clustertest.Host{Name: "/"})
	srv.exec(`INSERT INTO socket_io_attachments (created_at, payload) VALUES (now() - interval '1 hour', ''), (now() + interval '1 hour', '')`)
	o.CleanupInterval = 50 * time.Millisecond
	clustertest.Open(t, postgres.New(srv.pool(""), o), h)
	clustertest.Eventually(t, "the old row is deleted", func() bool { return srv.count(`SELECT count(*) FROM socket_io_attachments`) == 1 })
	if n := srv.count(`SELECT count(*) FROM socket_io_attachments WHERE created_at > now()`); n != 1 {
		t.Error("the other row was deleted")
	}
	srv.exec(`DROP TABLE socket_io_attachments`)
	clustertest.Eventually(t, "trouble is reported", func() bool { return strings.Contains(h.Log(), "old attachments not deleted") })
}

// Two servers of one process may share a factory, and the connection that listens.
func TestSharedFactory(t *testing.T) {
	srv := startServer(t)
	o := withTable
	o.Listen = srv.pool("").Config().ConnConfig
	o.Listen.RuntimeParams["log_statement"] = "all"
	f := postgres.New(srv.pool(""), o)
	h1, h2 := &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
	a1, a2 := clustertest.Open(t, f, h1), clustertest.Open(t, f, h2)
	clustertest.Connect(t, a1, "one")
	clustertest.Connect(t, a2, "two")
	clustertest.WantServers(t, a1, a2)
	clustertest.Flows(t, a1, h2, adapter.Opts{}, "x")
	clustertest.Flows(t, a2, h1, adapter.Opts{}, "y", []byte{1})
	clustertest.Close(t, a1)
	clustertest.WantServers(t, a2)
	a3 := clustertest.Open(t, f, h1)
	clustertest.Connect(t, a3, "three")
	clustertest.WantServers(t, a2, a3)
	clustertest.Flows(t, a2, h1, adapter.Opts{}, "z")
	// What nobody listens to any more is left.
	chat := clustertest.Open(t, f, &clustertest.Host{Name: "/chat"})
	clustertest.Close(t, chat)
	clustertest.Eventually(t, "unlistened", func() bool { return strings.Contains(srv.log(), `UNLISTEN "socket.io#/chat"`) })
	if log := srv.log(); strings.Contains(log, `UNLISTEN "socket.io#/";`) || strings.Count(log, `: LISTEN "socket.io#/";`) != 1 {
		t.Errorf("logged %s", log)
	}
}

func listen(t *testing.T, conn *pgx.Conn, channel string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), `LISTEN `+pgx.Identifier{channel}.Sanitize()); err != nil {
		t.Fatal(err)
	}
}

// waitFor reads notifications up to the next that contains a text.
func waitFor(t *testing.T, conn *pgx.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			t.Fatalf("no %s: %v", text, err)
		}
		if strings.Contains(n.Payload, text) {
			return
		}
	}
}
