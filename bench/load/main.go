// Command bench-load puts a load on a server that understands bench/server's
// events, and prints what it cost that server: CPU time from the operating system's
// accounting of the process, resident memory, and latency.
//
//	bench-load -addr 127.0.0.1:3000 -pid $(pidof bench-server) -clients 1000 -work connect,idle,bcast1,bcast16,echo
//
// It is one thread around epoll, so that it leaves the machine to the server. It
// checks that every receiver gets every message once and in order, and says so
// instead of printing a figure when one does not.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
	"time"
)

type options struct {
	addr    string
	pid     int
	clients int
	payload int
	time    time.Duration
	work    string
	json    bool
}

// result is one row.
type result struct {
	Work    string  `json:"work"`
	Clients int     `json:"clients"`
	Units   int     `json:"units"`  // deliveries, echoes or connects
	CPU     float64 `json:"cpu_us"` // server, per unit
	Rate    float64 `json:"per_second"`
	P50     float64 `json:"p50_us,omitempty"`
	P99     float64 `json:"p99_us,omitempty"`
	Max     float64 `json:"max_us,omitempty"`
	Bytes   int     `json:"bytes_per_conn,omitempty"`
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:3000", "server")
	flag.IntVar(&o.pid, "pid", 0, "process of the server; 0 leaves CPU and memory out")
	flag.IntVar(&o.clients, "clients", 1000, "connections")
	flag.IntVar(&o.payload, "payload", 64, "bytes of payload, at least 16")
	flag.DurationVar(&o.time, "time", 3*time.Second, "length of each work")
	flag.StringVar(&o.work, "work", "connect,idle,bcast1,bcast16,echo1,echo64", "what to do, in this order")
	flag.BoolVar(&o.json, "json", false, "print JSON lines")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread()
	if err := run(o); err != nil {
		log.Fatal("bench-load: ", err)
	}
}

func run(o options) error {
	l, err := newLoad(o)
	if err != nil {
		return err
	}
	defer l.close()
	if !o.json {
		fmt.Printf("%-10s %8s %10s %12s %12s %9s %9s %9s %10s\n", "work", "clients", "units", "cpu us/unit", "units/s", "p50 us", "p99 us", "max us", "B/conn")
	}
	for name := range strings.SplitSeq(o.work, ",") {
		r, err := l.do(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.Work, r.Clients = name, len(l.conns)
		if o.json {
			json.NewEncoder(os.Stdout).Encode(r)
			continue
		}
		fmt.Printf("%-10s %8d %10d %12.3f %12.0f %9.0f %9.0f %9.0f %10d\n", r.Work, r.Clients, r.Units, r.CPU, r.Rate, r.P50, r.P99, r.Max, r.Bytes)
	}
	return nil
}

func (l *load) do(name string) (result, error) {
	var inflight int
	switch {
	case name == "connect":
		return l.connect()
	case name == "idle":
		return l.idle()
	case scan(name, "bcast", &inflight):
		return l.broadcast(inflight)
	case scan(name, "echo", &inflight):
		return l.echo(inflight)
	}
	return result{}, errors.New("unknown work")
}

func scan(name, prefix string, n *int) bool {
	got, err := fmt.Sscanf(name, prefix+"%d", n)
	return err == nil && got == 1 && *n > 0
}
