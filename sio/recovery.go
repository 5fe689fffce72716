package sio

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/eio"
)

// Defaults of Recovery.
const (
	DefaultMaxDisconnection = 2 * time.Minute
	DefaultLogPackets       = 20_000
	DefaultLogBytes         = 32 << 20
	DefaultSessions         = 50_000
)

// Recovery switches on connection state recovery: a client that lost its connection,
// and is back within MaxDisconnection, gets the events it missed and finds its socket as
// it was: the same id, rooms and data. Socket.Recovered tells the connect handlers. A
// client that cannot be recovered gets a new socket, as ever.
//
// What is recovered are events without acknowledgement that are not volatile, to single
// sockets and to many. They carry one more argument, their offset, which clients come
// back with.
//
// The memory it takes is bounded, for each namespace. When a limit makes the log or a
// session go too early, those clients are not recovered; there is never a gap.
//
// Source: https://socket.io/docs/v4/connection-state-recovery.
type Recovery struct {
	// MaxDisconnection is how long a session waits for its client, counted from the
	// moment the server noticed that it was away. Default 2 minutes.
	MaxDisconnection time.Duration

	// RunMiddlewares has the middlewares of the namespace run for recovered sockets,
	// too. They find rooms and data restored. By default they are skipped, as in the
	// reference, since the client has passed them before.
	RunMiddlewares bool

	// LogPackets and LogBytes limit the events that are kept for those who are away.
	// With an adapter whose log is elsewhere, they limit what one client is sent at its
	// return. Defaults 20,000 and 32 MiB.
	LogPackets int
	LogBytes   int

	// Sessions limits the sessions that wait; beyond that the oldest are given up.
	// With an adapter that stores them elsewhere, it has its own limits.
	// Default 50,000.
	Sessions int
}

// recovery is what a namespace with recovery has beside its adapter.
type recovery struct {
	// immutable
	a     adapter.Recovery
	local adapter.LocalLog // a, if the log is in this process; else nil

	mu sync.Mutex
	// guarded by mu
	live  map[string]holder        // who has a pid now: from its claim until it has left the index
	waits map[string]chan struct{} // closed when the pid is free; for those that somebody waits for
	turn  uint64                   // the last one
	kept  time.Time                // when a session was stored last
}

// holder is the socket that has a pid, or is about to be recovered with it.
type holder struct {
	s    *Socket
	turn uint64 // the later one goes first
}

// recoverable reports whether a socket that leaves for this reason may come back, by the
// reference's rules. Whoever left on purpose, or was made to, may not.
func (r Reason) recoverable() bool {
	switch r {
	case TransportError, TransportClose, ForcedClose, PingTimeout, ServerShutdown, forcedServerClose:
		return true
	}
	return false
}

// forcedServerClose is a reason the reference has and this server only knows by name.
const forcedServerClose Reason = "forced server close"

// How long things may take that normally take no time.
const (
	// evictTime is for the handlers of a socket whose client is back already.
	evictTime = 10 * time.Second
	// storeTime is for reading and writing a session elsewhere.
	storeTime = 10 * time.Second
)

// newRecovery switches recovery on for a namespace.
func newRecovery(ns *Namespace, c *Recovery, e *eio.Config) (*recovery, error) {
	a, ok := ns.adapter.(adapter.Recovery)
	if !ok {
		return nil, fmt.Errorf("adapter %T cannot do that", ns.adapter)
	}
	interval, timeout := e.PingInterval, e.PingTimeout
	if interval == 0 {
		interval = eio.DefaultPingInterval
	}
	if timeout == 0 {
		timeout = eio.DefaultPingTimeout
	}
	err := a.EnableRecovery((*host)(ns), adapter.RecoveryConfig{
		MaxDisconnection: c.MaxDisconnection,
		LogAge:           c.MaxDisconnection + interval + timeout,
		LogPackets:       c.LogPackets,
		LogBytes:         c.LogBytes,
		Sessions:         c.Sessions,
	})
	if err != nil {
		return nil, err
	}
	rec := &recovery{a: a, live: make(map[string]holder), waits: make(map[string]chan struct{})}
	rec.local, _ = a.(adapter.LocalLog)
	return rec, nil
}

// enter gives s its pid, a new one.
func (rec *recovery) enter(s *Socket) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.turn++
	rec.live[s.resume.pid] = holder{s, rec.turn}
}

// claim gives s a pid that its client came with. Another socket that has it must leave
// first. ErrClosed means that the client has gone meanwhile, or is back with yet another
// connection.
func (rec *recovery) claim(ctx context.Context, s *Socket, pid string) error {
	rec.mu.Lock()
	rec.turn++
	turn := rec.turn
	for rec.live[pid].turn < turn {
		if s.state.Load() == gone {
			rec.mu.Unlock()
			return ErrClosed
		}
		if rec.live[pid].s == nil {
			rec.live[pid] = holder{s, turn}
			rec.mu.Unlock()
			return nil
		}
		rec.mu.Unlock()
		rec.evict(ctx, pid)
		rec.mu.Lock()
	}
	rec.mu.Unlock()
	s.c.sess.Discard(eio.TransportClose)
	return ErrClosed
}

// holds reports whether s has the pid.
func (rec *recovery) holds(s *Socket, pid string) bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.live[pid].s == s
}

// free takes the pid away from s, which has left the index.
func (rec *recovery) free(s *Socket, pid string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.live[pid].s == s {
		rec.freeLocked(pid)
	}
}

