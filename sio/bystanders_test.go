package sio

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// bystanders are clients that behave while others do not: over WebSocket and polling, in two
// namespaces. They get a broadcast every few milliseconds, send its number back, and wait for the
// acknowledgement of that, up to bystanderLag at a time. Each must get every broadcast, in order, and every answer.
//
// How long a round takes, from the broadcast to the answer, is logged and never a reason to fail.
type bystanders struct {
	r    *rig
	all  []*bystander
	wg   sync.WaitGroup
	stop chan struct{} // unbuffered; ends the broadcasts
	errs chan error    // capacity len(all)

	began time.Time
	sent  atomic.Int64 // number of the last broadcast
	from  atomic.Int64 // number of the first during the attack; 0 before
	peak  atomic.Int64 // most bytes on the heap during the attack
}

type bystander struct {
	*peer
	nsp           string
	done          atomic.Int64 // number of the last round
	alone, during []time.Duration
}

const (
	bystanderPace   = 5 * time.Millisecond
	bystanderRounds = 30 // alone, and at least so many during an attack
	// bystanderLag is the most broadcasts the slowest bystander may be behind before there is another. Clients that
	// poll send one answer per request, and would never catch up on a machine that is slower than bystanderPace.
	bystanderLag = 20
	attackPace   = 20 * time.Millisecond
	// bystanderTime is long for what takes a second: other tests run beside this one.
	bystanderTime = 2 * time.Minute
)

// bystanders joins them and lets them work alone for a while. It makes the namespace
// "/bystanders".
func (r *rig) bystanders() *bystanders {
	r.t.Helper()
	b := &bystanders{r: r, stop: make(chan struct{}), errs: make(chan error, 6), began: time.Now()}
	spaces := []*Namespace{r.srv.Of("/"), r.srv.Of("/bystanders")}
	for _, ns := range spaces {
		OnAck(ns, "bystander", func(_ context.Context, _ *Socket, n int64) (int64, error) { return n, nil })
		for _, p := range []*peer{r.websocket(), r.websocket(), r.polling()} {
			c := &bystander{peer: p, nsp: ns.Name()}
			p.send("40" + prefix(c.nsp))
			_, sid, _ := strings.Cut(p.next().data, `{"sid":"`)
			sid, _, _ = strings.Cut(sid, `"`)
			must(r.t, ns.Socket(sid).Join("bystanders"))
			b.all = append(b.all, c)
		}
	}
	for _, c := range b.all {
		b.wg.Go(func() {
			if err := c.work(b); err != nil {
				b.errs <- fmt.Errorf("%s after %d rounds: %w", c.nsp, c.done.Load(), err)
			}
		})
	}
	b.wg.Go(func() { b.broadcast(spaces) })
	b.rounds(bystanderRounds)
	return b
}

// broadcast sends broadcasts until it is stopped.
func (b *bystanders) broadcast(spaces []*Namespace) {
	tick := time.NewTicker(bystanderPace)
	defer tick.Stop()
	memory := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for n := int64(1); ; {
		select {
		case <-b.stop:
			return
		case <-tick.C:
		}
		if !b.reached(n - bystanderLag) {
			continue
		}
		b.sent.Store(n)
		for _, ns := range spaces {
			if err := ns.To("bystanders").Emit("tick", n, int64(time.Since(b.began))); err != nil {
				b.r.t.Errorf("broadcast: %v", err)
			}
		}
		if b.from.Load() > 0 {
			metrics.Read(memory)
			b.peak.Store(max(b.peak.Load(), int64(memory[0].Value.Uint64())))
		}
		n++
	}
}

// work answers broadcasts until the last one.
func (c *bystander) work(b *bystanders) error {
	var began []time.Duration // of the rounds so far
	for {
		got, err := c.read(bystanderTime)
		if err != nil {
			return err
		}
		if got.data == "2" {
			if err := c.trySend("3"); err != nil {
				return err
			}
			continue
		}
		if text, ok := strings.CutPrefix(got.data, "42"+prefix(c.nsp)+`["tick",`); ok {
			var n, at int64
			if _, err := fmt.Sscanf(text, "%d,%d", &n, &at); err != nil && n != 0 {
				return fmt.Errorf("got %v: %w", got, err)
			}
			if n == 0 {
				if int(c.done.Load()) != len(began) {
					return fmt.Errorf("%d rounds began, %d ended", len(began), c.done.Load())
				}
				return nil
			}
			if began = append(began, time.Duration(at)); int64(len(began)) != n {
				return fmt.Errorf("broadcast %d came in the place of %d", n, len(began))
			}
			if err := c.trySend(fmt.Sprintf(`42%s%d["bystander",%d]`, prefix(c.nsp), n, n)); err != nil {
				return err
			}
			continue
		}
		n := c.done.Load() + 1
		if got.data != fmt.Sprintf("43%s%d[%d]", prefix(c.nsp), n, n) {
			return fmt.Errorf("got %v, want the answer in round %d", got, n)
		}
		took := time.Since(b.began) - began[n-1]
		if from := b.from.Load(); from > 0 && n >= from {
			c.during = append(c.during, took)
		} else {
			c.alone = append(c.alone, took)
		}
		c.done.Store(n)
	}
}

// reached reports whether everybody has done n rounds.
func (b *bystanders) reached(n int64) bool {
	return !slices.ContainsFunc(b.all, func(c *bystander) bool { return c.done.Load() < n })
}

// rounds waits until everybody has done n rounds.
func (b *bystanders) rounds(n int64) {
	b.r.t.Helper()
	deadline := time.After(bystanderTime)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !b.reached(n) {
		select {
		case <-tick.C:
		case err := <-b.errs:
			b.r.t.Fatalf("a bystander: %v", err)
		case <-deadline:
			var done []string
			for _, c := range b.all {
				done = append(done, strconv.FormatInt(c.done.Load(), 10))
			}
			b.r.t.Fatalf("not in time: %d rounds (%s)", n, strings.Join(done, ", "))
		}
	}
}

