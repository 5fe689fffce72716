package sio

import (
	"fmt"
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
	named   bool              // of a parent: the name says which names it takes
	tbl     *handlerTable     // a child's is its parent's
	index   *adapter.Index    // nil for parents
	adapter adapter.Adapter   // nil for parents
	rec     *recovery         // nil without Config.Recovery, and for parents
	recErr  error             // why rec is nil although it was configured
	values  map[string]string // what the wildcards of the pattern matched
	match   matcher           // of parents
	parent  *Namespace

	before <-chan struct{} // closed when the adapter of an earlier namespace with this name is; may be nil

	init      sync.Once // connects the adapter
	announced sync.Once // calls the hooks of OnNamespace
	closed    sync.Once // closes the adapter
	ackID     atomic.Uint64
	deleted   atomic.Bool // not known any more

	fromServers serverQueue
	store       store

	// guarded by srv.mu, of a child
	users int         // sockets
	stay  *time.Timer // until it goes, without sockets
}

// Name returns the name with its leading slash; of a parent, its pattern.
func (n *Namespace) Name() string { return n.name }

// Server returns the server.
func (n *Namespace) Server() *Server { return n.srv }

// Socket returns the connected socket with this id on this server, or nil.
func (n *Namespace) Socket(id string) *Socket {
	all := n.All()
	for _, ns := range all.namespaces() {
		if r, ok := ns.index.Lookup(id).(*receiver); ok {
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
		h.srv.log.Warn("sio: broadcast from another server lost", "event", event, "namespace", brief(h.name), "err", err)
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
