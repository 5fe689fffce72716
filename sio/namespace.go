package sio

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epio-go/epio/adapter"
)

// Namespace is a channel of its own within the connections of a server, with its
// own sockets, rooms and handlers. All methods are safe for concurrent use.
//
// A namespace made from a pattern ([Server.Of] with a wildcard) or a function
// ([Server.OfFunc]) is a parent: it has no sockets itself. Each name that matches
// is a child with the parent's handlers, which exists while it has sockets.
// Sending to a parent sends to all its children.
type Namespace struct {
	// immutable
	srv     *Server
	name    string
	tbl     *handlerTable     // a child's is its parent's
	index   *adapter.Index    // nil for parents
	adapter adapter.Adapter   // nil for parents
	rec     *recovery         // nil without Config.Recovery, and for parents
	recErr  error             // why rec is nil although it was configured
	values  map[string]string // what the wildcards of the pattern matched
	match   func(ctx context.Context, name string, h *Handshake) (map[string]string, bool)
	parent  *Namespace

	init  sync.Once // connects the adapter
	ackID atomic.Uint64

	// guarded by srv.mu, of a child
	users int         // sockets
	stay  *time.Timer // until it goes, without sockets
}

// Name returns the name with its leading slash; of a parent, its pattern.
func (n *Namespace) Name() string { return n.name }

// Server returns the server.
func (n *Namespace) Server() *Server { return n.srv }

// Use adds a connect middleware. Middlewares run in the order of registration
// before the client is told that it is connected; the first error refuses it. A
// *[Error] reaches the client with its text and data as connect_error.
func (n *Namespace) Use(mw func(ctx context.Context, s *Socket) error) {
	n.tbl.change(func(h *handlers) { add(&h.use, mw) })
}

// OnConnect adds a handler that runs when a socket has connected, before any of
// its events. An error disconnects the socket.
func (n *Namespace) OnConnect(fn func(ctx context.Context, s *Socket) error) {
	n.tbl.change(func(h *handlers) { add(&h.connect, fn) })
}

// OnDisconnect adds a handler that runs when a socket has disconnected and its
// last event was handled. The socket's rooms can still be read; its context has
// ended and it cannot send any more.
// When the connection ended, s.Conn().Cause() tells why in more detail: an
// *eio.SizeError for a message over the limit, say.
func (n *Namespace) OnDisconnect(fn func(s *Socket, r Reason)) {
	n.tbl.change(func(h *handlers) { add(&h.disconnect, fn) })
}

// Wrap adds a middleware around the handling of every event, the first one
// outermost. Not calling next refuses the event.
func (n *Namespace) Wrap(mw func(next Handler) Handler) { n.tbl.wrap(mw) }

// Handle registers h for an event.
func (n *Namespace) Handle(event string, h Handler) { n.tbl.handle(event, h) }

// HandleAny adds a handler that sees every event before its own handler does.
func (n *Namespace) HandleAny(h Handler) {
	n.tbl.change(func(hs *handlers) { add(&hs.any, h) })
}

// HandleFallback registers the handler of events that have none.
func (n *Namespace) HandleFallback(h Handler) { n.tbl.handleFallback(h) }

// HandleAnyOutgoing adds a function that is told of every event sent to a socket,
// by Emit or by a broadcast that reached it. It runs on the goroutine that sends
// and must not modify args.
func (n *Namespace) HandleAnyOutgoing(fn func(s *Socket, event string, args []any)) {
	n.tbl.change(func(h *handlers) { add(&h.outgoing, fn) })
}

func (n *Namespace) table() *handlerTable { return n.tbl }

// All selects all sockets of the namespace.
func (n *Namespace) All() Target { return Target{ns: n} }

// Emit sends an event to all sockets of the namespace, on all servers.
func (n *Namespace) Emit(event string, args ...any) error { return n.All().Emit(event, args...) }

// To selects the sockets in at least one of rooms.
func (n *Namespace) To(rooms ...string) Target { return n.All().To(rooms...) }

// In is To.
func (n *Namespace) In(rooms ...string) Target { return n.All().To(rooms...) }

// Except selects all sockets but those in rooms.
func (n *Namespace) Except(rooms ...string) Target { return n.All().Except(rooms...) }

// Local selects the sockets on this server.
func (n *Namespace) Local() Target { return n.All().Local() }

