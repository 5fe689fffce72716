package eio

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// handoff is the internal HTTP server of the direct door. It gets connections from
// doormen instead of a listener.
//
// One goroutine runs http.Server.Serve, which starts one per connection. close
// and shutdown end them.
type handoff struct {
	http     *http.Server
	done     chan struct{} // closed when Serve has returned
	patience time.Duration // see handed

	mu     sync.Mutex
	more   sync.Cond
	queue  []net.Conn
	closed bool
}

func newHandoff(srv *Server) *handoff {
	h := &handoff{done: make(chan struct{}), patience: srv.timing.interval + srv.timing.timeout}
	h.more.L = &h.mu
	h.http = &http.Server{
		Handler:           h.limitBodies(srv),
		ReadHeaderTimeout: srv.cfg.HandshakeTimeout,
		IdleTimeout:       max(2*srv.cfg.PingInterval, 2*srv.cfg.HandshakeTimeout),
		MaxHeaderBytes:    srv.cfg.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(srv.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if c.(*handed).secure {
				return context.WithValue(ctx, secureKey{}, true)
			}
			return ctx
		},
	}
	go func() {
		defer close(h.done)
		h.http.Serve(h)
	}()
	return h
}

// limitBodies bounds the time in which bodies must arrive that a handler of other paths has left
// unread: net/http reads them before it answers.
func (h *handoff) limitBodies(srv *Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer srv.requestPanicked(r)
		srv.ServeHTTP(w, r)
		if r.ContentLength == 0 || srv.matches(r) {
			return
		}
		if _, err := w.Write(nil); err == nil { // not hijacked
			srv.limitBody(w, r)
		}
	})
}

// requestPanicked is deferred: it logs what a hook or the fallback panicked with. net/http, which
// would log it as one of its complaints about clients, then cuts the connection.
func (srv *Server) requestPanicked(r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v != http.ErrAbortHandler {
		srv.log.Error("eio: request panicked", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}

// secureKey marks connections over TLS, which the engine has taken off.
type secureKey struct{}

// isSecure reports whether r came over TLS, through either door.
func isSecure(r *http.Request) bool {
	return r.TLS != nil || r.Context().Value(secureKey{}) != nil
}

// give adds a connection. It never blocks. It takes nc.
func (h *handoff) give(nc net.Conn, secure bool) {
	nc = &handed{Conn: nc, secure: secure, patience: h.patience}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		go nc.Close() // its methods wait until the caller's Data has returned
		return
	}
	h.queue = append(h.queue, nc)
	h.mu.Unlock()
	h.more.Signal()
}

// Accept implements net.Listener.
func (h *handoff) Accept() (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.queue) == 0 && !h.closed {
		h.more.Wait()
	}
	if h.closed {
		return nil, net.ErrClosed
	}
	nc := h.queue[0]
	h.queue = h.queue[1:]
	if len(h.queue) == 0 {
		h.queue = nil
	}
	return nc, nil
}

// Close implements net.Listener.
func (h *handoff) Close() error {
	h.mu.Lock()
	rest := h.queue
	h.queue, h.closed = nil, true
	h.mu.Unlock()
	h.more.Broadcast()
	for _, nc := range rest {
		nc.Close()
	}
	return nil
}

// Addr implements net.Listener.
func (h *handoff) Addr() net.Addr { return &net.TCPAddr{} }

// shutdown waits for running requests and ends the server.
func (h *handoff) shutdown(ctx context.Context) error {
	err := h.http.Shutdown(ctx)
	h.Close() // even if Serve has not registered the listener yet
	<-h.done
	return err
}

// close cuts all connections and ends the server.
func (h *handoff) close() {
	h.http.Close()
	h.Close()
	<-h.done
}
