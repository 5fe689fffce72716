// Command conformance is the server that the official protocol suites and other
// probes expect to find: each suite of the protocol documents and of the client
// packages assumes an application with a certain behaviour.
//
//	conformance -addr 127.0.0.1:3000 -suite eio-v4
//
// Suites:
//
//	eio-v4      protocol suite of Engine.IO 4, on /engine.io/
//	eio-v3      protocol suite of Engine.IO 3; accepts its clients
//	sio-v5      protocol suite of Socket.IO 5, on /socket.io/
//	client-eio  tests of the package engine.io-client, on /engine.io/
//	client-sio  tests of the package socket.io-client, on /socket.io/
//	matrix      both protocols on one port, for clients of all generations
//	probe       the same with narrow limits, for programs that compare servers
//
// Every suite works through both doors and on every engine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
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
	engine     string
	maxPayload int
	cors       string
	cookie     bool
	eio3       bool
	msgpack    bool
	verbose    bool
}

// suites make the application of each suite. One of the servers may be nil.
var suites = map[string]func(o *options) (*eio.Server, *sio.Server, error){
	"eio-v4":     suiteEIO,
	"eio-v3":     suiteEIO3,
	"sio-v5":     suiteSIO,
	"client-eio": suiteClientEIO,
	"client-sio": suiteClientSIO,
	"matrix":     suiteMatrix,
	"probe":      suiteProbe,
}

// aliases are short names of suites.
var aliases = map[string]string{"eio": "eio-v4", "sio": "sio-v5"}

const usage = `Usage: conformance [flags]

Runs the application that a conformance suite expects of its server, until
SIGTERM or SIGINT.

Suites:
  eio-v4, eio  Engine.IO protocol suite on /engine.io/: echoes messages; ping
               300 ms, pong 200 ms, any origin
  eio-v3       the same for Engine.IO 3, whose clients it accepts
  sio-v5, sio  Socket.IO protocol suite on /socket.io/: namespaces / and /custom;
               ping 300 ms, pong 200 ms, 1 s to join a namespace, any origin
  client-eio   tests of engine.io-client on /engine.io/: messages of at most 100
               bytes, ping 500 ms
  client-sio   tests of socket.io-client on /socket.io/
  matrix       Engine.IO echo on /engine.io/ and Socket.IO on /socket.io/ (event
               echo; namespaces /, /custom, /dyn-<digits>, /denied); a handshake
               whose query has "deny" is refused, with its value as the reason;
               700 ms to upgrade, 600 ms to join a namespace
  probe        the same with messages of at most 2000 bytes

Modes go with every suite: -eio3 or -msgpack (old clients do not know it), -cors,
-cookie. So do -door and -engine, which choose the code under test.

Flags:
`

func main() {
	log.SetFlags(0)
	log.SetPrefix("conformance: ")
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:3000", "`address` to listen on")
	flag.StringVar(&o.suite, "suite", "eio-v4", "`name` of the suite")
	flag.StringVar(&o.door, "door", "direct", "way in: direct (the server's own listener) or http (net/http)")
	flag.StringVar(&o.engine, "engine", "epoll", "engine: epoll or netpoll (where there is a reactor), or portable")
	flag.IntVar(&o.maxPayload, "max-payload", 0, "largest message in `bytes`; 0 means the suite's own value")
	flag.StringVar(&o.cors, "cors", "", "allow this `origin` instead of the suite's own setting, with credentials unless it is *")
	flag.BoolVar(&o.cookie, "cookie", false, "set the cookie io on polling handshakes")
	flag.BoolVar(&o.eio3, "eio3", false, "accept clients of Engine.IO 3")
	flag.BoolVar(&o.msgpack, "msgpack", false, "speak msgpack instead of JSON")
	flag.BoolVar(&o.verbose, "v", false, "log what the server sees")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	if name, ok := aliases[o.suite]; ok {
		o.suite = name
	}
	suite := suites[o.suite]
	if suite == nil {
		return fmt.Errorf("no suite %q", o.suite)
	}
	if o.door != "direct" && o.door != "http" {
		return fmt.Errorf("no door %q", o.door)
	}
	if o.engine != "epoll" && o.engine != "netpoll" && o.engine != "portable" {
		return fmt.Errorf("no engine %q", o.engine)
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
	mux := routes(engine, sockets)
	var web *http.Server
	switch {
	case o.door == "http":
		web = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
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

// routes sends requests to the servers by the beginning of their path, as the
// reference does; http.ServeMux would clean paths and redirect. All others are
// answered with "not found".
func routes(engine *eio.Server, sockets *sio.Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.EscapedPath(); {
		case engine != nil && strings.HasPrefix(path, "/engine.io/"):
			engine.ServeHTTP(w, r)
		case sockets != nil && strings.HasPrefix(path, "/socket.io/"):
			sockets.ServeHTTP(w, r)
		default:
			w.Header()["Content-Type"] = nil // not guessed
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, "not found")
		}
	}
}

// base returns the engine configuration that the flags ask for.
func (o *options) base() eio.Config {
	c := eio.Config{Portable: o.engine == "portable", MaxPayload: o.maxPayload, AllowEIO3: o.eio3}
	if o.engine == "netpoll" {
		c.Reactor = engine.Netpoll
	}
	if o.cookie {
		c.Cookie = &eio.Cookie{}
	}
	if o.cors != "" {
		c.CORS = &eio.CORSOptions{Origins: []string{o.cors}, Credentials: o.cors != "*"}
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
