package embedded_test

import (
	"fmt"
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/adaptertest"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/nats"
	"github.com/epio-go/epio/adapter/nats/embedded"
)

// runContract runs the suite with the factories that f makes, one for each server of a
// cluster. Prefixes keep the clusters of a test apart, which share one NATS.
func runContract(t *testing.T, f func(prefix string, server int) adapter.Factory) {
	clusters := 0
	adaptertest.Run(t, adaptertest.Config{
		Servers: 3,
		Synced: func(t *testing.T, as []adapter.Adapter) {
			for _, a := range as {
				if err := a.(*cluster.Adapter).Synced(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		},
		New: func(t *testing.T, hosts []adapter.Host) []adapter.Adapter {
			clusters++
			var as []adapter.Adapter
			var cs []*cluster.Adapter
			for i, h := range hosts {
				a := clustertest.Open(t, f(fmt.Sprint("Test_", clusters), i), h)
				as, cs = append(as, a), append(cs, a)
			}
			clustertest.WantServers(t, cs...)
			return as
		},
	})
}

func TestContract(t *testing.T) {
	one := startServer(t, embedded.Config{Clients: anyPort, Token: secret})
	url := "nats://" + secret + "@" + one.ClientAddr()
	for name, mode := range map[string]nats.RoomMode{
		"all rooms": nats.AllRooms, "public rooms": nats.PublicRooms, "no rooms": nats.NoRooms,
	} {
		t.Run(name, func(t *testing.T) {
			runContract(t, func(prefix string, i int) adapter.Factory {
				o := nats.Options{Rooms: mode, Prefix: prefix}
				if i == 0 {
					return factory(t, one, o)
				}
				o.URL = url
				return must(t, o)
			})
		})
	}
	t.Run("one factory", func(t *testing.T) {
		var f adapter.Factory
		runContract(t, func(prefix string, i int) adapter.Factory {
			if i == 0 {
				f = factory(t, one, nats.Options{Prefix: "one" + prefix})
			}
			return f
		})
	})
	t.Run("mesh", func(t *testing.T) {
		mesh := startMesh(t, 3)
		runContract(t, func(prefix string, i int) adapter.Factory {
			return factory(t, mesh[i], nats.Options{Prefix: prefix})
		})
	})
}
