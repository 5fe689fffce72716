package main

import (
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/epio-go/epio/internal/invariants"
	"github.com/epio-go/epio/pool"
)

// figures are what the server's process holds.
type figures struct {
	Descriptors int // open files of the process; -1 where they cannot be counted
	Goroutines  int
	Frames      int // buffers and frames of the pool that are lent; counted in race and invariants builds only
	Timers      int // armed in the wheels
	Conns       int // connections in the engines
	Sessions    int // of Engine.IO
	Sockets     int // of Socket.IO, connected
	Busy        int // sockets that run a handler
	Rooms       int
	Namespaces  int // children of patterns among them
	Away        int // sessions that wait for their clients
	Logged      int // events that are kept for those
	Heap        int // bytes in use after a collection
}

// take counts. It collects garbage twice, since what is in a sync.Pool survives once.
func (nd *nodes) figures() figures {
	f := figures{Descriptors: descriptors(), Frames: pool.Live()}
	for _, n := range nd.live() {
		st := n.srv.Stats()
		f.Timers += n.srv.Engine().Engine().Wheel().Armed()
		f.Conns += st.Engine.Conns
		f.Sessions += st.Engine.Sessions
		f.Busy += st.Busy
		f.Namespaces += len(st.Namespaces)
		for _, ns := range st.Namespaces {
			f.Sockets += ns.Sockets
			f.Rooms += ns.Rooms
			f.Away += ns.Away
			f.Logged += ns.LoggedPackets
		}
	}
	if invariants.Enabled {
		// The pool keeps the last few hundred that were released for a while, large ones among them.
		for range 1000 {
			pool.Get(1).Release()
		}
	}
	runtime.GC()
	runtime.GC()
	f.Goroutines = runtime.NumGoroutine()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.Heap = int(m.HeapAlloc)
	return f
}

// descriptors counts the open files of this process.
func descriptors() int {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return -1
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return len(names) - 1 // d itself
}

// row is one figure and what it may differ by at the end.
type row struct {
	name          string
	before, after int
	more          int // what after may exceed before by
	why           string
}

// heapSlack is what the heap may hold more at the end than after the warm-up: maps and slices do not shrink after the
// largest crowd they held, and there may be one more of the compressors, which the process keeps.
const heapSlack = 2 << 20

// rows compares. Everything that stands for a client, or for something of one, must be exactly what it was.
func rows(before, after figures, nodes []address) []row {
	idle := 4 * runtime.GOMAXPROCS(0) * len(nodes)
	waiters, descriptorsWhy := 0, ""
	for _, n := range nodes {
		if n.Engine == "netpoll" {
			waiters++
			descriptorsWhy = "netpoll's servers open one for their first slow client"
		}
	}
	all := []row{
		{"descriptors", before.Descriptors, after.Descriptors, waiters, descriptorsWhy},
		{"goroutines", before.Goroutines, after.Goroutines, idle + waiters, "a server keeps up to four idle ones for each processor, for its next events"},
		{"timers", before.Timers, after.Timers, 0, ""},
		{"connections", before.Conns, after.Conns, 0, ""},
		{"sessions", before.Sessions, after.Sessions, 0, ""},
		{"sockets", before.Sockets, after.Sockets, 0, ""},
		{"busy sockets", before.Busy, after.Busy, 0, ""},
		{"rooms", before.Rooms, after.Rooms, 0, ""},
		{"namespaces", before.Namespaces, after.Namespaces, 0, ""},
		{"sessions away", before.Away, after.Away, 0, ""},
		{"events logged", before.Logged, after.Logged, 0, ""},
		{"heap, KiB", before.Heap >> 10, after.Heap >> 10, heapSlack >> 10, "maps keep the size of their largest crowd; one more compressor"},
	}
	if invariants.Enabled {
		all = append(all, row{"frames", before.Frames, after.Frames, 0, ""})
	}
	return all
}

// back reports whether the row is as it was.
func (r row) back() bool { return r.after <= r.before+r.more }

func printRows(w io.Writer, all []row) {
	fmt.Fprintf(w, "%-16s %10s %10s   %s\n", "", "start", "end", "may be more by")
	for _, r := range all {
		mark := ""
		if !r.back() {
			mark = "   LEFT"
		}
		why := "0"
		if r.more > 0 {
			why = fmt.Sprintf("%d: %s", r.more, r.why)
		}
		fmt.Fprintf(w, "%-16s %10d %10d   %s%s\n", r.name, r.before, r.after, why, mark)
	}
}
