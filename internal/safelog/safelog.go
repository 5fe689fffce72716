// Package safelog keeps the panics of a [slog.Handler] to the line they happened at. Lines are
// written everywhere: by the goroutines that read all connections, by timers, while another
// panic is being reported. Nothing there expects a panic, and no line is worth a process.
package safelog

import (
	"context"
	"log"
	"log/slog"
	"runtime/debug"
	"sync"
)

// New returns a logger that writes to the handler of l, and loses lines at which that panics. The
// first one of a handler is reported to the standard logger of package log, with its stack. nil
// gives a logger that discards. A logger made here is returned as it is.
func New(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	h := l.Handler()
	if _, ok := h.(*handler); ok || h == slog.DiscardHandler {
		return l
	}
	return slog.New(&handler{h, new(sync.Once)})
}

// handler is a slog.Handler around another one.
type handler struct {
	slog.Handler
	told *sync.Once // shared by those that were derived from it
}

// caught is deferred: it recovers, and reports the first panic.
func (h *handler) caught() {
	if v := recover(); v != nil {
		h.told.Do(func() {
			log.Printf("epio: the log handler %T panicked, lines are lost: %v\n%s", h.Handler, v, debug.Stack())
		})
	}
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) (on bool) {
	defer h.caught()
	return h.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	defer h.caught()
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler. If the handler cannot do that, the attributes are lost.
func (h *handler) WithAttrs(attrs []slog.Attr) (with slog.Handler) {
	with = h
	defer h.caught()
	return &handler{h.Handler.WithAttrs(attrs), h.told}
}

// WithGroup implements slog.Handler. If the handler cannot do that, the group is lost.
func (h *handler) WithGroup(name string) (with slog.Handler) {
	with = h
	defer h.caught()
	return &handler{h.Handler.WithGroup(name), h.told}
}