// enough reports whether the attack has gone on for long enough.
func (b *bystanders) enough() bool { return b.reached(b.from.Load() + bystanderRounds) }

// endure runs an attack, which goes on until enough says so, and checks that every bystander has
// got everything. It logs what it took them, alone and during the attack, and what the heap grew by:
// at most during the attack, and after it, while its connections are open. That counts both ends
// of all connections.
func (b *bystanders) endure(size string, attack func()) {
	t := b.r.t
	t.Helper()
	before := heap()
	b.peak.Store(int64(before))
	b.from.Store(b.sent.Load() + 1)
	attack()
	b.rounds(b.from.Load() + bystanderRounds)
	held := heap() - before
	if peak := b.peak.Load() - int64(before); held > 64<<20 || peak > 256<<20 {
		t.Errorf("the attack had the heap grow by %d bytes, of which %d are held", peak, held)
	}
	b.stop <- struct{}{}
	b.rounds(b.sent.Load())
	for _, nsp := range []string{"/", "/bystanders"} {
		must(t, b.r.srv.Of(nsp).To("bystanders").Emit("tick", 0)) // the last one
	}
	b.wg.Wait()
	select {
	case err := <-b.errs:
		t.Fatalf("a bystander: %v", err)
	default:
	}
	var alone, during []time.Duration
	for _, c := range b.all {
		if c.done.Load() != b.sent.Load() {
			t.Errorf("%s: %d rounds of %d", c.nsp, c.done.Load(), b.sent.Load())
		}
		alone = append(alone, c.alone...)
		during = append(during, c.during...)
	}
	a, d := spread(alone), spread(during)
	t.Logf("bystanders: | %s | %s | p50 %v → %v | p99 %v → %v | max %v → %v | %.1f times | heap +%.1f MB, then +%.1f MB |",
		t.Name(), size, a[0], d[0], a[1], d[1], a[2], d[2], float64(d[0])/float64(a[0]), float64(b.peak.Load()-int64(before))/1e6, float64(held)/1e6)
}

// spread returns the median, the 99th percentile and the maximum.
func spread(d []time.Duration) (s [3]time.Duration) {
	slices.Sort(d)
	for i, at := range []int{len(d) / 2, len(d) * 99 / 100, len(d) - 1} {
		s[i] = d[at].Round(10 * time.Microsecond)
	}
	return s
}

// barrage has every peer write packets, attachments if they begin with "b", 32 KiB every attackPace if the server takes them, until the
// attack is over; what comes back is read and dropped, or left where it is. It returns how many
// packets went out. Attackers without a pace would take the processors the server runs on: what
// others notice of that is the test's own doing.
func (b *bystanders) barrage(peers []*peer, reading bool, packet func(peer, i int) string) int {
	var sent atomic.Int64
	var writers, readers sync.WaitGroup
	for at, p := range peers {
		writers.Go(func() {
			tick := time.NewTicker(attackPace)
			defer tick.Stop()
			for i := 0; !b.enough(); <-tick.C {
				var batch []byte
				n := 0
				for ; n < 200 && len(batch) < 32<<10; n++ {
					if p := packet(at, i); p[0] == 'b' {
						batch = append(batch, clientFrame(ws.OpBinary, p[1:])...)
					} else {
						batch = append(batch, frames(p)...)
					}
					i++
				}
				p.nc.SetWriteDeadline(time.Now().Add(bystanderPace))
				for len(batch) > 0 {
					k, err := p.nc.Write(batch)
					batch = batch[k:]
					if e, ok := err.(interface{ Timeout() bool }); err != nil && (!ok || !e.Timeout() || b.enough()) {
						return // the server has closed it, or the time is over
					}
					p.nc.SetWriteDeadline(time.Now().Add(bystanderPace))
				}
				sent.Add(int64(n))
			}
		})
		if reading {
			readers.Go(func() {
				p.nc.SetReadDeadline(time.Time{})
				io.Copy(io.Discard, p.br)
			})
		}
	}
	writers.Wait()
	if reading {
		for _, p := range peers {
			p.nc.SetReadDeadline(time.Now())
		}
		readers.Wait()
	}
	return int(sent.Load())
}

// volley has every peer write the same frames again and again, every attackPace, until the server has
// closed it, it has done so as often, or the attack is over.
func (b *bystanders) volley(peers []*peer, packets string, times int) {
	var wg sync.WaitGroup
	for _, p := range peers {
		wg.Go(func() {
			p.nc.SetWriteDeadline(time.Now().Add(bystanderTime))
			tick := time.NewTicker(attackPace)
			defer tick.Stop()
			for i := 0; i < times && !b.enough(); i++ {
				if _, err := io.WriteString(p.nc, packets); err != nil {
					return
				}
				<-tick.C
			}
		})
	}
	wg.Wait()
	b.rounds(b.from.Load() + bystanderRounds)
}

// attackers joins n WebSockets to "/".
func (r *rig) attackers(n int) []*peer {
	r.t.Helper()
	peers := make([]*peer, n)
	for i := range peers {
		peers[i] = r.websocket()
		peers[i].send("40")
		peers[i].next()
	}
	return peers
}

// TestBystanders has nobody attack: what is measured of the attacks is to be compared with that.
func TestBystanders(t *testing.T) {
	r := loopback(t, Config{})
	r.bystanders().endure("none", func() {})
}

// unheard takes no log: floods make long ones.
var unheard = slog.New(slog.DiscardHandler)
