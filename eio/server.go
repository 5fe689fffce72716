package eio

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/gcra"
	"github.com/epio-go/epio/pool"
)

// Server is an Engine.IO server. It is an http.Handler and can serve listeners of
// its own; both may be in use at once. All methods are safe for concurrent use.
type Server struct {
	// immutable after start
	cfg      Config
	handler  Handler
	chain    http.Handler // serve behind Config.Middleware
	log      *slog.Logger
	timing   timing
	timingV3 timing
	engine   *engine.Engine
	notes    *notifier // what is told later, see Hooks
	sessions *table
	flows    flows
	stats    stats
	polling  openPacket
	ws       openPacket

	admission  *admission // nil: everybody is admitted
	corsWarned gcra.Shared

	fallback atomic.Pointer[http.Handler]
	down     atomic.Bool     // no further handshakes
	draining atomic.Bool     // the same, but listeners go on
	arriving atomic.Int32    // handshakes of net/http's goroutines whose connections are not in the engine yet
	life     context.Context // ends with down
	end      context.CancelFunc
	closing  sync.Once

	mu sync.Mutex
	// guarded by mu
	listeners map[net.Listener]struct{}
	handoff   *handoff // the internal HTTP server, made by the first Serve
}

// closeMemory is how long a CLOSE packet waits for a polling client.
const closeMemory = 30 * time.Second

// NewServer returns a server that reports to h. The error joins a *ConfigError
// for every invalid field.
func NewServer(cfg Config, h Handler) (*Server, error) {
	cfg, err := cfg.normalize()
	if h == nil {
		err = errors.Join(err, errors.New("eio: no handler"))
	}
	if err != nil {
		return nil, err
	}
	srv := &Server{
		cfg:      cfg,
		handler:  h,
		log:      cfg.Logger,
		sessions: newTable(),
		notes:    newNotifier(cfg.Logger),
		timing: timing{
			interval: cfg.PingInterval,
			timeout:  cfg.PingTimeout,
			upgrade:  cfg.UpgradeTimeout,
			linger:   closeMemory,
		},
		engine: engine.New(engine.Options{
			Portable:   cfg.Portable,
			Reactor:    cfg.Reactor,
			SendBuffer: cfg.SendBuffer,
			HighWater:  cfg.Flow.HighWater,
			LowWater:   cfg.Flow.LowWater,
			MaxInbound: max(cfg.maxMessage(), cfg.MaxHeaderBytes) + inboundSlack,
			Logger:     cfg.Logger,
		}),
		listeners: make(map[net.Listener]struct{}),
	}
	srv.life, srv.end = context.WithCancel(context.Background())
	srv.flows.flow = cfg.Flow
	srv.admission = newAdmission(cfg.Admission)
	srv.chain = http.HandlerFunc(srv.serve)
	if cfg.Middleware != nil {
		srv.chain = cfg.Middleware(srv.chain)
	}
	srv.timingV3 = srv.timing
	srv.timingV3.clientPings = true
	srv.polling = newOpenPacket(&cfg, srv.upgrades())
	srv.ws = newOpenPacket(&cfg, nil)
	return srv, nil
}

// inboundSlack is what the engine may keep for a connection beyond the largest
// message: its header, and control frames and the beginning of the next message
// received with it.
const inboundSlack = 64 << 10

// upgrades lists what a polling session may move to, in the reference's order.
func (srv *Server) upgrades() (list []string) {
	for _, t := range []Transport{WebSocket, WebTransport} {
		if !srv.cfg.DisableUpgrades && slices.Contains(srv.cfg.Transports, t.String()) {
			list = append(list, t.String())
		}
	}
	return list
}

// openPacket is the OPEN packet without its session id.
//
//	0{"sid":"…","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}
type openPacket struct{ tail string }

func newOpenPacket(cfg *Config, upgrades []string) openPacket {
	if upgrades == nil {
		upgrades = []string{}
	}
	b, err := json.Marshal(struct {
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"` // milliseconds
		PingTimeout  int64    `json:"pingTimeout"`  // milliseconds
		MaxPayload   int      `json:"maxPayload"`   // bytes
	}{upgrades, cfg.PingInterval.Milliseconds(), cfg.PingTimeout.Milliseconds(), cfg.MaxPayload})
	if err != nil {
		panic(err) // strings and numbers
	}
	return openPacket{"," + string(b[1:])}
}

// append appends the packet, type included.
func (o *openPacket) append(dst []byte, sid string) []byte {
	dst = append(dst, `0{"sid":`...)
	if plainID(sid) {
		dst = append(append(append(dst, '"'), sid...), '"')
	} else {
		quoted, err := json.Marshal(sid)
		if err != nil {
			panic(err) // a string
		}
		dst = append(dst, quoted...)
	}
	return append(dst, o.tail...)
}

// plainID reports whether sid needs no escaping, as those of newID.
func plainID(sid string) bool {
	for i := range len(sid) {
		switch b := sid[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '-', b == '_':
		default:
			return false
		}
	}
	return true
}

// initialFrame returns the configured initial packet as a frame, or nil.
func (srv *Server) initialFrame() *pool.Frame {
	p := srv.cfg.InitialPacket
	switch {
	case p == nil:
		return nil
	case p.Binary:
		return codec.NewBinaryFrame(p.Data)
	}
	return codec.NewTextFrame(codec.Message, p.Data)
}

// now is the time of all machines.
func (srv *Server) now() time.Duration { return srv.engine.Wheel().Now() }

