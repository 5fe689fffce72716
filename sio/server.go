package sio

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/epio-go/epio/eio"
)

// Server is a Socket.IO server: an http.Handler, and a server of its own through
// Serve and ListenAndServe. It also stands for its namespace "/". All methods are
// safe for concurrent use.
type Server struct {
	// immutable
	cfg    Config
	log    *slog.Logger
	engine *eio.Server
	base   context.Context // parent of the sockets' contexts
	root   *Namespace
	id     string

	life    context.Context // of listeners for other servers' events; ends with the server
	endLife context.CancelFunc
	store   store

	names      atomic.Pointer[map[string]*Namespace] // what Of has made, by name, without parents; replaced under mu
	busy       busy
	departures departures

	workers workers
	warned  manyAttachments
	waiters waiters

	draining atomic.Bool
	deaf     atomic.Bool // Shutdown has begun: further events are not handled

	counts  counts
	traffic *traffic // nil unless Config.CountTraffic
	rates   rateLimits

	mu sync.Mutex
	// guarded by mu
	parents   []*Namespace
	kids      map[string]*Namespace    // children, by name; not a snapshot: clients make them, as many as they like
	leaving   map[string]chan struct{} // by name: adapters that are being closed
	closing   bool
	lingering int // children without sockets
}

// New makes a server. It starts nothing: pass it to an http.Server or call Serve.
// The error joins every problem of the configuration as *ConfigError and
// *eio.ConfigError.
func New(cfg Config) (*Server, error) {
	c, err := cfg.normalize()
	srv := &Server{cfg: c, log: c.Logger, base: context.Background(), id: c.ServerID}
	srv.life, srv.endLife = context.WithCancel(srv.base)
	engine := c.Engine
	if engine.Flow.HighWater > 0 { // otherwise it is a mistake that has been reported
		engine.Flow.OnSlow = flowHook(engine.Flow.OnSlow, c.OnSlow)
		engine.Flow.OnFast = flowHook(engine.Flow.OnFast, c.OnFast)
	}
	e, engineErr := eio.NewServer(engine, (*sessions)(srv))
	if err := errors.Join(err, engineErr); err != nil {
		if e != nil {
			e.Close()
		}
		srv.endLife()
		return nil, err
	}
	srv.engine = e
	srv.busy.init()
	srv.rates = c.Rates.limits()
	if c.CountTraffic {
		srv.traffic = new(traffic)
	}
	srv.departures.init()
	srv.names.Store(&map[string]*Namespace{})
	srv.kids = make(map[string]*Namespace)
	srv.leaving = make(map[string]chan struct{})
	srv.mu.Lock()
	root := srv.addLocked(&Namespace{name: "/", tbl: new(handlerTable)})
	srv.mu.Unlock()
	if err := root.recErr; err != nil {
		e.Close()
		srv.endLife()
		return nil, &ConfigError{Field: "Recovery", Problem: err.Error()}
	}
	srv.root = srv.Of("/")
	return srv, nil
}

// ServeHTTP serves polling requests and WebSocket upgrades. Mount it at
// Config.Engine.Path with a trailing slash: mux.Handle("/socket.io/", srv).
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { srv.engine.ServeHTTP(w, r) }

// ListenAndServe serves on a TCP address such as ":3000", see Serve.
func (srv *Server) ListenAndServe(addr string) error { return srv.engine.ListenAndServe(addr) }

// Serve accepts connections from ln, answers what concerns Socket.IO and passes
// other requests to the handler set with SetFallback. WebSocket connections never
// pass through net/http, which makes this the faster door. It returns
// ErrServerClosed after Shutdown or Close.
func (srv *Server) Serve(ln net.Listener) error { return srv.engine.Serve(ln) }

// SetFallback sets what serves the requests outside of Config.Engine.Path on the
// listeners of Serve. Default: 404.
func (srv *Server) SetFallback(h http.Handler) { srv.engine.SetFallback(h) }

// Engine returns the Engine.IO server underneath.
func (srv *Server) Engine() *eio.Server { return srv.engine }

// resume has the socket's goroutine run: its connect job at first, then its
// events.
func (srv *Server) resume(s *Socket) {
	srv.busy.add()
	srv.workers.run(s)
}
