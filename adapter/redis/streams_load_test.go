//go:build unix

package redis_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
	"github.com/epio-go/epio/adapter/cluster/clustertest"
	"github.com/epio-go/epio/adapter/redis"
	"github.com/epio-go/epio/internal/invariants"
)

// logHost counts what reaches it, with and without offsets.
type logHost struct {
	clustertest.Host
	logged, plain atomic.Int64
}

func (h *logHost) BroadcastLocal(string, []any, adapter.Opts, func(string, any)) int {
	h.plain.Add(1)
	return 1
}

func (h *logHost) BroadcastLogged(string, []any, adapter.Opts, string) int {
	h.logged.Add(1)
	return 1
}

func (h *logHost) Evict(context.Context, string) bool { return false }

func (h *logHost) counts() (logged, plain int) { return int(h.logged.Load()), int(h.plain.Load()) }

// Many more packets than the stream keeps, as fast as they can be sent: none is trimmed
// before it has been read back.
func TestStreamIsNotOutrun(t *testing.T) {
	rdb := startServer(t).client()
	f := redis.Streams(rdb, redis.StreamsOptions{MaxLen: 400, ReadCount: 10})
	h := &logHost{Host: clustertest.Host{Name: "/"}}
	a := f(h).(*cluster.Logged)
	if err := a.EnableRecovery(h, adapter.RecoveryConfig{MaxDisconnection: time.Minute, LogPackets: 100, LogBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	initialize(t, a.Adapter)
	clustertest.Connect(t, a.Adapter, "one")
	rounds, many := 5, 2000
	if invariants.Enabled {
		many = 800 // so that one that is not lost is back before sockets here have waited for it for too long
	}
	for round := range rounds {
		for i := range many {
			if err := a.Broadcast(clustertest.Packet(fmt.Sprint(i)), adapter.Opts{}); err != nil {
				t.Fatal(err)
			}
		}
		want := (round + 1) * many
		clustertest.Eventually(t, "all packets", func() bool { logged, plain := h.counts(); return logged+plain >= want })
	}
	if logged, plain := h.counts(); logged != rounds*many || plain != 0 {
		t.Errorf("%d packets with and %d without offset, want %d and none", logged, plain, rounds*many)
	}
	// Redis trims whole nodes of a hundred entries.
	if n, err := rdb.XLen(t.Context(), "socket.io").Result(); err != nil || n < 400 || n > 600 {
		t.Errorf("the stream has %d entries, %v", n, err)
	}
}
