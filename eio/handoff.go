package eio

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// handoff is the internal HTTP server of the direct door. It gets connections from
// doormen instead of a listener.
//
// One goroutine runs http.Server.Serve, which starts one per connection. close
// and shutdown end them.
type handoff struct {
	http *http.Server
	done chan struct{} // closed when Serve has returned

	mu     sync.Mutex
	more   sync.Cond
	queue  []net.Conn
	closed bool
}

func newHandoff(srv *Server) *handoff {
	h := &handoff{done: make(chan struct{})}
	h.more.L = &h.mu
	h.http = &http.Server{
		Handler:           srv,
		ReadHeaderTimeout: srv.cfg.HandshakeTimeout,
		IdleTimeout:       max(2*srv.cfg.PingInterval, 2*srv.cfg.HandshakeTimeout),
		MaxHeaderBytes:    srv.cfg.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(srv.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if _, ok := c.(secureConn); ok {
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

// secureConn marks a connection over TLS, which the engine has taken off.
type secureConn struct{ net.Conn }

type secureKey struct{}

// isSecure reports whether r came over TLS, through either door.
func isSecure(r *http.Request) bool {
	return r.TLS != nil || r.Context().Value(secureKey{}) != nil
}

// give adds a connection. It never blocks. It takes nc.
func (h *handoff) give(nc net.Conn, secure bool) {
	if secure {
		nc = secureConn{nc}
	}
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
