package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/sio"
)

// childOptions is the environment variable with the options of the server's process.
const childOptions = "EPIO_SOAK_SERVER"

// serveChild runs the servers and exits, in the process that is to do so.
func serveChild() {
	text, ok := os.LookupEnv(childOptions)
	if !ok {
		return
	}
	signal.Ignore(os.Interrupt) // of the terminal; the end of standard input is what counts
	var o options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		log.Fatal(err)
	}
	if err := serve(o, os.Stdin, &reporter{enc: json.NewEncoder(os.Stdout)}); err != nil {
		log.Fatal(err)
	}
	os.Exit(0)
}

// A command is a line on the server's standard input, a report one on its standard output.
type command struct {
	Do      string // "figures", "replace", "why"
	Node    int    // which to replace
	Session string // why it ended
}

type report struct {
	Kind    string // "nodes", "figures", "replaced", "why": answers in order; "fail": at any time
	Text    string // of a failure; why a session ended
	Nodes   []address
	Figures figures
	Counts  counts
	Drains  int // under way
}

// address says where a server is, and what it speaks.
type address struct {
	ID      int // never given twice
	Parser  string
	Engine  string
	Handler string // the door of net/http
	Direct  string // that of Serve
}

// counts are what the servers have counted: those that exist, and those that were drained.
type counts struct {
	Connects, Disconnects, Recovered, RecoveryFailed, Panics, Throttled int64
	Upgraded, WebSocket, Polling                                        int64
	Closed                                                              map[string]int64 // by reason
	Unanswered                                                          int64            // acknowledgements of Gather that did not come in time
}

type reporter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (r *reporter) send(m report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enc.Encode(m) // fails when nobody reads any more
}

func (r *reporter) failf(format string, args ...any) {
	r.send(report{Kind: "fail", Text: "server: " + fmt.Sprintf(format, args...)})
}

// drainTime is the period of drains.
const drainTime = 500 * time.Millisecond

// nodes are the servers.
type nodes struct {
	o      options
	out    *reporter
	app    *app
	drains atomic.Int32 // under way

	mu sync.Mutex
	// guarded by mu
	all  []*node
	next int
	past counts
}

// node is one server with its two doors.
type node struct {
	address
	srv  *sio.Server
	http *http.Server
	lns  []net.Listener
	done sync.WaitGroup
}

func serve(o options, in io.Reader, out *reporter) error {
	nd := &nodes{o: o, out: out, app: newApp(out, o.Faulty)}
	for _, e := range o.Engines {
		for _, p := range []string{"json", "msgpack"} {
			n, err := nd.start(e, p)
			if err != nil {
				return err
			}
			nd.all = append(nd.all, n)
		}
	}
	out.send(report{Kind: "nodes", Nodes: nd.addresses()})

	var drains sync.WaitGroup
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return err
		}
		switch c.Do {
		case "figures":
			out.send(report{Kind: "figures", Figures: nd.figures(), Counts: nd.counts(), Drains: int(nd.drains.Load())})
		case "why":
			out.send(report{Kind: "why", Text: nd.app.why(c.Session)})
		case "replace":
			if err := nd.replace(c.Node, &drains); err != nil {
				return err
			}
		}
	}
	drains.Wait()
	for _, n := range nd.live() {
		n.drain(nd, 0)
	}
	return lines.Err()
}

func (nd *nodes) live() []*node {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	return slices.Clone(nd.all)
}

func (nd *nodes) addresses() (all []address) {
	for _, n := range nd.live() {
		all = append(all, n.address)
	}
	return all
}

// replace starts another server in the place of one, and drains that one.
func (nd *nodes) replace(i int, drains *sync.WaitGroup) error {
	old := nd.live()[i]
	n, err := nd.start(old.Engine, old.Parser)
	if err != nil {
		return err
	}
	nd.mu.Lock()
	nd.all[i] = n
	nd.mu.Unlock()
	nd.drains.Add(1)
	nd.out.send(report{Kind: "replaced", Nodes: nd.addresses()})
	drains.Go(func() {
		old.drain(nd, drainTime)
		nd.drains.Add(-1)
	})
	return nil
}

