package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/nats"
	"github.com/epio-go/epio/adapter/nats/embedded"
)

var (
	everybody = adapter.Opts{}
	room      = adapter.Opts{Rooms: []string{"r"}}
)

// A connection that breaks, and a NATS that is restarted: sockets here are served all
// the time, requests end, and afterwards everything is as it was.
func TestNATSGoesAndComesBack(t *testing.T) {
	srv := startServer(t, embedded.Config{Clients: ownPort(t)})
	addr := srv.ClientAddr()
	p := clustertest.NewProxy(t, addr)
	h1, h2 := &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
	a1 := clustertest.Open(t, must(t, nats.Options{URL: p.Addr()}), h1)
	a2 := clustertest.Open(t, must(t, nats.Options{URL: addr}), h2)
	s := clustertest.Connect(t, a1, "one", "r")
	clustertest.Connect(t, a2, "two", "r")
	clustertest.WantServers(t, a1, a2)
	clustertest.Flows(t, a1, h2, everybody, "first")
	clustertest.Flows(t, a2, h1, room, "first")

	p.Cut()
	_ = clustertest.Away(t, a1, s, "cut")
	clustertest.WantServers(t, a1) // the other one is silent
	clustertest.WantServers(t, a2)
	p.Restore()
	clustertest.Flows(t, a1, h2, everybody, "restored")
	clustertest.Flows(t, a2, h1, room, "restored")
	clustertest.WantServers(t, a1, a2)

	srv.Close()
	_ = clustertest.Away(t, a1, s, "stopped")
	startServer(t, embedded.Config{Clients: addr})
	clustertest.Flows(t, a1, h2, room, "restarted")
	clustertest.Flows(t, a2, h1, room, "restarted")
	clustertest.WantServers(t, a1, a2)

	if !strings.Contains(h1.Log(), "connection to NATS lost") {
		t.Errorf("logged %q", h1.Log())
	}
}

// What is sent while NATS is away for less than PublishTimeout arrives, once and in order.
func TestMessagesWaitForNATS(t *testing.T) {
	srv := startServer(t, embedded.Config{Clients: anyPort})
	p := clustertest.NewProxy(t, srv.ClientAddr())
	h := &clustertest.Host{Name: "/"}
	a := clustertest.Open(t, must(t, nats.Options{URL: p.Addr(), PublishTimeout: time.Minute}), &clustertest.Host{Name: "/"})
	b := clustertest.Open(t, factory(t, srv, nats.Options{}), h)
	clustertest.Connect(t, b, "far")
	clustertest.WantServers(t, a, b)
	p.Cut()
	// The library has noticed when it cannot reach NATS any more; what is sent before may
	// be lost with the connection.
	clustertest.Eventually(t, "a counts alone", func() bool { n, _ := a.ServerCount(t.Context()); return n == 1 })
	var want []string
	for i := range 100 {
		if err := a.Broadcast(clustertest.Packet(fmt.Sprint("m", i)), everybody); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("m%d[]", i))
	}
	p.Restore()
	clustertest.Eventually(t, "the last one arrives", func() bool { return h.Has("m99[]") })
	if got := h.Got(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q", got)
	}
}

