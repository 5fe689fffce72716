package nats

import (
	"fmt"
	"strings"
	"testing"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
)

// What a server pays for a broadcast to several rooms none of which has members there,
// and what the sender pays for it: the price of sending these to all servers.
func BenchmarkSeveralRooms(b *testing.B) {
	for _, n := range []int{64, 4096} {
		d := newDriver(nil, "epio", AllRooms)
		d.a = cluster.New(&clustertest.Host{Name: "/"}, d, cluster.Config{})
		d.subjects = newSubjects("epio", "/")
		m := &cluster.Message{Type: cluster.Broadcast, UID: "0123456789abcdef", Namespace: "/", Event: "news"}
		m.Args = []any{strings.Repeat("x", n)}
		m.Opts = adapter.Opts{Rooms: []string{"first room", "second room", "third room"}}
		p, err := d.Encode(m)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("side=drop/bytes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := d.frame(p.Data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("side=send/bytes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Encode(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
