package sio

import (
	"context"
	"errors"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epio-go/epio/adapter"
)

// ErrRootNamespace is returned by Namespace.Delete for "/".
var ErrRootNamespace = errors.New(`sio: the namespace "/" cannot be deleted`)

// matcher decides whether a parent takes a name, and what its wildcards stand for.
type matcher func(ctx context.Context, name string, h *Handshake) (values map[string]string, ok bool)

// Of returns the namespace with this name, making it if it does not exist. A
// missing leading slash is added. With wildcards, as in "/tenant/{id}" or
// "/files/{path...}", it makes a parent, see [Namespace]; names made with Of go
// before patterns, and patterns are tried in the order they were made. It waits for the
// adapter to connect. It panics when the pattern is malformed.
//
// Of("/tenant/7") makes a namespace of its own unless the child exists, and keeps the child
// from then on if it does. To send to children that clients made, use the parent, or
// [Server.Namespace].
func (srv *Server) Of(name string) *Namespace {
	name = slashed(name)
	if strings.ContainsAny(name, "{}") {
		match := pattern(name)
		return srv.addParent(name, true, func(_ context.Context, name string, _ *Handshake) (map[string]string, bool) {
			return match(name)
		})
	}
	ns, made := srv.keep(name)
	if made {
		ns.ready()
	} else {
		ns.connectedAdapter()
	}
	return ns
}

// keep returns the namespace, made if need be, which is never removed then, should it be a child.
func (srv *Server) keep(name string) (ns *Namespace, made bool) {
	srv.mu.Lock()
	defer srv.mu.Unlock() // survives a panicking Config.Adapter
	if ns = srv.knownLocked(name); ns == nil {
		ns, made = srv.addLocked(&Namespace{name: name, tbl: new(handlerTable)}), true
	}
	ns.users++
	return ns, made
}

func slashed(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return "/" + name
}

// OfFunc makes a parent for all names that match reports true for. match runs on
// a goroutine of the connecting socket and may block; the context ends when the
// client goes away.
func (srv *Server) OfFunc(match func(ctx context.Context, name string, h *Handshake) bool) *Namespace {
	return srv.addParent("func", false, func(ctx context.Context, name string, h *Handshake) (map[string]string, bool) {
		return nil, match(ctx, name, h)
	})
}

// OfRegexp makes a parent for all names that re matches, anywhere in the name unless it has
// anchors: regexp.MustCompile(`^/dynamic-\d+$`). Socket.PathValue returns what its groups
// matched, by name or by number.
func (srv *Server) OfRegexp(re *regexp.Regexp) *Namespace {
	groups := re.SubexpNames()
	return srv.addParent(re.String(), false, func(_ context.Context, name string, _ *Handshake) (map[string]string, bool) {
		found := re.FindStringSubmatch(name)
		if found == nil {
			return nil, false
		}
		if len(found) == 1 {
			return nil, true
		}
		values := make(map[string]string, len(found))
		for i := 1; i < len(found); i++ {
			values[strconv.Itoa(i)] = found[i]
			if groups[i] != "" {
				values[groups[i]] = found[i]
			}
		}
		return values, true
	})
}

// addParent makes a parent or, if its name says all about it, returns the one there is.
func (srv *Server) addParent(name string, named bool, match matcher) *Namespace {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if named {
		for _, p := range srv.parents {
			if p.named && p.name == name {
				return p
			}
		}
	}
	p := &Namespace{srv: srv, name: name, named: named, tbl: new(handlerTable), match: match}
	srv.parents = append(slices.Clip(srv.parents), p)
	return p
}

// addLocked makes ns known. Its adapter is connected later, without the lock.
func (srv *Server) addLocked(ns *Namespace) *Namespace {
	ns.srv = srv
	ns.before = srv.leaving[ns.name]
	ns.adapter = srv.cfg.Adapter((*host)(ns))
	ns.index = ns.adapter.Index()
	if srv.cfg.MaxRooms > 0 {
		ns.index.LimitRooms(srv.cfg.MaxRooms)
	}
	if c := srv.cfg.Recovery; c != nil {
		if ns.rec, ns.recErr = newRecovery(ns, c, &srv.cfg.Engine); ns.recErr != nil {
			srv.log.Error("sio: no recovery", "namespace", brief(ns.name), "err", ns.recErr)
		}
	}
	if ns.parent != nil {
		srv.kids[ns.name] = ns
		return ns
	}
	names := maps.Clone(*srv.names.Load())
	names[ns.name] = ns
	srv.names.Store(&names)
	return ns
}

// knownLocked returns the namespace with this name, a child or not, or nil.
func (srv *Server) knownLocked(name string) *Namespace {
	if ns := (*srv.names.Load())[name]; ns != nil {
		return ns
	}
	return srv.kids[name]
}

// static returns the namespace with this name that Of has made, or nil. A child may be on
// its way out: resolve takes it properly.
func (srv *Server) static(name []byte) *Namespace { return (*srv.names.Load())[string(name)] }