// Volatile selects all sockets, for packets that may be dropped.
func (n *Namespace) Volatile() Target { return n.All().Volatile() }

// Timeout selects all sockets and bounds Call and Gather.
func (n *Namespace) Timeout(d time.Duration) Target { return n.All().Timeout(d) }

// Compress selects all sockets; see Target.Compress.
func (n *Namespace) Compress(on bool) Target { return n.All().Compress(on) }

// Sockets iterates over the connected sockets on this server.
func (n *Namespace) Sockets() iter.Seq[*Socket] { return n.All().Sockets() }

// Socket returns the connected socket with this id on this server, or nil.
func (n *Namespace) Socket(id string) *Socket {
	all := n.All()
	for _, ns := range all.namespaces() {
		if r, ok := ns.index.Lookup(id).(*receiver); ok && (*Socket)(r).Connected() {
			return (*Socket)(r)
		}
	}
	return nil
}

// Adapter returns the namespace's adapter, nil for a parent.
func (n *Namespace) Adapter() adapter.Adapter {
	if n.adapter == nil {
		return nil
	}
	return n.connectedAdapter()
}

// connectedAdapter returns the adapter, connected. The first call does that, which may
// take a while; others wait for it.
func (n *Namespace) connectedAdapter() adapter.Adapter {
	n.init.Do(func() {
		if err := n.adapter.Init(n.srv.base); err != nil {
			n.srv.log.Error("sio: adapter not initialized", "namespace", n.name, "err", err)
		}
	})
	return n.adapter
}

// host is a Namespace as its adapter sees it.
type host Namespace

// Namespace implements adapter.Host.
func (h *host) Namespace() string { return h.name }

// Logger implements adapter.Host.
func (h *host) Logger() *slog.Logger { return h.srv.log }

// BroadcastLocal implements adapter.Host.
func (h *host) BroadcastLocal(event string, args []any, o adapter.Opts, ack func(id string, arg any)) int {
	t := h.target(o)
	reached, err := t.deliverLocal(event, args, ack)
	if err != nil {
		h.srv.log.Warn("sio: broadcast from another server lost", "event", event, "namespace", h.name, "err", err)
	}
	return reached
}

// target returns what o selects on this server.
func (h *host) target(o adapter.Opts) Target {
	t := Target{ns: (*Namespace)(h), flags: o.Flags | adapter.Local, timeout: o.Timeout, sender: o.ExceptID}
	t.rooms.add(o.Rooms)
	t.except.add(o.Except)
	return t
}

// ServerEvent implements adapter.Host.
func (h *host) ServerEvent(event string, args []any, ack func(arg any)) {
	h.srv.log.Debug("sio: no listener for a server-side event", "event", event, "namespace", h.name)
}

// pattern compiles a name with wildcards: "{id}" stands for one segment, and
// "{rest...}" at the end for all that remain, as in net/http. It panics when the
// pattern is malformed.
func pattern(p string) func(name string) (map[string]string, bool) {
	segs := strings.Split(p, "/")
	seen := make(map[string]bool)
	for i, s := range segs {
		if !strings.ContainsAny(s, "{}") {
			continue
		}
		name, ok := strings.CutPrefix(s, "{")
		name, ok2 := strings.CutSuffix(name, "}")
		rest := strings.HasSuffix(name, "...")
		name = strings.TrimSuffix(name, "...")
		if !ok || !ok2 || name == "" || strings.ContainsAny(name, "{}.") || seen[name] || (rest && i != len(segs)-1) {
			panic(fmt.Sprintf("sio: bad segment %q in namespace pattern %q", s, p))
		}
		seen[name] = true
	}
	return func(name string) (map[string]string, bool) {
		values := make(map[string]string, len(seen))
		rest := name
		for i, s := range segs {
			if key, ok := strings.CutSuffix(s, "...}"); ok {
				values[key[1:]] = rest
				return values, true
			}
			seg, tail, more := strings.Cut(rest, "/")
			if more == (i == len(segs)-1) {
				return nil, false
			}
			if strings.HasPrefix(s, "{") {
				if seg == "" {
					return nil, false
				}
				values[s[1:len(s)-1]] = seg
			} else if s != seg {
				return nil, false
			}
			rest = tail
		}
		return values, true
	}
}
