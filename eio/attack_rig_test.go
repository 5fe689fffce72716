package eio

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/invariants"
)

var crowd = flag.Int("crowd", 0, "attackers in the tests that have many of them; 0 means 500, and 100 where memory is watched")

// many returns the number of attackers where each costs little.
func many() int {
	switch {
	case *crowd > 0:
		return *crowd
	case invariants.Enabled:
		return 100
	}
	return 500
}

// ordinary is a handful of well-behaved clients, two on WebSocket and two on polling. Before an attack and
// during it they talk without end: what they send must come back, all of it and in order. How
// long that takes is logged, in lines that make a table.
type ordinary struct {
	r     *rig
	all   []*talker
	quit  chan struct{}
	group sync.WaitGroup

	// before the attack, with all of them talking
	memory     int // bytes
	goroutines int
	sessions   int

	held int // bytes for each attacker, see wantHeld
}

// talker is one of them.
type talker struct {
	polling bool
	echo    func(said []string) error // sends messages, and returns when they are back

	mu sync.Mutex
	// guarded by mu
	alone []time.Duration // round trips before the attack
	took  []time.Duration // the latest
	err   error
}

const (
	byOrdinary  = "&who=ordinary"  // in the query of their handshakes
	roundTrips  = 50               // of each of them, alone and at least during an attack
	sentAtOnce  = 3                // messages
	pace        = time.Millisecond // between two round trips of a client
	stamina     = time.Minute      // the longest that anything may take
	ordinaryAll = 4
)

func isOrdinary(s *Session) bool {
	h := s.Handshake()
	return h != nil && strings.Contains(h.raw, byOrdinary)
}

// eachAttacked is eachDoor; where everything takes several times as long it is the own listener on epoll alone.
func eachAttacked(t *testing.T, f func(t *testing.T, d door)) {
	for _, d := range doors {
		if !invariants.Enabled || d == doors[2] {
			t.Run(d.name, func(t *testing.T) { f(t, d) })
		}
	}
}

// attacked opens a server behind d with room for many sessions that nobody waits for.
func (d door) attacked(t *testing.T, cfg Config) *rig {
	t.Helper()
	if cfg.PingInterval == 0 {
		cfg.PingInterval = 10 * time.Minute // no attacker answers, and the machine may be slow
	}
	return d.open(t, cfg, &app{echo: true, lossy: true, room: 1 << 15})
}

// ordinary starts them. What comes next is the attack.
func (r *rig) ordinary() *ordinary {
	r.t.Helper()
	o := &ordinary{r: r, quit: make(chan struct{})}
	for range ordinaryAll / 2 {
		o.all = append(o.all, r.webSocketTalker(), r.pollingTalker())
	}
	for _, c := range o.all {
		o.group.Go(func() { c.talk(o.quit) })
	}
	r.t.Cleanup(func() {
		close(o.quit)
		o.group.Wait()
		for _, c := range o.all {
			if c.err != nil {
				r.t.Errorf("an ordinary client has lost something: %v", c.err)
			}
		}
	})
	o.rounds(roundTrips)
	for _, c := range o.all {
		c.mu.Lock()
		c.alone, c.took = c.took, nil
		c.mu.Unlock()
	}
	o.memory, o.goroutines, o.sessions = heap(), runtime.NumGoroutine(), r.srv.Sessions()
	return o
}

// talk goes on until quit is closed or something is lost.
func (c *talker) talk(quit <-chan struct{}) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	said := make([]string, sentAtOnce)
	for n := 0; ; n += sentAtOnce {
		for i := range said {
			said[i] = fmt.Sprintf("4ordinary %d", n+i)
		}
		start := time.Now()
		err := c.echo(said)
		c.mu.Lock()
		c.took = append(c.took, time.Since(start))
		c.err = err
		c.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case <-quit:
			return
		case <-tick.C:
		}
	}
}