// A server that starts while NATS is away joins later.
func TestNATSComesLater(t *testing.T) {
	srv := startServer(t, embedded.Config{Clients: anyPort})
	p := clustertest.NewProxy(t, srv.ClientAddr())
	p.Cut()
	h, other := &clustertest.Host{Name: "/"}, &clustertest.Host{Name: "/"}
	a := must(t, nats.Options{URL: p.Addr()})(h).(*cluster.Adapter)
	defer clustertest.Close(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := a.Init(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without NATS: %v", err)
	}
	s := clustertest.Connect(t, a, "near", "r")
	if err := a.Broadcast(clustertest.Packet("alone"), everybody); err != nil || s.Delivered() != 1 {
		t.Errorf("%v, %d delivered", err, s.Delivered())
	}
	p.Restore()
	b := clustertest.Open(t, factory(t, srv, nats.Options{}), other)
	clustertest.Connect(t, b, "far")
	clustertest.Flows(t, b, h, room, "x")
	clustertest.Flows(t, a, other, everybody, "y")
	clustertest.WantServers(t, a, b)
}

// Rubbish on the subjects is logged and ignored, and nobody is disconnected by it.
func TestMalformedMessages(t *testing.T) {
	srv := startServer(t, embedded.Config{Clients: anyPort})
	f := factory(t, srv, nats.Options{})
	h := &clustertest.Host{Name: "/"}
	a, b := clustertest.Open(t, f, h), clustertest.Open(t, f, &clustertest.Host{Name: "/"})
	s := clustertest.Connect(t, a, "one", "r")
	clustertest.WantServers(t, a, b)
	nc, err := natsgo.Connect(srv.ClientAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	base := "sio.epio.Lw."
	for _, subject := range []string{base + "all", base + "room.cg", base + "node." + a.UID()} {
		for _, p := range []string{
			"", "x", "{}", "\x00", "\x01", "\x01{", "\x01{}", "\x01\xc1", "\x01\xdd\xff\xff\xff\xff", "\x7f\x01",
			"\x01" + `{"type":6,"uid":"u","nsp":"/","data":{"close":true}}`,
			"\x01" + `{"type":6,"uid":"u","nsp":"/","data":{"opts":{},"close":true}}`,
			"\x01" + `{"type":6,"uid":"u","nsp":"/"}`,
			"\x01" + `{"type":7,"uid":"u.*","nsp":"/","data":{"opts":{"rooms":[],"except":[]},"requestId":"x"}}`,
			"\x01" + `{"type":6,"uid":"","nsp":"/","data":{"opts":{"rooms":[],"except":[]},"close":true}}`,
			"\x01" + `{"type":6,"uid":"u","nsp":"/other","data":{"opts":{"rooms":[],"except":[]},"close":true}}`,
			"\x01" + `{"type":77,"uid":"u","nsp":"/"}`,
			"\x02", "\x02\xff", "\x02\x01u", "\x02\x01u\x00\x00\x00\x01\xff\xff\xff\xff\x00\x00\x00\x00x",
			"\x02\x01u\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x02", "\x03", "\x03\x01>12345678", "\x04\x01u12345678", "\x04\x01u1",
		} {
			if err := nc.Publish(subject, []byte(p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	clustertest.Flows(t, b, h, everybody, "after")
	if s.Disconnected() {
		t.Error("disconnected")
	}
	if !strings.Contains(h.Log(), "malformed message ignored") {
		t.Errorf("logged %q", h.Log())
	}
}

// A message larger than NATS takes comes in parts; one that is larger still is refused.
func TestLargeMessages(t *testing.T) {
	mesh := startMesh(t, 2)
	h := &clustertest.Host{Name: "/"}
	a := clustertest.Open(t, factory(t, mesh[0], nats.Options{}), &clustertest.Host{Name: "/"})
	b := clustertest.Open(t, factory(t, mesh[1], nats.Options{}), h)
	clustertest.Connect(t, b, "far", "r")
	clustertest.WantServers(t, a, b)
	for _, n := range []int{1 << 20, 5 << 20} {
		for _, o := range []adapter.Opts{everybody, room} {
			p := large{fmt.Sprint("large", n, len(o.Rooms), " "), make([]byte, n)}
			for i := range p.body { // so that parts differ
				p.body[i] = byte(i >> 16)
			}
			if err := a.Broadcast(p, o); err != nil {
				t.Fatal(err)
			}
			clustertest.Eventually(t, fmt.Sprint(n, " bytes arrive"), func() bool { return h.Has(p.event) })
			if !h.Has(p.event + "[" + clustertest.Brief(p.body) + "]") {
				t.Errorf("%s: got %q", p.event, h.Got())
			}
		}
	}
	s := clustertest.Connect(t, a, "near")
	if err := a.Broadcast(large{"huge", make([]byte, 33<<20)}, everybody); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("33 MiB: %v", err)
	}
	if s.Delivered() != 1 {
		t.Error("not delivered here")
	}
}

type large struct {
	event string
	body  []byte
}

func (p large) Event() string { return p.event }
func (p large) Args() []any   { return []any{p.body} }

// Servers that come and go leave nothing behind, and namespaces share a connection.
func TestNothingIsLeftBehind(t *testing.T) {
	srv := startServer(t, embedded.Config{Clients: anyPort})
	f := must(t, nats.Options{URL: srv.ClientAddr()})
	goroutines := runtime.NumGoroutine()
	for range 3 {
		var as []*cluster.Adapter
		for i := range 10 {
			a := clustertest.Open(t, f, &clustertest.Host{Name: fmt.Sprint("/", i)})
			clustertest.Connect(t, a, "s", "r")
			as = append(as, a)
		}
		if n := srv.NATS().NumClients(); n != 1 {
			t.Errorf("%d connections for ten namespaces", n)
		}
		// To all, to the node, to the room, to the socket; and the server's own.
		if n := srv.NATS().NumSubscriptions(); n < 40 {
			t.Errorf("%d subscriptions", n)
		}
		for _, a := range as {
			clustertest.Close(t, a)
		}
	}
	clustertest.Eventually(t, "connections and goroutines gone", func() bool {
		return srv.NATS().NumClients() == 0 && runtime.NumGoroutine() <= goroutines
	})
}

// What is sent to a room, or to a socket, reaches the servers that have it and no other.
func TestRoomsReachOnlyTheirServers(t *testing.T) {
	srv := startServer(t, embedded.Config{Clients: anyPort})
	nc, err := natsgo.Connect(srv.ClientAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	other, err := nc.SubscribeSync("sio.epio.*.all")
	if err != nil {
		t.Fatal(err)
	}
	f := factory(t, srv, nats.Options{HeartbeatInterval: time.Hour})
	h := &clustertest.Host{Name: "/"}
	a, b := clustertest.Open(t, f, h), clustertest.Open(t, f, &clustertest.Host{Name: "/"})
	clustertest.Connect(t, a, "abcdefghijklmnopqrst", "r")
	clustertest.WantServers(t, a, b)
	clustertest.Flows(t, b, h, room, "room")
	clustertest.Flows(t, b, h, adapter.Opts{Rooms: []string{"abcdefghijklmnopqrst"}}, "socket")
	clustertest.Flows(t, b, h, adapter.Opts{Rooms: []string{"r", "q"}}, "rooms")
	for {
		m, err := other.NextMsg(100 * time.Millisecond)
		if err != nil {
			break
		}
		if s := string(m.Data); strings.Contains(s, "room1") || strings.Contains(s, "socket") {
			t.Errorf("to all: %q", s)
		}
	}
	subs := srv.NATS().NumSubscriptions() // all of them are there, or nothing would have arrived
	a.Index().DelSockets(everybody, []string{"r"})
	clustertest.Eventually(t, "unsubscribed", func() bool { return srv.NATS().NumSubscriptions() == subs-1 })
}
