package embedded_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/nats"
	"github.com/epio-go/epio/adapter/nats/embedded"
)

// What a socket costs whose id has a subject: here, and in a NATS server in this process.
func BenchmarkSocketsWithSubjects(b *testing.B) {
	const sockets = 10_000
	memory := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for name, mode := range map[string]nats.RoomMode{"AllRooms": nats.AllRooms, "PublicRooms": nats.PublicRooms} {
		b.Run("rooms="+name, func(b *testing.B) {
			s := startServer(b, embedded.Config{})
			a := clustertest.Open(b, factory(b, s, nats.Options{Rooms: mode}), &clustertest.Host{Name: "/"})
			n := 0
			for b.Loop() {
				before := memory()
				for range sockets {
					n++
					clustertest.Connect(b, a, fmt.Sprintf("%020d", n))
				}
				b.ReportMetric((memory()-before)/sockets, "B/socket")
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/socket")
		})
	}
}
