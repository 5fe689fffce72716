package main

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/epio-go/epio/internal/invariants"
)

// run is a run.
type run struct {
	o     options
	out   io.Writer
	child *child
	limit limiter
	count tally

	mu sync.Mutex
	// guarded by mu
	nodes    []address
	drained  map[int]bool // servers that are to end, or have
	evicted  map[roomKey]eviction
	failures []string
	stop     chan struct{} // closed when clients are to end
}

// maxFailures is when a run gives up.
const maxFailures = 20

// soak runs it all, and reports whether nothing was wrong. It ends early when end is closed. An error means that it could not
// be run.
func soak(o options, out io.Writer, end <-chan struct{}) (bool, error) {
	out = &serialWriter{w: out}
	r := &run{o: o, out: out, drained: make(map[int]bool), evicted: make(map[roomKey]eviction)}
	r.limit.every = time.Duration(float64(time.Second) / o.Rate)
	child, nodes, err := startChild(o, r.failf)
	if err != nil {
		return false, err
	}
	defer child.kill()
	r.child, r.nodes = child, nodes
	build := "plain"
	if invariants.Enabled {
		build = "race or invariants"
	}
	r.printf("seed %d, %s build, %d clients, %g operations a second, engines %s, %v after a warm-up of %v",
		o.Seed, build, o.Clients, o.Rate, strings.Join(o.Engines, ","), o.Time, o.WarmUp)
	began := time.Now()

	r.live(o.WarmUp, 0, end)
	before, err := r.quiet()
	if err != nil {
		return false, err
	}
	r.printf("at the start: %s", before)
	started := time.Now()
	r.live(o.Time, 1, end)
	ran := time.Since(started)
	r.printf("%v of clients are over; what they have left gets up to %v", ran.Round(time.Second), o.longest())
	after, err := r.quietAs(before)
	if err != nil {
		return false, err
	}
	servers := r.child.last.Counts
	if err := child.end(); err != nil {
		r.failf("the server's process: %v", err)
	}

	r.printf("\n%d operations in %v (%v with warm-up and waiting), seed %d\n", r.count.total(), ran.Round(time.Second),
		time.Since(began).Round(time.Second), o.Seed)
	r.count.print(out)
	servers.print(out)
	fmt.Fprintln(out)
	all := rows(before, after, r.nodes)
	printRows(out, all)
	if !invariants.Enabled {
		fmt.Fprintln(out, "frames are counted in race and invariants builds only")
	}
	for _, row := range all {
		if !row.back() {
			r.failf("%d %s are left, %d at the start", row.after, row.name, row.before)
		}
	}
	if servers.Panics > 0 {
		r.failf("%d handlers have panicked", servers.Panics)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(out, "\nerrors: %d\n", len(r.failures))
	for _, f := range r.failures {
		fmt.Fprintln(out, " ", f)
	}
	return len(r.failures) == 0, nil
}

// live has clients come and go for a time.
func (r *run) live(d time.Duration, phase uint64, end <-chan struct{}) {
	r.mu.Lock()
	r.stop = make(chan struct{})
	stop := r.stop
	r.mu.Unlock()
	var actors sync.WaitGroup
	for i := range r.o.Clients {
		a := &actor{run: r, name: fmt.Sprintf("client %d.%d", phase, i), rnd: rand.New(rand.NewPCG(r.o.Seed, phase<<32|uint64(i))), stop: stop}
		actors.Go(a.live)
	}
	var beside sync.WaitGroup
	beside.Go(func() { r.replace(stop) })
	if phase > 0 {
		beside.Go(func() { r.sample(d, stop) })
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-end:
	case <-r.child.dead:
	case <-stop: // too many failures
	}
	r.halt()
	actors.Wait()
	beside.Wait()
}

// halt ends the clients.
func (r *run) halt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
}

// replace has servers drained, one after the other.
func (r *run) replace(stop chan struct{}) {
	if r.o.Replace == 0 {
		return
	}
	t := time.NewTicker(r.o.Replace)
	defer t.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		if err := r.replaceOne(i % len(r.nodes)); err != nil {
			r.failf("replace: %v", err)
			return
		}
		r.count.add("servers drained and replaced")
	}
}

func (r *run) replaceOne(i int) error {
	r.mu.Lock()
	r.drained[r.nodes[i].ID] = true
	r.mu.Unlock()
	m, err := r.child.ask(command{Do: "replace", Node: i})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nodes = m.Nodes
	return nil
}

// draining reports whether a server may end connections.
func (r *run) draining(id int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drained[id]
}

// node picks a server that is not drained.
func (r *run) node(rnd *rand.Rand) address {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if n := r.nodes[rnd.IntN(len(r.nodes))]; !r.drained[n.ID] || len(r.nodes) == 1 {
			return n
		}
	}
}

// eviction counts how often all in a room were disconnected.
type eviction struct{ begun, over int }

// evict notes an eviction that begins, and one that is over.
func (r *run) evict(k roomKey, begun, over int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.evicted[k]
	r.evicted[k] = eviction{e.begun + begun, e.over + over}
}

func (r *run) evictionsBegun(k roomKey) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.evicted[k].begun
}

func (r *run) evictionsOver(k roomKey) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.evicted[k].over
}

