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

	mu   sync.Mutex
	live map[string]*Socket // guarded by mu: admitted sockets by pid, until their session is stored
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
	rec := &recovery{a: a, live: make(map[string]*Socket)}
	rec.local, _ = a.(adapter.LocalLog)
	return rec, nil
}

// enter makes s known as the socket with its pid.
func (rec *recovery) enter(s *Socket) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.live[s.resume.pid] = s
}

// evict makes way for a client that is back before its old connection is known to be
// dead: the connection is closed, and the socket's handlers are waited for. It reports
// whether the socket's session was stored then.
func (rec *recovery) evict(ctx context.Context, pid string) bool {
	rec.mu.Lock()
	old := rec.live[pid]
	if old == nil {
		rec.mu.Unlock()
		return false
	}
	r := old.resume
	if r.retired == nil {
		r.retired = make(chan struct{})
	}
	retired := r.retired
	rec.mu.Unlock()

	if old.state.Load() != gone {
		old.c.srv.log.Info("sio: client is back before its connection ended", "namespace", old.nsp, "id", old.id)
		old.c.sess.Discard(eio.TransportClose)
	}
	ctx, cancel := context.WithTimeout(ctx, evictTime)
	defer cancel()
	select {
	case <-retired:
		return true
	case <-ctx.Done():
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.live[pid] != old {
		return true // just now
	}
	old.c.srv.log.Warn("sio: session given up: its handlers do not end", "namespace", old.nsp, "id", old.id)
	r.abandoned = true
	delete(rec.live, pid)
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
	r := s.resume
	rec.mu.Lock()
	keep := !r.abandoned && reason.recoverable()
	rec.mu.Unlock()
	if keep {
		session := rec.session(s)
		ctx, cancel := context.WithTimeout(s.c.srv.base, storeTime)
		defer cancel()
		if err := rec.a.PersistSession(ctx, session); err != nil {
			s.c.srv.log.Warn("sio: session not stored", "namespace", s.nsp, "id", s.id, "err", err)
		}
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.live[r.pid] == s {
		delete(rec.live, r.pid)
	}
	if r.retired != nil {
		close(r.retired)
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
		h.srv.log.Warn("sio: broadcast from the log lost", "event", event, "namespace", n.name, "err", err)
		return 0
	}
	reached := n.index.Broadcast(b, b.opts())
	b.finish()
	return reached
}

// Evict implements adapter.RecoveryHost.
func (h *host) Evict(ctx context.Context, pid string) bool {
	return h.rec != nil && h.rec.evict(ctx, pid)
}
