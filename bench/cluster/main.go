// Command bench-cluster measures what it costs to be one of several servers: three nodes
// on one Redis, in Go and on Node.js in turns, for each adapter.
//
//	bench-cluster -adapters redis,redis-sharded -time 3s -rounds 2
//
// Node a sends, node b has the receiver, node c has no receivers. The nodes are
// examples/cluster-node and test/cluster/node.js, which handle the same events; the
// Redis is this program's own. It needs Linux, and a machine that does nothing else.
//
// # Works
//
//	forward  a client has node a send 1,000 events to a room, again and again; the next
//	         thousand is asked for when the receiver, on node b, has the last one
//	latency  a client has node a send an event to a room now and then, in turns one whose
//	         member is on node a and one whose member is on node b
//
// # Figures
//
// CPU time is that of the process (clock_getcpuclockid(3)) per event: of node a without
// what it costs to deliver, of node b with one delivery, of node c with none, and of
// Redis. Latency is the time from writing the request to reading the event. A receiver
// that gets an event twice, late or not at all ends the measurement with an error.
//
// Go and Node nodes take turns, in each round; ratios are between figures of one round,
// and the medians of rounds are printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	adapters []string
	rounds   int
	time     time.Duration
	pace     time.Duration
	payload  int
	goNode   string
	jsNode   string
	redis    string
	out      string
}

// adapters are those that nodes of both kinds know.
var adapters = []string{"redis", "redis-sharded", "redis-streams"}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench-cluster: ")
	var o options
	names := flag.String("adapters", strings.Join(adapters, ","), "adapters to measure")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each is measured")
	flag.DurationVar(&o.time, "time", 3*time.Second, "length of each work")
	flag.DurationVar(&o.pace, "pace", 2*time.Millisecond, "time between two events of the work latency")
	flag.IntVar(&o.payload, "payload", 64, "bytes of payload of the work forward")
	flag.StringVar(&o.goNode, "go", "bin/cluster-node", "program of a Go node")
	flag.StringVar(&o.jsNode, "node", "test/cluster/node.js", "script of a Node node; empty for none")
	flag.StringVar(&o.redis, "redis-server", "redis-server", "program of Redis")
	flag.StringVar(&o.out, "out", "", "file for the report, besides the standard output")
	flag.Parse()
	o.adapters = strings.Split(*names, ",")
	for _, a := range o.adapters {
		if !slices.Contains(adapters, a) {
			log.Fatalf("no adapter %q, only %s", a, strings.Join(adapters, ", "))
		}
	}
	if o.rounds < 1 || o.time <= 0 || o.pace <= 0 || o.payload < 1 {
		log.Fatal("-rounds, -time, -pace and -payload must be positive")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o *options) error {
	kinds := []string{"go", "node"}
	if o.jsNode == "" {
		kinds = kinds[:1]
	}
	quiet := busyCores(time.Second)
	var rows []row
	for round := range o.rounds {
		for _, a := range o.adapters {
			// Who is first changes, so that neither always runs on a machine that the
			// other has just warmed up.
			order := slices.Clone(kinds)
			if round%2 == 1 {
				slices.Reverse(order)
			}
			for _, kind := range order {
				log.Printf("round %d of %d: %s, %s", round+1, o.rounds, a, kind)
				r, err := measure(ctx, o, kind, a)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", a, kind, err)
				}
				r.round = round
				rows = append(rows, r)
			}
		}
	}
	text := report(o, rows, quiet)
	fmt.Print(text)
	if o.out == "" {
		return nil
	}
	return os.WriteFile(o.out, []byte(text), 0o666)
}

// measure starts a cluster, has it do the works, and ends it.
func measure(ctx context.Context, o *options, kind, adapter string) (r row, err error) {
	r = row{kind: kind, adapter: adapter}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*o.time+time.Minute, errors.New("took too long"))
	defer cancel()
	c, err := startCluster(ctx, o, kind, adapter)
	defer c.stop()
	if err != nil {
		return r, err
	}
	if err := c.forward(ctx, o, o.time/2, new(row)); err != nil { // warms up
		return r, fmt.Errorf("forward: %w", err)
	}
	if err := c.forward(ctx, o, o.time, &r); err != nil {
		return r, fmt.Errorf("forward: %w", err)
	}
	if err := c.latency(ctx, o, &r); err != nil {
		return r, fmt.Errorf("latency: %w", err)
	}
	return r, nil
}
