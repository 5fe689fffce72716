package eio

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/epio-go/epio/codec"
)

// TestStress lets everything happen at once over real sockets: sends from several
// goroutines, upgrades, pauses, and ends from both sides. The recorder checks the order of
// calls, the race detector the rest, and open that nothing is left.
func TestStress(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{SendBuffer: 1 << 20}, nil)
		var clients sync.WaitGroup
		for i := range 12 {
			clients.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), 7))
				for range 4 {
					stressOne(t, r, rng)
				}
			})
		}
		clients.Wait()
		for _, s := range r.srv.sessions.all() {
			s.Discard(ForcedClose)
		}
		eventually(t, "all sessions are gone", func() bool { return r.srv.Sessions() == 0 })
	})
}

func stressOne(t *testing.T, r *rig, rng *rand.Rand) {
	var c *wsClient
	var sid string
	if rng.IntN(2) == 0 {
		c = r.websocket()
		sid = c.open.SID
	} else {
		sid = r.poll()
	}
	s := r.srv.Session(sid)
	if s == nil {
		t.Error("session is gone at once")
		return
	}
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for k := range 3 {
		senders.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				f := codec.NewTextFrame(codec.Message, "from the server")
				var err error
				switch k {
				case 0:
					err = s.Send(f)
				case 1:
					b := r.srv.Engine().NewBatch()
					err = s.Queue(f, b)
					b.Flush()
				case 2:
					s.SendVolatile(f)
					if n%7 == 0 {
						s.Pause()
						s.Resume()
					}
				}
				if err == ErrClosed {
					return
				}
				time.Sleep(50 * time.Microsecond)
			}
		})
	}
	if c == nil {
		c = r.upgrade(wsPath+"&sid="+sid, nil)
		if c.status != 101 {
			t.Errorf("candidate refused: %d", c.status)
		}
		for range rng.IntN(3) {
			r.post(sid, "4x").want(200, "ok")
			r.get(sid)
		}
		c.send("2probe", "5")
	}
	for range rng.IntN(20) {
		c.send("4from the client")
	}
	end := rng.IntN(4)
	switch end {
	case 0:
		s.Close(ForcedClose)
	case 1:
		s.Discard(ForcedClose)
	case 2:
		c.send("1")
	case 3:
		c.close()
	}
	for end != 3 {
		if _, _, err := c.frame(); err != nil {
			break
		}
	}
	close(stop)
	senders.Wait()
	c.close()
}
