package sio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
)

// ServerEvent is an event from another server of the cluster, see Namespace.HandleServer.
// It may be kept.
type ServerEvent struct {
	ns    *Namespace
	event string
	args  []any

	mu  sync.Mutex
	ack func(arg any) // guarded by mu; nil when answered, or when no answer is wanted
}

// Event returns the event's name.
func (e *ServerEvent) Event() string { return e.event }

// Namespace returns the namespace the event came to.
func (e *ServerEvent) Namespace() *Namespace { return e.ns }

// Len returns the number of arguments.
func (e *ServerEvent) Len() int { return len(e.args) }

// Args returns the arguments as the adapter's wire format has them: the types of
// encoding/json, and []byte. They are the listener's.
func (e *ServerEvent) Args() []any { return e.args }

// Decode decodes argument i into what v points to, by the rules of encoding/json. A missing
// argument leaves it alone. The error is a *codec.DecodeError.
func (e *ServerEvent) Decode(i int, v any) error {
	if i >= len(e.args) {
		return nil
	}
	return convertArg(i, e.args[i], v)
}

// Scan decodes the arguments, in order, into what dst point to, see Decode.
func (e *ServerEvent) Scan(dst ...any) error {
	for i, d := range dst {
		if err := e.Decode(i, d); err != nil {
			return err
		}
	}
	return nil
}

// HasAck reports whether the other server waits for an answer that was not given yet.
func (e *ServerEvent) HasAck() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ack != nil
}

// Ack answers with one value. Only the first call counts; when no answer is wanted, it does
// nothing. It may be called later, from any goroutine.
func (e *ServerEvent) Ack(v any) {
	e.mu.Lock()
	ack := e.ack
	e.ack = nil
	e.mu.Unlock()
	if ack != nil {
		ack(v)
	}
}

// serverEntry is a registered listener.
type serverEntry struct {
	fn   func(ctx context.Context, e *ServerEvent) error
	site string
	reg  *Registration
}

// HandleServer registers a listener for an event that another server of the cluster sends to
// this namespace with [ServerSide]. Events of one namespace are handled one at a time, in the
// order in which they came; a listener that is to wait for other servers should do that on a
// goroutine of its own and answer later. Its context ends when the server does. An error is
// logged; the other server then waits in vain. It panics when the name is reserved (connect,
// connection, new_namespace) or has a listener already.
//
// [OnServer] and [OnServerAck] decode the argument.
func (n *Namespace) HandleServer(event string, fn func(ctx context.Context, e *ServerEvent) error) *Registration {
	return n.tbl.handleServer(event, fn)
}

// HandleServer registers a listener on "/", see Namespace.HandleServer.
func (srv *Server) HandleServer(event string, fn func(ctx context.Context, e *ServerEvent) error) *Registration {
	return srv.root.HandleServer(event, fn)
}

func (t *handlerTable) handleServer(event string, fn func(ctx context.Context, e *ServerEvent) error) *Registration {
	site := callSite()
	if fn == nil {
		panic(fmt.Sprintf("sio: nil listener for server-side event %q, registered at %s", event, site))
	}
	if reservedServerEvent(event) {
		panic(fmt.Sprintf("sio: server-side event name %q is reserved, registered at %s", event, site))
	}
	return t.register(func(h *handlers, reg *Registration) {
		if old := h.servers[event]; old != nil {
			panic(fmt.Sprintf("sio: server-side event %q registered at %s was registered at %s already", event, site, old.site))
		}
		h.servers = maps.Clone(h.servers)
		if h.servers == nil {
			h.servers = make(map[string]*serverEntry)
		}
		h.servers[event] = &serverEntry{fn: fn, site: site, reg: reg}
	}, func(h *handlers, reg *Registration) {
		if old := h.servers[event]; old != nil && old.reg == reg {
			h.servers = maps.Clone(h.servers)
			delete(h.servers, event)
		}
	})
}