// sample prints, for each tenth of the time, the least that the heap held after a collection, and what there was then.
func (r *run) sample(d time.Duration, stop chan struct{}) {
	const tenths, samples = 10, 6
	t := time.NewTicker(d / (tenths * samples))
	defer t.Stop()
	for i := range tenths {
		var least figures
		for range samples {
			select {
			case <-stop:
				return
			case <-t.C:
			}
			m, err := r.child.ask(command{Do: "figures"})
			if err != nil {
				r.failf("figures: %v", err)
				return
			}
			if least.Heap == 0 || m.Figures.Heap < least.Heap {
				least = m.Figures
			}
		}
		r.printf("tenth %2d: %s; %d operations by now", i+1, least, r.count.total())
	}
}

func (f figures) String() string {
	return fmt.Sprintf("heap %.1f MiB, %d sessions, %d sockets, %d rooms, %d namespaces, %d away, %d logged, %d timers, %d goroutines, %d descriptors, %d frames",
		float64(f.Heap)/(1<<20), f.Sessions, f.Sockets, f.Rooms, f.Namespaces, f.Away, f.Logged, f.Timers, f.Goroutines, f.Descriptors, f.Frames)
}

// quiet waits until no client is left, and nothing is kept for any, and returns the figures.
func (r *run) quiet() (figures, error) {
	return r.until(func(f figures) bool {
		return f.Sessions+f.Conns+f.Sockets+f.Busy+f.Timers+f.Away+f.Logged == 0
	})
}

// quietAs waits until the server holds what it held before.
func (r *run) quietAs(before figures) (figures, error) {
	return r.until(func(f figures) bool {
		return !slices.ContainsFunc(rows(before, f, r.nodes), func(row row) bool { return !row.back() })
	})
}

// until returns the figures when they are as they should be, or when the longest time is over.
func (r *run) until(good func(figures) bool) (figures, error) {
	if r.o.Brief {
		for i := range r.nodes {
			if err := r.replaceOne(i); err != nil {
				return figures{}, err
			}
		}
	}
	_, err := r.poll(r.o.longest(), func(f figures) bool { return f.Sessions+f.Conns == 0 })
	if err != nil {
		return figures{}, err
	}
	r.touch()
	// Timers that nobody stops go off some time, and are gone. Those of clients that have just left would be armed for Patience
	// still; that of a WebSocket which the server has closed is, for a moment.
	f, err := r.poll(r.o.Patience/2, func(f figures) bool { return f.Timers == 0 })
	if err != nil {
		return figures{}, err
	}
	if f.Timers > 0 {
		r.failf("%d timers are armed still after a few clients have come and gone", f.Timers)
	}
	return r.poll(r.o.longest(), good)
}

// poll returns the figures when they are good and do not change any more, or the last ones when the time is over.
func (r *run) poll(d time.Duration, good func(figures) bool) (figures, error) {
	deadline := time.Now().Add(d)
	var was figures
	for {
		m, err := r.child.ask(command{Do: "figures"})
		if err != nil {
			return figures{}, err
		}
		f := m.Figures
		// Goroutines and descriptors of clients go a moment after their sessions.
		settled := f.Goroutines == was.Goroutines && f.Descriptors == was.Descriptors && f.Frames == was.Frames && m.Drains == 0
		if good(f) && settled || time.Now().After(deadline) {
			return f, nil
		}
		was = f
		time.Sleep(300 * time.Millisecond)
	}
}

// touch has clients come and go in each way through each door of each server, so that all have what a server makes for its
// first client.
func (r *run) touch() {
	for _, n := range r.nodes {
		for via := range vias {
			for _, direct := range []bool{false, true} {
				h := how{node: n, direct: direct, via: via}
				if err := r.comeAndGo(h); err != nil {
					r.failf("%s: %v", h, err)
				}
			}
		}
	}
}

// comeAndGo joins a namespace and leaves for good, not to be recovered.
func (r *run) comeAndGo(h how) error {
	c, err := r.connect(h)
	if err != nil {
		return err
	}
	defer c.sess.leave()
	if _, err := c.join("/"); err != nil {
		return err
	}
	v := visit{actor: &actor{run: r, rnd: rand.New(rand.NewPCG(r.o.Seed, 0))}, c: c}
	if err := v.upgrade(); err != nil {
		return err
	}
	return c.send(packet{typ: tDisconnect, nsp: "/", id: -1})
}

// why asks the server how a session has ended.
func (r *run) why(session string) string {
	m, err := r.child.ask(command{Do: "why", Session: session})
	if err != nil {
		return err.Error()
	}
	return m.Text
}

// failf notes a failure, and ends the run when there are many.
func (r *run) failf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.printf("FAILED (seed %d): %s", r.o.Seed, text)
	r.mu.Lock()
	r.failures = append(r.failures, text)
	n := len(r.failures)
	r.mu.Unlock()
	if n == maxFailures {
		r.printf("giving up")
		r.halt()
	}
}

// serialWriter is told things by many clients.
type serialWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *serialWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

func (r *run) printf(format string, args ...any) {
	fmt.Fprintf(r.out, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func (c counts) print(w io.Writer) {
	fmt.Fprintf(w, "the servers have counted %d sockets connected and %d disconnected, %d recovered and %d not; sessions: %d on WebSocket, %d on polling, %d of them upgraded; %d answers to broadcasts did not come in time\n",
		c.Connects, c.Disconnects, c.Recovered, c.RecoveryFailed, c.WebSocket, c.Polling, c.Upgraded, c.Unanswered)
	var all []string
	for _, reason := range slices.Sorted(maps.Keys(c.Closed)) {
		all = append(all, fmt.Sprintf("%s %d", reason, c.Closed[reason]))
	}
	fmt.Fprintf(w, "sessions closed: %s\n", strings.Join(all, ", "))
}
