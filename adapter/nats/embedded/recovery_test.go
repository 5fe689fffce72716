package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/adaptertest"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/nats"
	"github.com/epio-go/epio/adapter/nats/embedded"
)

// logged makes a cluster with a log of its own, with recovery if c is not nil.
func logged(t *testing.T, s *embedded.Server, prefix string, mode nats.RoomMode, hosts []adapter.Host, c *adapter.RecoveryConfig) []adapter.Adapter {
	t.Helper()
	var as []adapter.Adapter
	var cs []*cluster.Adapter
	for _, h := range hosts {
		f := factory(t, s, nats.Options{Prefix: prefix, Rooms: mode, JetStream: &nats.JetStream{MaxBytes: 16 << 20}})
		a := openLogged(t, f, h, c)
		as, cs = append(as, a), append(cs, a.Adapter)
	}
	clustertest.WantServers(t, cs...)
	return as
}

// openLogged makes an adapter with a log and initializes it, with recovery if c is not nil. It is closed with the test.
func openLogged(t *testing.T, f adapter.Factory, h adapter.Host, c *adapter.RecoveryConfig) *cluster.Logged {
	t.Helper()
	a := f(h).(*cluster.Logged)
	if c != nil {
		if err := a.EnableRecovery(h.(adapter.RecoveryHost), *c); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { clustertest.Close(t, a.Adapter) })
	if err := a.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// The suite of recovery runs besides the others.
func TestContractWithJetStream(t *testing.T) {
	s := startServer(t, embedded.Config{JetStream: t.TempDir()})
	for name, mode := range map[string]nats.RoomMode{"all rooms": nats.AllRooms, "no rooms": nats.NoRooms} {
		t.Run(name, func(t *testing.T) {
			clusters := 0
			prefix := func() string {
				clusters++
				return fmt.Sprint("log", int(mode), "_", clusters)
			}
			adaptertest.Run(t, adaptertest.Config{
				Servers: 3,
				Evicts:  true,
				Synced: func(t *testing.T, as []adapter.Adapter) {
					for _, a := range as {
						if err := a.(*cluster.Logged).Synced(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				},
				New: func(t *testing.T, hosts []adapter.Host) []adapter.Adapter {
					return logged(t, s, prefix(), mode, hosts, nil)
				},
				NewRecovery: func(t *testing.T, hosts []adapter.RecoveryHost, c adapter.RecoveryConfig) []adapter.Adapter {
					all := make([]adapter.Host, len(hosts))
					for i, h := range hosts {
						all[i] = h
					}
					return logged(t, s, prefix(), mode, all, &c)
				},
			})
		})
	}
}

// Options of JetStream are checked with the others.
func TestJetStreamOptions(t *testing.T) {
	if _, err := nats.New(nats.Options{JetStream: &nats.JetStream{Replicas: 6}}); err == nil {
		t.Error("six replicas")
	}
	if _, err := nats.New(nats.Options{JetStream: &nats.JetStream{MaxBytes: -1}}); err == nil {
		t.Error("no bytes")
	}
}

// recoveryHost is a host that keeps the offsets of packets.
type recoveryHost struct {
	*clustertest.Host
	offsets chan string
}

func (h recoveryHost) BroadcastLogged(event string, args []any, o adapter.Opts, offset string) int {
	h.offsets <- offset
	return h.BroadcastLocal(event, args, o, nil)
}

func (h recoveryHost) Evict(context.Context, string) bool { return false }

// Over a link on which an answer takes a third of a second the log is read as over any other: nothing fails while nothing comes, and
// a replay gets what its caller has time for.
func TestLogOverSlowLink(t *testing.T) {
	srv := startServer(t, embedded.Config{Clients: anyPort, JetStream: t.TempDir()})
	p := clustertest.NewProxy(t, srv.ClientAddr())
	p.Delay(150 * time.Millisecond)
	h := recoveryHost{&clustertest.Host{Name: "/"}, make(chan string, 1000)}
	c := adapter.RecoveryConfig{MaxDisconnection: time.Minute, LogAge: 2 * time.Minute, LogPackets: 100, LogBytes: 8 << 20, Sessions: 10}
	a := openLogged(t, must(t, nats.Options{URL: p.Addr(), JetStream: &nats.JetStream{}}), h, &c)
	clustertest.Connect(t, a.Adapter, "one", "r")
	send := func(name string) (offset string) {
		t.Helper()
		if err := a.Broadcast(clustertest.Packet(name), room); err != nil {
			t.Fatal(err)
		}
		select {
		case offset = <-h.offsets:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s has no offset; log: %s", name, h.Log())
		}
		return offset
	}
	since := send("before")
	quiet := time.NewTimer(2500 * time.Millisecond) // as long as it may take to find out that requests for entries fail
	defer quiet.Stop()
	<-quiet.C
	send("after")
	if log := h.Log(); log != "" {
		t.Errorf("logged %s", log)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	s := &adapter.Session{SID: "x", PID: "y", Rooms: []string{"r"}, Since: since}
	err := a.Replay(ctx, s, since, func(missed []adapter.Missed) error {
		if len(missed) != 1 {
			t.Errorf("missed %d", len(missed))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A log in memory is lost when its NATS server is restarted: then old offsets are refused,
// and packets have new ones.
func TestLogIsLost(t *testing.T) {
	dir := t.TempDir()
	srv := startServer(t, embedded.Config{Clients: ownPort(t), JetStream: dir})
	f := must(t, nats.Options{URL: srv.ClientAddr(), JetStream: &nats.JetStream{}})
	h := recoveryHost{&clustertest.Host{Name: "/"}, make(chan string, 1000)}
	c := adapter.RecoveryConfig{MaxDisconnection: time.Minute, LogAge: 2 * time.Minute, LogPackets: 100, LogBytes: 8 << 20, Sessions: 10}
	a := openLogged(t, f, h, &c)
	clustertest.Connect(t, a.Adapter, "one", "r")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the adapter's log: %s", h.Log())
		}
	})
	n := 0
	send := func(size int) (offset string) {
		t.Helper()
		clustertest.Eventually(t, "an offset", func() bool {
			// Each with another name: an adapter knows its own packets by what is in them.
			n++
			if err := a.Broadcast(large{fmt.Sprint("packet ", n, " "), make([]byte, size)}, room); err != nil {
				t.Fatal(err)
			}
			select {
			case offset = <-h.offsets:
				return true
			case <-time.After(3 * time.Second):
				return false // it was delivered without, since the log is away or took too long
			}
		})
		return offset
	}
	replay := func(offset string) (n int, err error) {
		s := &adapter.Session{SID: "x", PID: "y", Rooms: []string{"r"}, Since: offset}
		err = a.Replay(t.Context(), s, offset, func(missed []adapter.Missed) error {
			n = len(missed)
			return nil
		})
		return n, err
	}
	old := send(1)
	send(1)
	// A packet that is larger than NATS takes is several entries, and one packet.
	send(3 << 19)
	if got, err := replay(old); got < 2 || got >= n || err != nil {
		t.Errorf("replayed %d of %d, %v", got, n, err)
	}
	for _, bad := range []string{"", "x", "1-1", old + "0", old + "zzzz"} {
		if _, err := replay(bad); !errors.Is(err, adapter.ErrOffset) {
			t.Errorf("offset %q: %v", bad, err)
		}
	}

	srv.Close()
	startServer(t, embedded.Config{Clients: srv.ClientAddr(), JetStream: dir})
	fresh := send(1)
	for len(h.offsets) > 0 {
		fresh = <-h.offsets
	}
	if _, err := replay(old); !errors.Is(err, adapter.ErrOffset) {
		t.Errorf("offset of the lost log: %v", err)
	}
	send(1)
	if n, err := replay(fresh); n < 1 || err != nil {
		t.Errorf("replayed %d, %v", n, err)
	}
	if strings.Contains(h.Log(), "malformed") {
		t.Errorf("logged %s", h.Log())
	}
}

// The log keeps MaxBytes: the oldest packets go, and who misses them is told so.
func TestLogIsBounded(t *testing.T) {
	const most, size, packets = 1 << 20, 20_000, 200
	srv := startServer(t, embedded.Config{Clients: anyPort, JetStream: t.TempDir()})
	f := must(t, nats.Options{URL: srv.ClientAddr(), JetStream: &nats.JetStream{MaxBytes: most}})
	h := recoveryHost{&clustertest.Host{Name: "/"}, make(chan string, packets)}
	c := adapter.RecoveryConfig{MaxDisconnection: time.Minute, LogAge: 2 * time.Minute, LogPackets: 1000, LogBytes: 64 << 20, Sessions: 10}
	a := openLogged(t, f, h, &c)
	clustertest.Connect(t, a.Adapter, "one", "r")
	var offsets []string
	for i := range packets {
		if err := a.Broadcast(large{fmt.Sprint("packet ", i, " "), make([]byte, size)}, room); err != nil {
			t.Fatal(err)
		}
		offsets = append(offsets, <-h.offsets)
	}
	replay := func(offset string) (n int, err error) {
		s := &adapter.Session{SID: "x", PID: "y", Rooms: []string{"r"}, Since: offset}
		err = a.Replay(t.Context(), s, offset, func(missed []adapter.Missed) error {
			n += len(missed)
			return nil
		})
		return n, err
	}
	if n, err := replay(offsets[0]); !errors.Is(err, adapter.ErrOffset) {
		t.Errorf("from the first packet: %d are replayed, %v", n, err)
	}
	if n, err := replay(offsets[packets-11]); n != 10 || err != nil {
		t.Errorf("from the eleventh last: %d are replayed, %v", n, err)
	}

	nc, err := natsgo.Connect(srv.ClientAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	all := js.ListStreams(t.Context())
	n, bytes := 0, uint64(0)
	for info := range all.Info() {
		n++
		bytes += info.State.Bytes
	}
	if all.Err() != nil || n == 0 || bytes < most/2 || bytes > 2*most {
		t.Errorf("%d streams with %d bytes, %v", n, bytes, all.Err())
	}
}

// Without JetStream packets are sent as by an adapter that has no recovery: who is here
// gets them without offsets.
func TestNoJetStream(t *testing.T) {
	srv := startServer(t, embedded.Config{})
	f := factory(t, srv, nats.Options{JetStream: &nats.JetStream{}})
	var all []*cluster.Adapter
	var hosts []recoveryHost
	for range 2 {
		h := recoveryHost{&clustertest.Host{Name: "/"}, make(chan string, 1000)}
		a := f(h).(*cluster.Logged)
		if err := a.EnableRecovery(h, adapter.RecoveryConfig{MaxDisconnection: time.Minute, LogAge: time.Minute}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { clustertest.Close(t, a.Adapter) })
		if err := a.Init(t.Context()); err == nil {
			t.Error("no error without JetStream")
		}
		all, hosts = append(all, a.Adapter), append(hosts, h)
	}
	clustertest.WantServers(t, all...)
	clustertest.Connect(t, all[1], "far", "r")
	clustertest.Connect(t, all[0], "near", "r")
	if err := all[0].Log().Broadcast(large{"large ", make([]byte, 2<<20)}, room); err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		clustertest.Eventually(t, "the packet", func() bool { return h.Has("large ") })
		if len(h.offsets) > 0 {
			t.Error("with an offset")
		}
	}
}