// ServerRegistrar is where listeners for events of other servers are registered: a
// *Namespace, or a *Server for its namespace "/".
type ServerRegistrar interface {
	HandleServer(event string, fn func(ctx context.Context, e *ServerEvent) error) *Registration
}

// OnServer registers a listener for an event of other servers with one argument, decoded
// into T. See Namespace.HandleServer.
func OnServer[T any](r ServerRegistrar, event string, fn func(ctx context.Context, arg T) error) *Registration {
	return r.HandleServer(event, func(ctx context.Context, e *ServerEvent) error {
		var a T
		if err := e.Decode(0, &a); err != nil {
			return err
		}
		return fn(ctx, a)
	})
}

// OnServerAck is OnServer for a listener whose result is the answer.
func OnServerAck[T, R any](r ServerRegistrar, event string, fn func(ctx context.Context, arg T) (R, error)) *Registration {
	return r.HandleServer(event, func(ctx context.Context, e *ServerEvent) error {
		var a T
		if err := e.Decode(0, &a); err != nil {
			return err
		}
		v, err := fn(ctx, a)
		if err != nil {
			return err
		}
		e.Ack(v)
		return nil
	})
}

// maxServerEvents is how many events of other servers may wait for the listeners of one
// namespace. More are dropped: holding up the adapter would hold up broadcasts.
const maxServerEvents = 4096

// serverQueue has the events of other servers handled in order, on a goroutine that lives
// while there are any.
type serverQueue struct {
	mu sync.Mutex
	// guarded by mu
	waiting []*ServerEvent
	running bool
}

// ServerEvent implements adapter.Host.
func (h *host) ServerEvent(event string, args []any, ack func(arg any)) {
	n := (*Namespace)(h)
	if n.tbl.load().servers[event] == nil {
		h.srv.log.Debug("sio: no listener for a server-side event", "event", event, "namespace", brief(h.name))
		return
	}
	if h.srv.life.Err() != nil {
		return // the server has ended
	}
	q := &n.fromServers
	q.mu.Lock()
	if len(q.waiting) >= maxServerEvents {
		q.mu.Unlock()
		h.srv.log.Warn("sio: server-side event dropped, too many wait", "event", event, "namespace", brief(h.name))
		return
	}
	q.waiting = append(q.waiting, &ServerEvent{ns: n, event: event, args: args, ack: ack})
	start := !q.running
	q.running = true
	q.mu.Unlock()
	if start {
		h.srv.busy.add()
		go n.serveServers()
	}
}

// serveServers handles the events of other servers until there are none.
func (n *Namespace) serveServers() {
	q := &n.fromServers
	var batch []*ServerEvent
	done := false
	defer func() {
		if done {
			n.srv.busy.done()
			return
		}
		// A listener has called runtime.Goexit.
		q.mu.Lock()
		q.waiting = append(batch, q.waiting...)
		q.mu.Unlock()
		go n.serveServers()
	}()
	for {
		q.mu.Lock()
		batch, q.waiting = q.waiting, nil
		q.running = len(batch) > 0
		q.mu.Unlock()
		if len(batch) == 0 {
			done = true
			return
		}
		for len(batch) > 0 {
			e := batch[0]
			batch = batch[1:]
			n.handleServer(e)
		}
	}
}

func (n *Namespace) handleServer(e *ServerEvent) {
	entry := n.tbl.load().servers[e.event]
	if entry == nil {
		return // removed meanwhile
	}
	attempt(func() error { return entry.fn(n.srv.life, e) }, func(err error) {
		if err != nil {
			n.serverFailed(e, err)
		}
	})
}

func (n *Namespace) serverFailed(e *ServerEvent, err error) {
	attrs := []any{"event", brief(e.event), "namespace", brief(n.name), "err", briefErr(err)}
	level := slog.LevelWarn
	if p, ok := errors.AsType[*PanicError](err); ok {
		level = slog.LevelError
		n.srv.counts.panics.Add(1)
		attrs = append(attrs, "stack", string(p.Stack))
	}
	n.srv.log.Log(n.srv.life, level, "sio: server-side listener failed", attrs...)
}