// resolve returns the namespace a socket asks for, a new child if need be, or nil.
// The caller gives a child back with releaseNamespace.
func (srv *Server) resolve(ctx context.Context, s *Socket) *Namespace {
	srv.mu.Lock()
	if ns := srv.knownLocked(s.nsp); ns != nil {
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
		if ns := srv.knownLocked(s.nsp); ns != nil {
			ns.users++ // made by another socket in the meantime
			return ns
		}
		if p.deleted.Load() {
			return nil
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
	var done chan struct{}
	if ns.users == 0 && !srv.cfg.KeepEmptyChildren && !srv.lingerLocked(ns) {
		done = srv.retireLocked(ns)
	}
	srv.mu.Unlock()
	if done != nil {
		srv.retire(ns, done)
	}
}

// retireLocked makes ns unknown. Unless that has happened before, the caller has to pass the
// result to retire.
func (srv *Server) retireLocked(ns *Namespace) (done chan struct{}) {
	if ns.deleted.Swap(true) {
		return nil
	}
	if ns.parent != nil {
		delete(srv.kids, ns.name)
	} else {
		names := maps.Clone(*srv.names.Load())
		delete(names, ns.name)
		srv.names.Store(&names)
	}
	done = make(chan struct{})
	srv.leaving[ns.name] = done
	return done
}

// adapterGoodbye is how long an adapter may take to close while the server goes on. The next
// namespace with the name waits for that: it may use the same channels.
const adapterGoodbye = 5 * time.Second

// retire closes the adapter of a namespace that is not known any more.
func (srv *Server) retire(ns *Namespace, done chan struct{}) {
	ctx, cancel := context.WithTimeout(srv.base, adapterGoodbye)
	defer cancel()
	srv.closeAdapter(ctx, ns)
	srv.mu.Lock()
	if srv.leaving[ns.name] == done {
		delete(srv.leaving, ns.name)
	}
	srv.mu.Unlock()
	close(done)
}

func (srv *Server) closeAdapter(ctx context.Context, ns *Namespace) {
	a := ns.connectedAdapter()
	ns.closed.Do(func() {
		if err := protected(func() error { return a.Close(ctx) }); err != nil {
			srv.log.Warn("sio: adapter not closed cleanly", "namespace", brief(ns.name), "err", err)
		}
	})
}

// children returns the existing children of a parent.
func (srv *Server) children(p *Namespace) []*Namespace {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.childrenLocked(p)
}

func (srv *Server) childrenLocked(p *Namespace) []*Namespace {
	var all []*Namespace
	for _, ns := range srv.kids {
		if ns.parent == p {
			all = append(all, ns)
		}
	}
	return all
}

// Namespaces iterates over the namespaces that exist, children included and
// parents not, in no particular order.
func (srv *Server) Namespaces() iter.Seq[*Namespace] {
	return func(yield func(*Namespace) bool) {
		srv.mu.Lock()
		all := slices.AppendSeq(slices.Collect(maps.Values(*srv.names.Load())), maps.Values(srv.kids))
		srv.mu.Unlock()
		for _, ns := range all {
			if !yield(ns) {
				return
			}
		}
	}
}

// Namespace returns the namespace with this name if it exists, be it one made with Of or a
// child that has sockets, otherwise nil. Unlike Of it makes nothing.
func (srv *Server) Namespace(name string) *Namespace {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.knownLocked(slashed(name))
}

// OnNamespace adds a function that is told of each new namespace, children included, parents
// and "/" not. It runs before the first socket gets in, on the goroutine that made the
// namespace or of a socket that asks for it.
func (srv *Server) OnNamespace(fn func(n *Namespace)) *Registration {
	return enlist(srv.root.tbl, func(h *handlers) *ordered[func(*Namespace)] { return &h.created }, fn)
}

// Delete removes the namespace from this server: it is not known any more, its sockets are
// disconnected with the reason ServerDisconnect, and its adapter is closed in the
// background. A parent goes with all its children. Who asks for the name afterwards is told
// "Invalid namespace", unless it is made anew with Of (which starts without handlers) or a
// parent matches.
//
// It does not wait for handlers, so these may call it. For "/" it returns ErrRootNamespace.
// Deleting again does nothing.
func (n *Namespace) Delete() error {
	srv := n.srv
	if n == srv.root {
		return ErrRootNamespace
	}
	type gone struct {
		ns   *Namespace
		done chan struct{}
	}
	var all []gone
	srv.mu.Lock()
	if n.match == nil {
		all = append(all, gone{n, srv.retireLocked(n)})
	} else {
		n.deleted.Store(true)
		srv.parents = slices.DeleteFunc(slices.Clone(srv.parents), func(p *Namespace) bool { return p == n })
		for _, child := range srv.childrenLocked(n) {
			all = append(all, gone{child, srv.retireLocked(child)})
		}
	}
	srv.mu.Unlock()
	for _, g := range all {
		if g.done == nil {
			continue
		}
		srv.busy.add()
		go func() {
			defer srv.busy.done()
			srv.retire(g.ns, g.done)
		}()
		// Those that are still connecting find out when they are accepted.
		for s := range g.ns.Sockets() {
			s.Disconnect(false)
		}
	}
	return nil
}

// ready has the namespace usable for sockets: its adapter is connected and the hooks of
// OnNamespace have returned.
func (n *Namespace) ready() {
	n.connectedAdapter()
	n.announced.Do(func() {
		if n.srv.root == nil || n == n.srv.root {
			return // there cannot be hooks yet, or none for "/"
		}
		for _, fn := range n.srv.root.tbl.load().created.fns {
			if err := protected(func() error { fn(n); return nil }); err != nil {
				n.srv.counts.panics.Add(1)
				n.srv.log.Error("sio: namespace hook failed", withStack(err, "namespace", brief(n.name))...)
			}
		}
	})
}

// connectedAdapter returns the adapter, connected. The first call does that, which may
// take a while; others wait for it.
func (n *Namespace) connectedAdapter() adapter.Adapter {
	n.init.Do(func() {
		if n.before != nil {
			limit := time.NewTimer(2 * adapterGoodbye)
			select {
			case <-n.before:
			case <-limit.C:
				n.srv.log.Warn("sio: an earlier adapter does not close", "namespace", brief(n.name))
			}
			limit.Stop()
		}
		if err := n.adapter.Init(n.srv.base); err != nil {
			n.srv.log.Error("sio: adapter not initialized", "namespace", brief(n.name), "err", err)
		}
	})
	return n.adapter
}
