package sio

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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

	names atomic.Pointer[map[string]*Namespace] // by name, without parents; replaced under mu
	busy  busy

	workers workers
	warned  manyAttachments

	mu sync.Mutex
	// guarded by mu
	parents   []*Namespace
	closing   bool
	lingering int // children without sockets
}

// New makes a server. It starts nothing: pass it to an http.Server or call Serve.
// The error joins every problem of the configuration as *ConfigError and
// *eio.ConfigError.
func New(cfg Config) (*Server, error) {
	c, err := cfg.normalize()
	srv := &Server{cfg: c, log: c.Logger, base: context.Background()}
	e, engineErr := eio.NewServer(c.Engine, (*sessions)(srv))
	if err := errors.Join(err, engineErr); err != nil {
		if e != nil {
			e.Close()
		}
		return nil, err
	}
	srv.engine = e
	srv.busy.init()
	srv.names.Store(&map[string]*Namespace{})
	srv.mu.Lock()
	root := srv.addLocked(&Namespace{name: "/", tbl: new(handlerTable)})
	srv.mu.Unlock()
	if err := root.recErr; err != nil {
		e.Close()
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

// Of returns the namespace with this name, making it if it does not exist. A
// missing leading slash is added. With wildcards, as in "/tenant/{id}" or
// "/files/{path...}", it makes a parent, see [Namespace]; names made with Of go
// before patterns, and patterns are tried in the order they were made. It panics
// when the pattern is malformed.
func (srv *Server) Of(name string) *Namespace {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	if strings.ContainsAny(name, "{}") {
		match := pattern(name)
		return srv.addParent(name, func(_ context.Context, name string, _ *Handshake) (map[string]string, bool) {
			return match(name)
		})
	}
	srv.mu.Lock()
	ns := (*srv.names.Load())[name]
	if ns == nil {
		ns = srv.addLocked(&Namespace{name: name, tbl: new(handlerTable)})
	}
	ns.users++ // never removed, should it be a child
	srv.mu.Unlock()
	ns.connectedAdapter()
	return ns
}

// OfFunc makes a parent for all names that match reports true for. match runs on
// a goroutine of the connecting socket and may block; the context ends when the
// client goes away.
func (srv *Server) OfFunc(match func(ctx context.Context, name string, h *Handshake) bool) *Namespace {
	return srv.addParent("func", func(ctx context.Context, name string, h *Handshake) (map[string]string, bool) {
		return nil, match(ctx, name, h)
	})
}

func (srv *Server) addParent(name string, match func(context.Context, string, *Handshake) (map[string]string, bool)) *Namespace {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if name != "func" {
		for _, p := range srv.parents {
			if p.name == name {
				return p
			}
		}
	}
	p := &Namespace{srv: srv, name: name, tbl: new(handlerTable), match: match}
	srv.parents = append(slices.Clip(srv.parents), p)
	return p
}

// addLocked makes ns known. Its adapter is connected later, without the lock.
func (srv *Server) addLocked(ns *Namespace) *Namespace {
	ns.srv = srv
	ns.adapter = srv.cfg.Adapter((*host)(ns))
	ns.index = ns.adapter.Index()
	if c := srv.cfg.Recovery; c != nil {
		if ns.rec, ns.recErr = newRecovery(ns, c, &srv.cfg.Engine); ns.recErr != nil {
			srv.log.Error("sio: no recovery", "namespace", ns.name, "err", ns.recErr)
		}
	}
	names := maps.Clone(*srv.names.Load())
	names[ns.name] = ns
	srv.names.Store(&names)
	return ns
}

// static returns the existing namespace with this name, or nil.
func (srv *Server) static(name []byte) *Namespace {
	ns := (*srv.names.Load())[string(name)]
	if ns == nil || ns.parent != nil {
		return nil // a child may be on its way out: resolve takes it properly
	}
	return ns
}

// resolve returns the namespace a socket asks for, a new child if need be, or nil.
// The caller gives a child back with releaseNamespace.
func (srv *Server) resolve(ctx context.Context, s *Socket) *Namespace {
	srv.mu.Lock()
	if ns := (*srv.names.Load())[s.nsp]; ns != nil {
		ns.users++
		srv.mu.Unlock()
		return ns
	}
	parents := srv.parents
	srv.mu.Unlock()
	for _, p := range parents {
		values, ok := p.match(ctx, s.nsp, s.Handshake())
		if !ok {
			continue
		}
		srv.mu.Lock()
		defer srv.mu.Unlock()
		if ns := (*srv.names.Load())[s.nsp]; ns != nil {
			ns.users++ // made by another socket in the meantime
			return ns
		}
		return srv.addLocked(&Namespace{name: s.nsp, tbl: p.tbl, values: values, parent: p, users: 1})
	}
	return nil
}

// releaseNamespace is the counterpart of resolve: a child without sockets goes, at once
// or, with recovery, when nobody can come back any more.
func (srv *Server) releaseNamespace(ns *Namespace) {
	if ns.parent == nil {
		return
	}
	srv.mu.Lock()
	ns.users--
	last := ns.users == 0
	if last && !srv.lingerLocked(ns) {
		srv.removeLocked(ns)
	} else {
		last = false
	}
	srv.mu.Unlock()
	if last {
		srv.closeAdapter(srv.base, ns)
	}
}

// removeLocked makes a child unknown. Its adapter is closed later, without the lock.
func (srv *Server) removeLocked(ns *Namespace) {
	names := maps.Clone(*srv.names.Load())
	delete(names, ns.name)
	srv.names.Store(&names)
}

func (srv *Server) closeAdapter(ctx context.Context, ns *Namespace) {
	if err := ns.connectedAdapter().Close(ctx); err != nil {
		srv.log.Warn("sio: adapter not closed cleanly", "namespace", ns.name, "err", err)
	}
}

// children returns the existing children of a parent.
func (srv *Server) children(p *Namespace) []*Namespace {
	var all []*Namespace
	for _, ns := range *srv.names.Load() {
		if ns.parent == p {
			all = append(all, ns)
		}
	}
	return all
}

// Namespaces iterates over the namespaces that exist, children included and
// parents not, in no particular order.
func (srv *Server) Namespaces() iter.Seq[*Namespace] { return maps.Values(*srv.names.Load()) }

// resume has the socket's goroutine run: its connect job at first, then its
// events.
func (srv *Server) resume(s *Socket) {
	srv.busy.add()
	srv.workers.run(s)
}

// The methods below are those of the namespace "/".

// Use adds a connect middleware to "/", see Namespace.Use.
func (srv *Server) Use(mw func(ctx context.Context, s *Socket) error) { srv.root.Use(mw) }

// OnConnect adds a connect handler to "/", see Namespace.OnConnect.
func (srv *Server) OnConnect(fn func(ctx context.Context, s *Socket) error) { srv.root.OnConnect(fn) }

// OnDisconnect adds a disconnect handler to "/", see Namespace.OnDisconnect.
func (srv *Server) OnDisconnect(fn func(s *Socket, r Reason)) { srv.root.OnDisconnect(fn) }

// Wrap adds an event middleware to "/", see Namespace.Wrap.
func (srv *Server) Wrap(mw func(next Handler) Handler) { srv.root.Wrap(mw) }

// Handle registers a handler on "/", see Namespace.Handle.
func (srv *Server) Handle(event string, h Handler) { srv.root.Handle(event, h) }

// HandleAny adds a catch-all handler to "/", see Namespace.HandleAny.
func (srv *Server) HandleAny(h Handler) { srv.root.HandleAny(h) }

// HandleFallback registers the fallback handler of "/", see
// Namespace.HandleFallback.
func (srv *Server) HandleFallback(h Handler) { srv.root.HandleFallback(h) }

// HandleAnyOutgoing watches what is sent in "/", see Namespace.HandleAnyOutgoing.
func (srv *Server) HandleAnyOutgoing(fn func(s *Socket, event string, args []any)) {
	srv.root.HandleAnyOutgoing(fn)
}

// All selects all sockets of "/".
func (srv *Server) All() Target { return srv.root.All() }

// Emit sends an event to all sockets of "/".
func (srv *Server) Emit(event string, args ...any) error { return srv.root.Emit(event, args...) }

// To selects the sockets of "/" in at least one of rooms.
func (srv *Server) To(rooms ...string) Target { return srv.root.To(rooms...) }

// In is To.
func (srv *Server) In(rooms ...string) Target { return srv.root.To(rooms...) }

// Except selects the sockets of "/" that are in none of rooms.
func (srv *Server) Except(rooms ...string) Target { return srv.root.Except(rooms...) }

// Local selects the sockets of "/" on this server.
func (srv *Server) Local() Target { return srv.root.Local() }

// Volatile selects all sockets of "/", for packets that may be dropped.
func (srv *Server) Volatile() Target { return srv.root.Volatile() }

// Timeout selects all sockets of "/" and bounds Call and Gather.
func (srv *Server) Timeout(d time.Duration) Target { return srv.root.Timeout(d) }

// Compress selects all sockets of "/"; see Target.Compress.
func (srv *Server) Compress(on bool) Target { return srv.root.Compress(on) }

// Sockets iterates over the connected sockets of "/" on this server.
func (srv *Server) Sockets() iter.Seq[*Socket] { return srv.root.Sockets() }

// Socket returns the connected socket of "/" with this id on this server, or nil.
func (srv *Server) Socket(id string) *Socket { return srv.root.Socket(id) }

func (srv *Server) table() *handlerTable { return srv.root.tbl }