// start starts a server.
func (nd *nodes) start(name, parser string) (*node, error) {
	reactors := map[string]engine.Reactor{"epoll": engine.Epoll, "netpoll": engine.Netpoll, "portable": engine.Epoll}
	reactor, ok := reactors[name]
	if !ok {
		return nil, fmt.Errorf("no engine %q", name)
	}
	nd.mu.Lock()
	nd.next++
	id := nd.next
	nd.mu.Unlock()
	o := &nd.o
	cfg := sio.Config{
		Engine: eio.Config{
			AllowEIO3:         parser == "json",
			PingInterval:      o.PingInterval,
			PingTimeout:       o.Patience,
			UpgradeTimeout:    o.Patience,
			HandshakeTimeout:  o.Patience,
			MaxPayload:        200_000,
			SendBuffer:        sendBuffer,
			PerMessageDeflate: &eio.PerMessageDeflate{Threshold: 256},
			Portable:          name == "portable",
			Reactor:           reactor,
		},
		ConnectTimeout:    o.Patience,
		AckTimeout:        o.Patience,
		AttachmentTimeout: o.Patience,
		QueueEvents:       32,
		Recovery:          &sio.Recovery{MaxDisconnection: o.Away},
		Hooks:             sio.Hooks{Disconnect: nd.app.ended},
		Logger:            slog.New(serverLog{id, nd.app}),
	}
	if parser == "msgpack" {
		cfg.Parser = codec.Msgpack
	}
	srv, err := sio.New(cfg)
	if err != nil {
		return nil, err
	}
	n := &node{address: address{ID: id, Parser: parser, Engine: name}, srv: srv}
	nd.app.register(n.ID, srv)

	for range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		n.lns = append(n.lns, ln)
	}
	n.Handler, n.Direct = n.lns[0].Addr().String(), n.lns[1].Addr().String()
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", srv)
	// Clients break off on purpose: what net/http says of that is of no interest.
	n.http = &http.Server{Handler: mux, ReadHeaderTimeout: o.Patience, ErrorLog: log.New(io.Discard, "", 0)}
	n.done.Go(func() {
		if err := n.http.Serve(n.lns[0]); !errors.Is(err, http.ErrServerClosed) {
			nd.out.failf("http.Server: %v", err)
		}
	})
	n.done.Go(func() {
		if err := srv.Serve(n.lns[1]); !errors.Is(err, sio.ErrServerClosed) {
			nd.out.failf("Serve: %v", err)
		}
	})
	return n, nil
}

// drain ends a server, and looks at what is left of it.
func (n *node) drain(nd *nodes, period time.Duration) {
	limit := 3 * time.Minute // what polling clients have to be told waits until they are taken to be gone
	if nd.o.Brief {
		limit = time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := n.srv.Drain(ctx, period); err != nil && !(nd.o.Brief && errors.Is(err, context.DeadlineExceeded)) {
		nd.out.failf("drain: %v", err)
	}
	n.http.Close()
	n.done.Wait()
	nd.app.drop(n.ID)
	var st sio.Stats
	sockets := 0
	// Its timers do not count: they are disarmed with the wheel.
	left := func() bool {
		st, sockets = n.srv.Stats(), 0
		for _, ns := range st.Namespaces {
			sockets += ns.Sockets
		}
		return st.Engine.Sessions+st.Engine.Conns+st.Busy+sockets != 0
	}
	if nd.o.Brief { // Drain has run out of time, and handlers may be at work
		for i := 0; i < 500 && left(); i++ {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if left() {
		nd.out.failf("a drained server has %d sessions, %d connections, %d sockets, %d of them busy",
			st.Engine.Sessions, st.Engine.Conns, sockets, st.Busy)
	}
	nd.mu.Lock()
	defer nd.mu.Unlock()
	nd.past.add(st)
}

func (nd *nodes) counts() counts {
	nd.mu.Lock()
	c := nd.past
	closed := make(map[string]int64)
	maps.Copy(closed, c.Closed)
	c.Closed = closed
	nd.mu.Unlock()
	for _, n := range nd.live() {
		c.add(n.srv.Stats())
	}
	c.Unanswered = nd.app.unanswered.Load()
	return c
}

func (c *counts) add(st sio.Stats) {
	c.Connects += st.Connects
	c.Disconnects += st.Disconnects
	c.Recovered += st.Recovered
	c.RecoveryFailed += st.RecoveryFailed
	c.Panics += st.Panics
	c.Throttled += st.Throttled
	c.Upgraded += st.Engine.Upgraded
	c.WebSocket += st.Engine.WebSocket
	c.Polling += st.Engine.Polling
	if c.Closed == nil {
		c.Closed = make(map[string]int64)
	}
	for how, n := range st.Engine.Closed {
		c.Closed[string(how.Reason)] += n
	}
}

// serverLog turns errors that a server logs into failures, and keeps for a while why it has closed connections.
type serverLog struct {
	node int
	app  *app
}

func (serverLog) Enabled(context.Context, slog.Level) bool { return true }
func (l serverLog) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l serverLog) WithGroup(string) slog.Handler          { return l }

func (l serverLog) Handle(_ context.Context, r slog.Record) error {
	closed := strings.HasPrefix(r.Message, "sio: connection closed") || strings.HasPrefix(r.Message, "sio: no namespace joined")
	if r.Level < slog.LevelError && !closed {
		return nil
	}
	var b strings.Builder
	b.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s", a)
		return true
	})
	if closed {
		l.app.logged(fmt.Sprintf("%s node %d: %s", r.Time.Format("15:04:05.000"), l.node, &b))
	} else {
		l.app.out.failf("log: %s", &b)
	}
	return nil
}
