// Command conformance is the server that the official protocol suites and other
// probes expect to find: each suite of the protocol documents and of the client
// packages assumes an application with a certain behaviour.
//
//	conformance -addr 127.0.0.1:3000 -suite eio
//
// Suites:
//
//	eio         Engine.IO protocol suite, on /engine.io/
//	sio         Socket.IO protocol suite, on /socket.io/
//	client-eio  tests of the package engine.io-client
//	client-sio  tests of the package socket.io-client
//	probe       both protocols on one port, for clients that compare servers
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/sio"
)

// options are the command's flags.
type options struct {
	addr       string
	suite      string
	door       string
	portable   bool
	netpoll    bool
	maxPayload int
	cors       string
	cookie     bool
	eio3       bool
	msgpack    bool
	verbose    bool

	// set by a suite that needs to see the requests; the door is http then
	middleware func(http.Handler) http.Handler
}

// suites make the application of each suite. An engine may be nil, not both.
var suites = map[string]func(o *options) (*eio.Server, *sio.Server, error){
	"eio":        suiteEIO,
	"sio":        suiteSIO,
	"client-eio": suiteClientEIO,
	"client-sio": suiteClientSIO,
	"probe":      suiteProbe,
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:3000", "address to listen on")
	flag.StringVar(&o.suite, "suite", "eio", "application to run: eio, sio, client-eio, client-sio or probe")
	flag.StringVar(&o.door, "door", "direct", "way in: direct (the server's own listener) or http (net/http)")
	flag.BoolVar(&o.portable, "portable", false, "use the engine with one goroutine per connection")
	flag.BoolVar(&o.netpoll, "netpoll", false, "use netpoll instead of the engine's own epoll loops")
	flag.IntVar(&o.maxPayload, "max-payload", 0, "largest message in bytes; 0 means the suite's own value")
	flag.StringVar(&o.cors, "cors", "", "allowed origin, with credentials (probe only; the others have their own)")
	flag.BoolVar(&o.cookie, "cookie", false, "set the cookie io on polling handshakes")
	flag.BoolVar(&o.verbose, "v", false, "log what the server sees")
	flag.BoolVar(&o.eio3, "eio3", false, "accept clients of Engine.IO 3")
	flag.BoolVar(&o.msgpack, "msgpack", false, "speak msgpack instead of JSON")
	flag.Parse()
	if o.suite == "client-sio" {
		log.Print("conformance: connection state recovery is not there yet; the client's two recovery cases cannot pass")
	}
	if err := run(o); err != nil {
		log.Fatal("conformance: ", err)
	}
}

func run(o options) error {
	suite := suites[o.suite]
	if suite == nil {
		return fmt.Errorf("no suite %q", o.suite)
	}
	engine, sockets, err := suite(&o)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 1)
	serve, shutdown := serving(o, engine, sockets)
	go func() { ended <- serve(ln) }()
	log.Printf("listening on %s", ln.Addr())
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	shutdown(ctx)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

// serving puts the servers behind one listener.
func serving(o options, engine *eio.Server, sockets *sio.Server) (serve func(net.Listener) error, shutdown func(context.Context)) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not found", http.StatusNotFound) })
	if engine != nil {
		mux.Handle("/engine.io/", engine)
	}
	if sockets != nil {
		mux.Handle("/socket.io/", sockets)
	}
	var web *http.Server
	switch {
	case o.door == "http":
		var h http.Handler = mux
		if o.middleware != nil {
			h = o.middleware(mux)
		}
		web = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
		serve = web.Serve
	case sockets != nil:
		sockets.SetFallback(mux)
		serve = sockets.Serve
	default:
		engine.SetFallback(mux)
		serve = engine.Serve
	}
	return serve, func(ctx context.Context) {
		if sockets != nil {
			sockets.Shutdown(ctx)
		}
		if engine != nil {
			engine.Shutdown(ctx)
		}
		if web != nil {
			web.Close()
		}
	}
}

// base returns the engine configuration that the flags ask for.
func (o *options) base() eio.Config {
	c := eio.Config{Portable: o.portable, MaxPayload: o.maxPayload, AllowEIO3: o.eio3}
	if o.netpoll {
		c.Reactor = engine.Netpoll
	}
	if o.cookie {
		c.Cookie = &eio.Cookie{}
	}
	if o.cors != "" {
		c.CORS = &eio.CORSOptions{Origins: []string{o.cors}, Credentials: true}
	}
	if o.verbose {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return c
}

// parser returns the parser that the flags ask for.
func (o *options) parser() codec.Parser {
	if o.msgpack {
		return codec.Msgpack
	}
	return codec.JSON
}

// anyOrigin is the CORS setting of the protocol suites.
func (o *options) anyOrigin() eio.Config {
	c := o.base()
	if c.CORS == nil {
		c.CORS = &eio.CORSOptions{Origins: []string{"*"}}
	}
	return c
}

// refuseDeny refuses handshakes whose query has "deny", with its value as text.
func refuseDeny(r *http.Request) error {
	if q := r.URL.Query(); q.Has("deny") {
		return &eio.RefuseError{Message: q.Get("deny")}
	}
	return nil
}
