package adaptertest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/epio-go/epio/adapter"
)

// Config says how to make the adapters under test.
type Config struct {
	// Servers is the largest cluster New can make. With 1, what needs other
	// servers is checked for its behaviour without any. 0 means 1.
	Servers int

	// New makes one adapter per host, in one namespace of a cluster of their
	// own, and calls Init. When it returns, all adapters know each other. The
	// suite calls Close; New may register further clean-up with t.
	New func(t *testing.T, hosts []adapter.Host) []adapter.Adapter

	// NewRecovery, if not nil, is New for adapters that implement [adapter.Recovery]:
	// it calls EnableRecovery(host, c) before Init. The whole suite then runs a second
	// time with these, and the part about recovery as well.
	NewRecovery func(t *testing.T, hosts []adapter.RecoveryHost, c adapter.RecoveryConfig) []adapter.Adapter

	// Evicts says that RestoreSession asks other servers for the session, by way of
	// [adapter.RecoveryHost].Evict.
	Evicts bool

	// Synced, if not nil, returns when what the sockets joined and left has
	// taken effect in the whole cluster, for adapters that subscribe to rooms in
	// the background. The suite calls it before it relies on that.
	Synced func(t *testing.T, adapters []adapter.Adapter)

	logs bool // New is NewRecovery

	// Wait bounds everything that must happen; 0 means 10 s. Only failing
	// tests wait that long.
	Wait time.Duration
}

// cases lists the parts of the contract, each run with a cluster of its own.
var cases = []struct {
	name string
	run  func(*testing.T, *cluster)
}{
	{"broadcast selects", broadcastSelects},
	{"broadcast keeps order", broadcastKeepsOrder},
	{"broadcast carries values", broadcastCarriesValues},
	{"local broadcast", localBroadcast},
	{"own rooms", ownRooms},
	{"not connected yet", notConnectedYet},
	{"batch", batchIsFlushed},
	{"acks", acksFromEverybody},
	{"acks from nobody", acksFromNobody},
	{"local acks", acksLocal},
	{"fetch sockets", fetchSockets},
	{"sockets that are leaving", leavingSockets},
	{"add and del sockets", addAndDelSockets},
	{"disconnect sockets", disconnectSockets},
	{"all rooms", allRooms},
	{"server-side emit", serverSideEmit},
	{"server-side call", serverSideCall},
	{"server-side call unanswered", serverSideCallUnanswered},
	{"server count", serverCount},
	{"close", closeOne},
	{"concurrent", concurrentUse},
}

// Run runs the suite with one server and, if there can be more, with
// c.Servers.
func Run(t *testing.T, c Config) {
	if c.Wait == 0 {
		c.Wait = 10 * time.Second
	}
	sizes := []int{1}
	if c.Servers > 1 {
		sizes = append(sizes, c.Servers)
	}
	for _, n := range sizes {
		name := "one server"
		if n > 1 {
			name = "cluster"
		}
		t.Run(name, func(t *testing.T) {
			for _, tc := range cases {
				t.Run(tc.name, func(t *testing.T) { tc.run(t, newCluster(t, c, n)) })
			}
		})
		if c.NewRecovery == nil {
			continue
		}
		t.Run(name+" with recovery", func(t *testing.T) {
			rc := c.withRecovery()
			for _, tc := range slices.Concat(cases, recoveryCases) {
				t.Run(tc.name, func(t *testing.T) { tc.run(t, newCluster(t, rc, n)) })
			}
		})
	}
}

// withRecovery returns c with adapters that have recovery switched on.
func (c Config) withRecovery() Config {
	c.logs = true
	c.New = func(t *testing.T, hosts []adapter.Host) []adapter.Adapter {
		var all []adapter.RecoveryHost
		for _, h := range hosts {
			all = append(all, h.(adapter.RecoveryHost))
		}
		return c.NewRecovery(t, all, adapter.RecoveryConfig{
			MaxDisconnection: time.Minute,
			LogAge:           2 * time.Minute,
			LogPackets:       10_000,
			LogBytes:         10 << 20,
			Sessions:         100,
		})
	}
	return c
}

// cluster is the servers of one case.
type cluster struct {
	t       *testing.T
	wait    time.Duration
	evicts  bool
	logs    bool // recovery is on
	synced  func()
	servers []*server
	sockets []*socket // of all servers
	markers int
}

func newCluster(t *testing.T, c Config, n int) *cluster {
	cl := &cluster{t: t, wait: c.Wait, evicts: c.Evicts, logs: c.logs}
	hosts := make([]adapter.Host, n)
	for i := range n {
		s := &server{cl: cl, n: i}
		cl.servers = append(cl.servers, s)
		hosts[i] = s
	}
	adapters := c.New(t, hosts)
	if len(adapters) != n {
		t.Fatalf("New made %d adapters for %d hosts", len(adapters), n)
	}
	for i, a := range adapters {
		cl.servers[i].setAdapter(a)
	}
	cl.synced = func() {
		if c.Synced != nil {
			c.Synced(t, adapters)
		}
	}
	t.Cleanup(func() {
		for _, s := range cl.servers {
			s.close()
		}
	})
	return cl
}

// socket connects a socket to server n and joins rooms.
func (cl *cluster) socket(n int, id string, rooms ...string) *socket {
	cl.t.Helper()
	n %= len(cl.servers)
	s := cl.servers[n].attach(id)
	cl.must(cl.servers[n].Index().Connect(&s.Member, nil))
	cl.must(cl.servers[n].Index().Join(&s.Member, rooms...))
	cl.sockets = append(cl.sockets, s)
	return s
}

func (cl *cluster) must(err error) {
	cl.t.Helper()
	if err != nil {
		cl.t.Fatal(err)
	}
}

// context returns a context that ends when waiting is over.
func (cl *cluster) context() context.Context {
	ctx, cancel := context.WithTimeout(cl.t.Context(), cl.wait)
	cl.t.Cleanup(cancel)
	return ctx
}

// eventually polls until ok, and fails the test when waiting is over.
func (cl *cluster) eventually(what string, ok func() bool) {
	cl.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(cl.wait)
	defer timeout.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout.C:
			cl.t.Fatalf("in vain: %s", what)
		}
	}
}

// settle waits until everything that server from sent before has reached all
// connected sockets.
func (cl *cluster) settle(from int) {
	cl.t.Helper()
	cl.markers++
	mark := cl.markers
	cl.must(cl.servers[from].Broadcast(&packet{event: marker, args: []any{mark}}, adapter.Opts{}))
	for _, s := range cl.sockets {
		if s.gone() {
			continue
		}
		cl.eventually("marker at "+s.id, func() bool { return s.marked(mark) })
	}
}