func (rec *recovery) freeLocked(pid string) {
	delete(rec.live, pid)
	if c := rec.waits[pid]; c != nil {
		close(c)
		delete(rec.waits, pid)
	}
}

// evict makes way for a client that is back before its old connection is known to be
// dead, or while an attempt of it to come back is under way: the connection is closed,
// and the socket's handlers are waited for. It reports whether there was a socket whose
// session was stored then, if it may be.
func (rec *recovery) evict(ctx context.Context, pid string) bool {
	rec.mu.Lock()
	old := rec.live[pid].s
	if old == nil {
		rec.mu.Unlock()
		return false
	}
	free := rec.waits[pid]
	if free == nil {
		free = make(chan struct{})
		rec.waits[pid] = free
	}
	rec.mu.Unlock()

	if old.state.Load() != gone {
		old.c.srv.log.Info("sio: client is back before its connection ended", "namespace", brief(old.nsp), "remote", old.c.remote())
		old.c.sess.Discard(eio.TransportClose)
	}
	ctx, cancel := context.WithTimeout(ctx, evictTime)
	defer cancel()
	select {
	case <-free:
		return true
	case <-ctx.Done():
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.live[pid].s != old {
		return true // just now
	}
	old.c.srv.log.Warn("sio: session given up: its handlers do not end", "namespace", brief(old.nsp), "remote", old.c.remote())
	rec.freeLocked(pid)
	return false
}

// sendBuffer returns the limit of what may wait for one connection.
func (srv *Server) sendBuffer() int {
	if n := srv.cfg.Engine.SendBuffer; n > 0 {
		return n
	}
	return eio.DefaultSendBuffer
}

// retire stores the session of a socket that has handled its last event, if its client
// may come back. It runs on the socket's goroutine, before the socket leaves the index.
func (rec *recovery) retire(s *Socket, reason Reason) {
	if !reason.recoverable() || !rec.holds(s, s.resume.pid) {
		return
	}
	session := rec.session(s)
	rec.mu.Lock()
	rec.kept = time.Now()
	rec.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.c.srv.base, storeTime)
	defer cancel()
	if err := rec.a.PersistSession(ctx, session); err != nil {
		s.c.srv.unencoded("", s.nsp, err)
		s.c.srv.log.Warn("sio: session not stored", "namespace", brief(s.nsp), "id", s.id, "err", err)
	}
}

// maxLingering limits the children of a server that have no sockets, only clients who
// may come back: anybody can make children.
const maxLingering = 1000

// maxLingeringName is the longest name with which they do.
const maxLingeringName = 1000

// lingerLocked reports whether a child stays for a while although it has no sockets.
func (srv *Server) lingerLocked(ns *Namespace) bool {
	if ns.rec == nil || ns.stay != nil || srv.closing || ns.deleted.Load() {
		return ns.stay != nil
	}
	ns.rec.mu.Lock()
	left := srv.cfg.Recovery.MaxDisconnection - time.Since(ns.rec.kept)
	ns.rec.mu.Unlock()
	if left <= 0 || srv.lingering >= maxLingering || len(ns.name) > maxLingeringName {
		return false
	}
	srv.lingering++
	ns.stay = time.AfterFunc(left, func() { srv.lingered(ns) })
	return true
}

// lingered looks at a child again after a while.
func (srv *Server) lingered(ns *Namespace) {
	srv.mu.Lock()
	srv.lingering--
	ns.stay = nil
	var done chan struct{}
	if ns.users == 0 && !ns.deleted.Load() && !srv.lingerLocked(ns) {
		done = srv.retireLocked(ns)
	}
	srv.mu.Unlock()
	if done != nil {
		srv.retire(ns, done)
	}
}

// stopLingering is for the end of the server.
func (srv *Server) stopLingering() {
	for ns := range srv.Namespaces() {
		srv.mu.Lock()
		if ns.stay != nil && ns.stay.Stop() {
			ns.stay = nil
		}
		srv.mu.Unlock()
	}
}

// session describes a socket that is gone.
func (rec *recovery) session(s *Socket) *adapter.Session {
	session := &adapter.Session{SID: s.id, PID: s.resume.pid, Rooms: s.Rooms(), Data: s.Data()}
	rec.a.Admit(func(offset string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		r := s.resume
		if !r.missed {
			r.left = offset
		}
		session.Since = r.origin
		session.State = r.marshal()
	})
	return session
}

// Recovered reports whether the socket is that of a client that was away and has come
// back, see Config.Recovery: id, rooms and data are those of before, and the client has
// been sent what it missed.
func (s *Socket) Recovered() bool { return s.resume != nil && s.resume.recovered }

// BroadcastLogged implements adapter.RecoveryHost.
func (h *host) BroadcastLogged(event string, args []any, o adapter.Opts, offset string) int {
	n := (*Namespace)(h)
	t := h.target(o)
	b, err := t.prepareBroadcast(event, args, nil)
	if err == nil && n.index.HasReceivers(o) {
		b.offset = offset
		err = b.Encode(offset)
	}
	if err != nil {
		h.srv.log.Warn("sio: broadcast from the log lost", "event", event, "namespace", brief(n.name), "err", err)
		return 0
	}
	reached := n.index.Broadcast(b, b.opts())
	b.observe(nil)
	b.finish()
	return reached
}

// Evict implements adapter.RecoveryHost.
func (h *host) Evict(ctx context.Context, pid string) bool {
	return h.rec != nil && h.rec.evict(ctx, pid)
}