// Engine returns the networking core, for batches and timers.
func (srv *Server) Engine() *engine.Engine { return srv.engine }

// Sessions returns the number of sessions, including polling ones that are
// closed and whose client has not fetched that news yet. Config.MaxConns bounds it.
func (srv *Server) Sessions() int { return int(srv.sessions.count.Load()) }

// Session returns the session with this id, or nil.
func (srv *Server) Session(id string) *Session { return srv.sessions.get(id) }

// Path returns the request path prefix the server answers to.
func (srv *Server) Path() string { return srv.cfg.Path }

// SetFallback sets the handler for requests outside of Path. nil, the default,
// answers 404.
func (srv *Server) SetFallback(h http.Handler) {
	if h == nil {
		srv.fallback.Store(nil)
		return
	}
	srv.fallback.Store(&h)
}

// pollGrace is how long Shutdown waits for clients between two polls. A client that
// is there comes back within a round trip.
const pollGrace = time.Second

// Shutdown refuses new sessions, closes the listeners of Serve, ends all
// sessions in good order and waits until their clients have been told; a polling
// client that does not poll within a second has missed it. When ctx
// ends first, the rest is dropped and ctx's error returned. The
// HTTP server that uses this Server as a handler is its owner's to stop.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.stop()
	for _, s := range srv.sessions.all() {
		s.Close(ForcedClose)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	grace := time.NewTimer(pollGrace)
	defer grace.Stop()
	// In the order in which a session that is beginning shows up.
	for srv.Sessions() > 0 || srv.arriving.Load() > 0 || srv.engine.Conns() > 0 {
		select {
		case <-ctx.Done():
			srv.Close()
			return ctx.Err()
		case <-grace.C:
			for _, s := range srv.sessions.all() {
				if s.Transport() == Polling {
					s.Discard(ForcedClose)
				}
			}
		case <-tick.C:
		}
	}
	srv.mu.Lock()
	h := srv.handoff
	srv.mu.Unlock()
	var err error
	if h != nil {
		err = h.shutdown(ctx)
	}
	srv.Close()
	return err
}

// Close ends everything at once and waits for the last Handler.Close. It must
// not be called from a Handler method, a hook or a callback of SendFunc. Closing again does nothing. The error is
// always nil.
func (srv *Server) Close() error {
	srv.closing.Do(srv.close)
	return nil
}

func (srv *Server) close() {
	srv.stop()
	for _, s := range srv.sessions.all() {
		s.Discard(ForcedClose)
	}
	srv.mu.Lock()
	h := srv.handoff
	srv.mu.Unlock()
	if h != nil {
		h.close()
	}
	srv.engine.Close()
	srv.sessions.wait()
	srv.notes.wait()
}

// stop refuses new sessions and closes the listeners.
func (srv *Server) stop() {
	srv.mu.Lock()
	srv.down.Store(true)
	srv.end()
	for ln := range srv.listeners {
		ln.Close()
	}
	srv.mu.Unlock()
	srv.sessions.close()
}

// Config returns the configuration, with the defaults filled in.
func (srv *Server) Config() Config { return srv.cfg }

// create makes a session for a handshake that passed all checks, or says why
// not. r is nil when the server has no hook that would look at it.
func (srv *Server) create(r *http.Request, t Transport, hs *Handshake, c *checked) (*Session, *failure) {
	if srv.down.Load() || srv.draining.Load() {
		return nil, &failure{code: CodeShuttingDown}
	}
	if !srv.sessions.reserve(srv.cfg.MaxConns) {
		return nil, &failure{code: CodeTooManySessions}
	}
	taken := false
	defer func() {
		if !taken { // also when GenerateID or SessionContext panics
			srv.sessions.cancel()
		}
	}()
	idFailure := func(err error) (*Session, *failure) {
		return nil, &failure{code: CodeBadRequest, context: ErrorContext{Name: "ID_GENERATION_ERROR"}, err: err}
	}
	id := ""
	if srv.cfg.GenerateID != nil {
		var err error
		if id, err = srv.cfg.GenerateID(r); err != nil {
			return idFailure(err)
		}
		if id == "" {
			return idFailure(errors.New("eio: GenerateID returned an empty id"))
		}
	} else {
		id = newID()
	}
	if srv.cfg.SessionContext != nil && r != nil {
		if ctx := srv.cfg.SessionContext(r); ctx != nil {
			hs.ctx = context.WithoutCancel(ctx)
		}
	}
	s := newSession(srv, id, t, hs, &c.query)
	if !srv.sessions.add(s) {
		if srv.down.Load() {
			return nil, &failure{code: CodeShuttingDown}
		}
		return idFailure(errors.New("eio: session id exists already"))
	}
	taken = true
	c.lease.enter(s)
	c.lease = lease{}
	srv.stats.opened(t)
	return s, nil
}

// open tells the application of s. It ends the busy state that s was made with. If the
// application panics the session is over.
func (srv *Server) open(s *Session) {
	defer s.vacate()
	s.mu.Lock()
	s.armLocked()
	s.mu.Unlock()
	opened := false
	defer func() {
		if !opened {
			s.Discard(ForcedClose)
		}
	}()
	defer srv.caught()
	srv.handler.Open(s)
	opened = true
	s.mu.Lock()
	s.opened = true
	s.mu.Unlock()
}

// caught is deferred: it logs a panic of the application's Handler.
func (srv *Server) caught() {
	if v := recover(); v != nil {
		srv.log.Error("eio: handler panicked", "panic", v, "stack", string(debug.Stack()))
	}
}
