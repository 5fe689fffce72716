package sio

import (
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/internal/invariants"
)

// TestRoomGrowsDuringBroadcasts has members join a room that is being broadcast to; every third
// does not read. Those that read miss nothing from their join on, and what waits for the others
// is within SendBuffer.
func TestRoomGrowsDuringBroadcasts(t *testing.T) {
	const buffer = 128 << 10
	members := 45
	if invariants.Enabled {
		members = 15
	}
	r := loopback(t, Config{Engine: eio.Config{SendBuffer: buffer}, Logger: unheard})
	b := r.bystanders()
	peers, sockets := r.clients(members)
	for i, p := range peers {
		if i%3 == 0 {
			must(t, p.nc.(*net.TCPConn).SetReadBuffer(4<<10))
		}
	}
	pad := strings.Repeat("x", 32<<10)
	b.endure(fmt.Sprintf("%d members, a third does not read", members), func() {
		var readers sync.WaitGroup
		tick := time.NewTicker(attackPace)
		defer tick.Stop()
		n, full := 0, 0
		next := make([]atomic.Int64, members) // what each that reads waits for
		// A busy machine may not get round to those that read, who are no slow clients for that.
		keepUp := func() bool {
			for i := range min(n, members) {
				if i%3 != 0 && next[i].Load() < int64(n)-1 {
					return false
				}
			}
			return true
		}
		for ; n < members || !b.enough() || full == 0; n++ {
			if n < members {
				must(t, sockets[n].Join("growing"))
				if member := n; n%3 != 0 {
					next[member].Store(int64(member))
					readers.Go(func() {
						defer next[member].Store(math.MaxInt64)
						for want := member; ; want++ {
							next[member].Store(int64(want))
							got, err := peers[member].read(bystanderTime)
							if err != nil {
								t.Errorf("member %d: %v", member, err)
								return
							}
							if got.data == `42["last"]` {
								return
							}
							if !strings.HasPrefix(got.data, fmt.Sprintf(`42["grow",%d,`, want)) {
								t.Errorf("member %d got %.30q in the place of %d", member, got.data, want)
								return
							}
						}
					})
				}
			}
			must(t, r.srv.To("growing").Emit("grow", n, pad))
			for i := 0; i < members; i += 3 {
				if !sockets[i].Connected() {
					full++
				} else if got := sockets[i].Conn().Buffered(); got > buffer {
					t.Errorf("%d bytes wait for member %d", got, i)
				}
			}
			if n > 5000 {
				t.Error("nobody's buffer is full")
				break
			}
			for <-tick.C; !keepUp(); <-tick.C {
			}
		}
		must(t, r.srv.To("growing").Emit("last"))
		readers.Wait()
	})
}