func (r *rig) webSocketTalker() *talker {
	c := r.websocket(byOrdinary)
	return &talker{echo: func(said []string) error {
		c.nc.SetDeadline(time.Now().Add(stamina))
		var b []byte
		for _, packet := range said {
			b = append(b, textFrame(packet)...)
		}
		if _, err := c.nc.Write(b); err != nil {
			return err
		}
		for i := 0; i < len(said); {
			op, got, err := c.frame()
			switch {
			case err != nil:
				return err
			case string(got) == "2":
				if _, err := c.nc.Write(textFrame("3")); err != nil {
					return err
				}
			case op != ws.OpText || string(got) != said[i]:
				return fmt.Errorf("WebSocket: got %v %q, want %q", op, got, said[i])
			default:
				i++
			}
		}
		return nil
	}}
}

func (r *rig) pollingTalker() *talker {
	transport := &http.Transport{DialContext: r.http.Transport.(*http.Transport).DialContext, DisableCompression: true}
	r.t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: stamina}
	do := func(method, query, body string) (string, error) {
		req, err := http.NewRequest(method, "http://"+r.addr+pollingPath+query, strings.NewReader(body))
		if err != nil {
			return "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != 200 {
			err = fmt.Errorf("polling: %s %q", resp.Status, b)
		}
		return string(b), err
	}
	open, err := do("GET", byOrdinary, "")
	if err != nil {
		r.t.Fatal(err)
	}
	sid := "&sid=" + parseOpen(r.t, open).SID
	return &talker{polling: true, echo: func(said []string) error {
		if ok, err := do("POST", sid, strings.Join(said, "\x1e")); err != nil || ok != "ok" {
			return errors.Join(err, errors.New("polling: POST"))
		}
		for i := 0; i < len(said); {
			payload, err := do("GET", sid, "")
			if err != nil {
				return err
			}
			for got := range strings.SplitSeq(payload, "\x1e") {
				switch {
				case got == "2":
					if _, err := do("POST", sid, "3"); err != nil {
						return err
					}
				case i == len(said) || got != said[i]:
					return fmt.Errorf("polling: got %q in %q, want the rest of %q", got, payload, said[i:])
				default:
					i++
				}
			}
		}
		return nil
	}}
}

// rounds waits until each of them has had n round trips more.
func (o *ordinary) rounds(n int) {
	o.r.t.Helper()
	want := make(map[*talker]int)
	for _, c := range o.all {
		c.mu.Lock()
		want[c] = len(c.took) + n
		c.mu.Unlock()
	}
	within(o.r.t, stamina, "ordinary clients are served", func() bool {
		for c, n := range want {
			c.mu.Lock()
			have, err := len(c.took), c.err
			c.mu.Unlock()
			if err != nil {
				o.r.t.Fatalf("an ordinary client has lost something: %v", err)
			}
			if have < n {
				return false
			}
		}
		return true
	})
}

// served waits until each of them has been served once more, and opens a session.
func (o *ordinary) served() {
	o.r.t.Helper()
	o.rounds(1)
	p := o.r.do("GET", pollingPath+byOrdinary, "")
	if p.err != nil || p.status != 200 {
		o.r.t.Fatalf("handshake: %v %d %q", p.err, p.status, p.body)
	}
	sid := parseOpen(o.r.t, p.body).SID
	o.r.wantAlive(sid)
	o.r.srv.Session(sid).Discard(ForcedClose)
}

// report ends the measurement, while the attack is still going on, and logs it.
func (o *ordinary) report(attack string, attackers int) {
	o.r.t.Helper()
	o.rounds(roundTrips)
	var alone, during [2][]time.Duration
	messages := 0
	for _, c := range o.all {
		i := 0
		if c.polling {
			i = 1
		}
		c.mu.Lock()
		alone[i], during[i] = append(alone[i], c.alone...), append(during[i], c.took...)
		messages += sentAtOnce * len(c.took)
		c.mu.Unlock()
	}
	held := "–"
	if o.held > 0 {
		held = fmt.Sprintf("%.1f KiB", float64(o.held)/1024)
	}
	o.r.t.Logf("| %s | %s | %d | %s | %s | %s | %d |", attack, strings.TrimPrefix(o.r.door.name, "door="), attackers,
		compare(alone[0], during[0]), compare(alone[1], during[1]), held, messages)
}

