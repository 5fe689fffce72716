// Command server is what the JavaScript tests in test/client talk to. Its events let a client exercise every feature of a
// server; events.go and namespaces.go list them.
//
// It reports what it sees as JSON lines on standard output, the address first:
//
//	{"event":"listening","addr":"127.0.0.1:40231"}
//	{"event":"disconnect","id":"…","reason":"transport close","rooms":["…"]}
//	{"event":"stopped","sessions":0,"frames":0}
//
// It ends on SIGTERM or SIGINT.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
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
	"sync"
	"syscall"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
	"github.com/epio-go/epio/sio"
)

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:0", "address to listen on")
	flag.StringVar(&o.door, "door", "http", "way in: http (net/http), direct (the server's own listener) or tls (that, with TLS)")
	flag.StringVar(&o.engine, "engine", "epoll", "engine: epoll or netpoll (where there is a reactor), or portable")
	flag.BoolVar(&o.eio3, "eio3", false, "accept clients of Engine.IO v3")
	flag.BoolVar(&o.deflate, "deflate", false, "compress WebSocket messages for clients that offer it")
	flag.IntVar(&o.maxPayload, "max-payload", 0, "largest message in bytes; 0 means the default")
	flag.DurationVar(&o.connectTimeout, "connect-timeout", 0, "time to join a namespace; 0 means the default")
	flag.DurationVar(&o.pingInterval, "ping-interval", 0, "time between pings; 0 means the default")
	flag.DurationVar(&o.pingTimeout, "ping-timeout", 0, "time to answer a ping; 0 means the default")
	flag.BoolVar(&o.recovery, "recovery", false, "connection state recovery, with its defaults")
	flag.BoolVar(&o.msgpack, "msgpack", false, "speak msgpack instead of JSON")
	flag.BoolVar(&o.user, "user", false, "keep the header X-User with sessions")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

type options struct {
	addr, door, engine                        string
	eio3, deflate                             bool
	maxPayload                                int
	connectTimeout, pingInterval, pingTimeout time.Duration
	msgpack, recovery                         bool
	user                                      bool
}

func run(o options) error {
	reactors := map[string]engine.Reactor{"epoll": engine.Epoll, "netpoll": engine.Netpoll, "portable": engine.Epoll}
	reactor, ok := reactors[o.engine]
	if !ok {
		return fmt.Errorf("no engine %q", o.engine)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	parser := codec.JSON
	if o.msgpack {
		parser = codec.Msgpack
	}
	var deflate *eio.PerMessageDeflate
	if o.deflate {
		deflate = new(eio.PerMessageDeflate)
	}
	var resume *sio.Recovery
	if o.recovery {
		resume = new(sio.Recovery)
	}
	var session func(*http.Request) context.Context
	if o.user {
		session = user
	}
	srv, err := sio.New(sio.Config{
		Recovery: resume,
		Engine: eio.Config{
			SessionContext: session,

			AllowEIO3:  o.eio3,
			MaxPayload: o.maxPayload,

			PerMessageDeflate: deflate,

			PingInterval: o.pingInterval,
			PingTimeout:  o.pingTimeout,
			Portable:     o.engine == "portable",
			Reactor:      reactor,
		},
		ConnectTimeout: o.connectTimeout,
		Parser:         parser,
		Logger:         slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	out := &reporter{enc: json.NewEncoder(os.Stdout)}
	root(srv, out)
	namespaces(srv, out)
	reliable(srv, out)
	if o.recovery {
		recovery(srv, out)
	}
	api(srv, out)

	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	listening := map[string]any{"event": "listening", "addr": ln.Addr().String()}
	serve := srv.Serve
	end := func(context.Context) error { return nil }
	switch o.door {
	case "http":
		mux := application()
		mux.Handle("/socket.io/", srv)
		hs := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		serve, end = hs.Serve, hs.Shutdown
	case "direct":
		srv.SetFallback(application())
	case "tls":
		cert, pem, err := certificate()
		if err != nil {
			return err
		}
		srv.SetFallback(application())
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}})
		listening["ca"] = pem
	default:
		return fmt.Errorf("no door %q", o.door)
	}

	served := make(chan error, 1)
	go func() { served <- serve(ln) }()
	out.report(listening)
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	if err := errors.Join(srv.Shutdown(ctx), end(ctx)); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	<-served
	out.report(map[string]any{"event": "stopped", "sessions": srv.Engine().Sessions(), "frames": pool.Live()})
	return nil
}

// application is the rest of the web server that the Socket.IO server is part of.
func application() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s", r.FormValue("name"))
	})
	mux.HandleFunc("POST /length", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, n)
	})
	return mux
}

// reporter writes JSON lines. Safe for concurrent use.
type reporter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (r *reporter) report(v map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.enc.Encode(v); err != nil {
		log.Print(err) // whoever started the program has gone
	}
}
