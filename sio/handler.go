package sio

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/epio-go/epio/codec"
)

// Handler handles events without knowing their types. The typed functions ([On],
// [OnAck] and their like) are built on it.
//
// The context is the socket's. The message is valid until Handle returns. An
// error is logged; if the client waits for an acknowledgement and got none, it is
// answered, see [Error].
type Handler interface {
	Handle(ctx context.Context, s *Socket, m *Message) error
}

// HandlerFunc is a function that is a Handler.
type HandlerFunc func(ctx context.Context, s *Socket, m *Message) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, s *Socket, m *Message) error { return f(ctx, s, m) }

// Registrar is where handlers are registered: a *Namespace (shared by all its
// sockets), a *Server (its namespace "/"), or a *Socket (that one alone; its
// handlers go before those of its namespace).
type Registrar interface {
	// Handle registers h for an event. It panics when the name is reserved or
	// has a handler already.
	Handle(event string, h Handler) *Registration
	table() *handlerTable
}

// handlerTable is a set of handlers. Readers use an immutable snapshot; mu
// serializes changes.
type handlerTable struct {
	mu   sync.Mutex
	snap atomic.Pointer[handlers]

	// of a socket's table, which has its handlers wrapped by find
	own    bool    // immutable
	chains *chains // owned by the socket's goroutine
}

// handlers is immutable.
type handlers struct {
	events   map[string]*entry
	any      ordered[Handler] // before everything else, in order
	fallback *entry
	wraps    ordered[func(Handler) Handler]
	nothing  Handler // the wraps around nothing, for events without a handler; nil without wraps

	connect    ordered[func(ctx context.Context, s *Socket) error]
	disconnect ordered[func(s *Socket, r Reason)]
	use        ordered[func(ctx context.Context, s *Socket) error]
	outgoing   ordered[func(s *Socket, event string, args []any)]
	errors     ordered[func(s *Socket, err error)]
	created    ordered[func(n *Namespace)] // of "/" only
	servers    map[string]*serverEntry     // what other servers may send
}

// entry is a registered handler with everything around it.
type entry struct {
	bare  Handler
	chain Handler // bare with the wraps around it; nil in a socket's table
	site  string  // file:line of the registration
	reg   *Registration
}

var noHandlers handlers

func (t *handlerTable) load() *handlers {
	if h := t.snap.Load(); h != nil {
		return h
	}
	return &noHandlers
}

// change replaces the snapshot by a changed copy.
func (t *handlerTable) change(fn func(h *handlers)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := *t.load()
	h.events = maps.Clone(h.events)
	fn(&h)
	t.snap.Store(&h)
}

// handle registers h for event. It names the first caller outside this package
// when it has to panic.
func (t *handlerTable) handle(event string, h Handler) *Registration {
	site := callSite()
	if h == nil {
		panic(fmt.Sprintf("sio: nil handler for event %q, registered at %s", event, site))
	}
	if codec.Reserved(event) {
		panic(fmt.Sprintf("sio: event name %q is reserved, registered at %s", event, site))
	}
	return t.register(func(hs *handlers, reg *Registration) {
		if old := hs.events[event]; old != nil {
			panic(fmt.Sprintf("sio: event %q registered at %s was registered at %s already", event, site, old.site))
		}
		if hs.events == nil {
			hs.events = make(map[string]*entry)
		}
		hs.events[event] = &entry{bare: h, chain: t.wrapped(h, hs), site: site, reg: reg}
	}, func(hs *handlers, reg *Registration) {
		if e := hs.events[event]; e != nil && e.reg == reg {
			delete(hs.events, event)
		}
	})
}

func (t *handlerTable) handleFallback(h Handler) *Registration {
	site := callSite()
	return t.register(func(hs *handlers, reg *Registration) {
		if old := hs.fallback; old != nil {
			panic(fmt.Sprintf("sio: fallback handler registered at %s was registered at %s already", site, old.site))
		}
		hs.fallback = &entry{bare: h, chain: t.wrapped(h, hs), site: site, reg: reg}
	}, func(hs *handlers, reg *Registration) {
		if e := hs.fallback; e != nil && e.reg == reg {
			hs.fallback = nil
		}
	})
}

func (t *handlerTable) wrap(mw func(Handler) Handler) *Registration {
	return t.register(func(hs *handlers, reg *Registration) {
		hs.wraps.add(mw, reg)
		t.rewrap(hs)
	}, func(hs *handlers, reg *Registration) {
		hs.wraps.remove(reg)
		t.rewrap(hs)
	})
}

// wrapped puts the wraps in hs around h.
func (t *handlerTable) wrapped(h Handler, hs *handlers) Handler {
	if t.own {
		return nil
	}
	return wrap(h, hs.wraps.fns)
}

// rewrap puts the wraps there are now around every handler.
func (t *handlerTable) rewrap(h *handlers) {
	if t.own {
		return
	}
	wraps := h.wraps.fns
	for name, e := range h.events {
		h.events[name] = &entry{bare: e.bare, chain: wrap(e.bare, wraps), site: e.site, reg: e.reg}
	}
	if e := h.fallback; e != nil {
		h.fallback = &entry{bare: e.bare, chain: wrap(e.bare, wraps), site: e.site, reg: e.reg}
	}
	h.nothing = nil
	if len(wraps) > 0 {
		h.nothing = wrap(doNothing, wraps)
	}
}

// doNothing handles events that have no handler.
var doNothing = HandlerFunc(func(context.Context, *Socket, *Message) error { return nil })

// wrap puts wraps around h, the first one outermost.
func wrap(h Handler, wraps []func(Handler) Handler) Handler {
	for _, w := range slices.Backward(wraps) {
		h = w(h)
	}
	return h
}

// callSite returns the file and line of the first caller outside this package's
// non-test files.
func callSite() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !more || !insidePackage(f.Function, f.File) {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
	}
}

const packagePath = "github.com/epio-go/epio/sio."

func insidePackage(function, file string) bool {
	const test = "_test.go"
	return len(function) > len(packagePath) && function[:len(packagePath)] == packagePath &&
		(len(file) < len(test) || file[len(file)-len(test):] != test)
}