// compare returns "p50/p99/max → p50/p99/max ms (× ratio of the p50)".
func compare(a, b []time.Duration) string {
	ms := func(d []time.Duration, p int) float64 {
		return float64(d[min(len(d)*p/100, len(d)-1)]) / 1e6
	}
	slices.Sort(a)
	slices.Sort(b)
	return fmt.Sprintf("%.2f/%.2f/%.2f → %.2f/%.2f/%.2f ms (×%.1f)", ms(a, 50), ms(a, 99), ms(a, 100),
		ms(b, 50), ms(b, 99), ms(b, 100), ms(b, 50)/ms(a, 50))
}

// wantHeld checks how many bytes the server keeps for each of n attackers; both ends are in this process, so the
// test's own few hundred bytes count, too. Builds that watch memory need more of it.
func (o *ordinary) wantHeld(n, most int) {
	o.r.t.Helper()
	for range 50 { // what is on its way to be collected counts as well
		if o.held = max((heap()-o.memory)/n, 0); o.held <= most || invariants.Enabled {
			return
		}
		o.rounds(5)
	}
	o.r.t.Errorf("%d bytes for each attacker, at most %d are allowed", o.held, most)
}

// wantGoroutines waits until there are at most more goroutines above those before the attack.
// A few are allowed: those of the ordinary clients come and go.
func (o *ordinary) wantGoroutines(more int) {
	o.r.t.Helper()
	within(o.r.t, stamina, fmt.Sprintf("at most %d more goroutines are left", more), func() bool {
		return runtime.NumGoroutine() <= o.goroutines+more+20
	})
}

// wantAlone waits until nothing of the attackers is left.
func (o *ordinary) wantAlone() {
	o.r.t.Helper()
	within(o.r.t, stamina, "the attackers are gone", func() bool {
		return o.r.srv.Sessions() <= o.sessions && o.r.srv.engine.Conns() <= ordinaryAll/2
	})
	o.wantGoroutines(0)
	o.served()
}

// perConn returns how many goroutines n connections of the engine have: none, as documented, but for the portable
// engine.
func (d door) perConn(n int) int {
	if d.portable || d.tls {
		return n
	}
	return 0
}

// connSize returns how many bytes a connection of the engine may take that has nothing to say: its own, those of the
// test's end and, on netpoll and the portable engine, buffers and stack.
func (d door) connSize() int {
	if d.portable || d.tls || d.reactor == engine.Netpoll {
		return 12 << 10
	}
	return 2 << 10
}

// heap returns the bytes of memory that are in use, goroutines included.
func heap() int {
	runtime.GC()
	runtime.GC() // pools forget at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// within is eventually for what may take long on a machine with other things to do.
func within(t *testing.T, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s (%d goroutines)", what, runtime.NumGoroutine())
		}
		time.Sleep(time.Millisecond)
	}
}

// tcp opens a connection to the server, below TLS.
func (r *rig) tcp() net.Conn {
	r.t.Helper()
	nc, err := r.below()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	return nc
}

// ask dials, writes a request and returns the connection, with nothing read.
func (r *rig) ask(request string) net.Conn {
	r.t.Helper()
	nc, err := r.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	r.write(nc, request)
	return nc
}

func (r *rig) write(nc net.Conn, request string) {
	r.t.Helper()
	nc.SetDeadline(time.Now().Add(time.Hour)) // fake time may run far
	if _, err := io.WriteString(nc, request); err != nil {
		r.t.Fatal(err)
	}
}

// bare opens a session on WebSocket, over nc, for a client that keeps no memory of its own.
func (r *rig) bare(nc net.Conn, request string) net.Conn {
	r.t.Helper()
	r.write(nc, request)
	var b [1024]byte
	for n := 0; !bytes.Contains(b[:n], []byte(`"maxPayload"`)); {
		m, err := nc.Read(b[n:])
		if n += m; err != nil {
			r.t.Fatalf("WebSocket: %v after %q", err, b[:n])
		}
	}
	return nc
}

// reset ends connections in the rudest way.
func reset(conns []net.Conn) {
	for _, nc := range conns {
		if tc, ok := nc.(*net.TCPConn); ok {
			tc.SetLinger(0)
		}
		nc.Close()
	}
}

func closeWrite(c any) { c.(interface{ CloseWrite() error }).CloseWrite() }
