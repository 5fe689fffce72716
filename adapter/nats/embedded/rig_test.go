package embedded_test

import (
	"fmt"
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/nats"
	"github.com/epio-go/epio/adapter/nats/embedded"
)

const (
	anyPort = "127.0.0.1:0"
	secret  = "secret-of-the-mesh"
)

// ownPort is an address that is there again for a server that comes back.
func ownPort(t testing.TB) string { return fmt.Sprint("127.0.0.1:", clustertest.Port(t)) }

// startServer starts a server, which is closed with the test.
func startServer(t testing.TB, c embedded.Config) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// startMesh starts n servers; each knows the first one only, whose address it keeps when it is closed.
func startMesh(t testing.TB, n int) []*embedded.Server {
	t.Helper()
	var all []*embedded.Server
	for range n {
		c := embedded.Config{Listen: anyPort, Token: secret}
		if len(all) > 0 {
			c.Routes = []string{all[0].RouteAddr()}
		} else {
			c.Listen = ownPort(t)
		}
		all = append(all, startServer(t, c))
	}
	wantPeers(t, n-1, all...)
	return all
}

// factory makes adapters that use a server in the process.
func factory(t testing.TB, s *embedded.Server, o nats.Options) adapter.Factory {
	t.Helper()
	o.Connect = append(o.Connect, s.Options()...)
	return must(t, o)
}

// must makes a factory.
func must(t testing.TB, o nats.Options) adapter.Factory {
	t.Helper()
	f, err := nats.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantPeers(t testing.TB, n int, all ...*embedded.Server) {
	t.Helper()
	for i, s := range all {
		clustertest.Eventually(t, fmt.Sprintf("server %d has %d peers", i, n), func() bool { return s.Peers() == n })
	}
}
