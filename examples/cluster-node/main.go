// Cluster-node is one node of a Socket.IO cluster that any client can drive: it emits,
// fetches, joins and calls other servers at a client's request. The tests start several
// of them, mix Go and Node ones, and compare what clients see.
//
//	cluster-node --port 3001 --name a --adapter redis --redis localhost:6379
//
// Its events are those of facade.go and restart.go. It prints READY when clients can connect
// and the other nodes know it, and ends in an orderly way on SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/sio"
)

// options are the flags.
type options struct {
	port     int
	name     string
	adapter  string
	redis    string
	postgres string
	nats     string
	recovery bool
	msgpack  bool
	drain    time.Duration
	publish  time.Duration
	serve    string
}

func main() {
	var o options
	flag.IntVar(&o.port, "port", 0, "`port` on 127.0.0.1")
	flag.StringVar(&o.name, "name", "", "name of this node in answers")
	flag.StringVar(&o.adapter, "adapter", "memory", "one of "+adapterNames())
	flag.StringVar(&o.redis, "redis", "localhost:6379", "`address` of Redis")
	flag.StringVar(&o.postgres, "postgres", "", "Postgres `DSN`")
	flag.StringVar(&o.nats, "nats", "", "`URL` of NATS; empty: a mesh of servers within the nodes")
	flag.BoolVar(&o.recovery, "recovery", false, "connection state recovery")
	flag.BoolVar(&o.msgpack, "msgpack", false, "socket.io-msgpack-parser")
	flag.DurationVar(&o.drain, "drain", 0, "`time` over which clients are sent away at the end; 0: all at once")
	flag.DurationVar(&o.publish, "publish", 0, "send a numbered event this `often`; 0: never")
	flag.StringVar(&o.serve, "serve-nats", "", "be a NATS server with JetStream instead, with files in this `folder`")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", o.name)
	if err := run(&o, log); err != nil {
		log.Error("cluster-node", "err", err)
		os.Exit(1)
	}
}

func run(o *options, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port))
	if o.serve != "" {
		return serveNATS(ctx, addr, o.serve)
	}
	factory, closeBackend, err := newAdapter(o)
	if err != nil {
		return err
	}
	defer closeBackend()
	cfg := sio.Config{Adapter: factory, Logger: log}
	if o.msgpack {
		cfg.Parser = codec.Msgpack
	}
	if o.recovery {
		cfg.Recovery = &sio.Recovery{MaxDisconnection: 2 * time.Minute}
	}
	srv, err := sio.New(cfg)
	if err != nil {
		return err
	}
	for _, name := range []string{"/", "/custom"} {
		newFacade(o.name, srv.Of(name)).register()
	}
	j := &journal{name: o.name, ns: srv.Of("/")}
	j.register()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	var publishing sync.WaitGroup
	life, die := context.WithCancel(context.Background())
	defer die()
	if o.publish > 0 {
		publishing.Go(func() { j.publish(life, o.publish) }) // to the last moment
	}
	fmt.Println("READY")

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// Without Redis, say, the end takes longer, which some tests want.
	if err := end(srv, o.drain); err != nil && (o.drain > 0 || !errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	die()
	publishing.Wait()
	j.print()
	return nil
}

// end ends the server: all clients at once, or over a period.
func end(srv *sio.Server, drain time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second+5*drain)
	defer cancel()
	if drain > 0 {
		return srv.Drain(ctx, drain)
	}
	return srv.Shutdown(ctx)
}
