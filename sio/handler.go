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
	Handle(event string, h Handler)
	table() *handlerTable
}

// handlerTable is a set of handlers. Readers use an immutable snapshot; mu
// serializes changes.
type handlerTable struct {
	mu   sync.Mutex
	snap atomic.Pointer[handlers]
}

// handlers is immutable.
type handlers struct {
	events   map[string]*entry
	any      []Handler // before everything else, in order
	fallback *entry
	wraps    []func(Handler) Handler
	nothing  Handler // the wraps around nothing, for events without a handler; nil without wraps

	connect    []func(ctx context.Context, s *Socket) error
	disconnect []func(s *Socket, r Reason)
	use        []func(ctx context.Context, s *Socket) error
	outgoing   []func(s *Socket, event string, args []any)
}

// entry is a registered handler with everything around it.
type entry struct {
	bare  Handler
	chain Handler // bare with the wraps around it
	site  string  // file:line of the registration
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
func (t *handlerTable) handle(event string, h Handler) {
	site := callSite()
	if h == nil {
		panic(fmt.Sprintf("sio: nil handler for event %q, registered at %s", event, site))
	}
	if codec.Reserved(event) {
		panic(fmt.Sprintf("sio: event name %q is reserved, registered at %s", event, site))
	}
	t.change(func(hs *handlers) {
		if old := hs.events[event]; old != nil {
			panic(fmt.Sprintf("sio: event %q registered at %s was registered at %s already", event, site, old.site))
		}
		if hs.events == nil {
			hs.events = make(map[string]*entry)
		}
		hs.events[event] = &entry{bare: h, chain: wrap(h, hs.wraps), site: site}
	})
}

func (t *handlerTable) handleFallback(h Handler) {
	site := callSite()
	t.change(func(hs *handlers) {
		if old := hs.fallback; old != nil {
			panic(fmt.Sprintf("sio: fallback handler registered at %s was registered at %s already", site, old.site))
		}
		hs.fallback = &entry{bare: h, chain: wrap(h, hs.wraps), site: site}
	})
}

func (t *handlerTable) wrap(mw func(Handler) Handler) {
	t.change(func(hs *handlers) {
		hs.wraps = append(slices.Clip(hs.wraps), mw)
		for name, e := range hs.events {
			hs.events[name] = &entry{bare: e.bare, chain: wrap(e.bare, hs.wraps), site: e.site}
		}
		if e := hs.fallback; e != nil {
			hs.fallback = &entry{bare: e.bare, chain: wrap(e.bare, hs.wraps), site: e.site}
		}
		hs.nothing = wrap(doNothing, hs.wraps)
	})
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

// add appends to one of the lists of a snapshot without touching older snapshots.
func add[T any](list *[]T, v T) { *list = append(slices.Clip(*list), v) }

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
