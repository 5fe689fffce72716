package eio

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// DefaultDestroyUpgradeTimeout is how long an upgrade request for another path may stay
// unanswered, if Config.DestroyUpgrade is set.
const DefaultDestroyUpgradeTimeout = time.Second

// serveForeign answers a request that is not for the engine.
func (srv *Server) serveForeign(w http.ResponseWriter, r *http.Request) {
	h := srv.fallback.Load()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	if !srv.cfg.DestroyUpgrade || r.ProtoMajor != 1 || !headerHasToken(r.Header["Connection"], "upgrade") {
		(*h).ServeHTTP(w, r)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	u := &unanswered{w: w, cancel: cancel}
	t := time.AfterFunc(srv.cfg.DestroyUpgradeTimeout, func() {
		if u.destroy() {
			srv.log.Debug("eio: upgrade request for another path was not answered", "path", r.URL.Path)
		}
	})
	defer t.Stop()
	(*h).ServeHTTP(u, r.WithContext(ctx))
	// net/http answers for a handler that has returned; it would panic about a connection that is gone.
	u.answer()
}

// unanswered is the http.ResponseWriter of an upgrade request that may be cut off as long as
// nobody has written to it. Upgrades are HTTP/1.1, so it can do what net/http's writer can.
type unanswered struct {
	w      http.ResponseWriter
	cancel context.CancelFunc

	mu       sync.Mutex
	answered bool
	gone     bool // the connection was cut
}

// answer claims the connection for the handler. It returns net.ErrClosed if it is too late.
func (u *unanswered) answer() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return net.ErrClosed
	}
	u.answered = true
	return nil
}

// destroy ends the connection, and the context of the request, if nobody has answered.
func (u *unanswered) destroy() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.answered {
		return false
	}
	nc, _, err := http.NewResponseController(u.w).Hijack()
	if err != nil {
		return false // a middleware hides the connection
	}
	u.gone = true
	nc.Close()
	u.cancel()
	return true
}

// Header implements http.ResponseWriter.
func (u *unanswered) Header() http.Header { return u.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (u *unanswered) WriteHeader(status int) {
	if u.answer() == nil {
		u.w.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (u *unanswered) Write(p []byte) (int, error) {
	if err := u.answer(); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}

// Flush implements http.Flusher.
func (u *unanswered) Flush() { u.FlushError() }

// FlushError is Flush as http.ResponseController wants it.
func (u *unanswered) FlushError() error {
	if err := u.answer(); err != nil {
		return err
	}
	return http.NewResponseController(u.w).Flush()
}

// Hijack implements http.Hijacker.
func (u *unanswered) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := u.answer(); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(u.w).Hijack()
}

// Unwrap serves http.ResponseController.
func (u *unanswered) Unwrap() http.ResponseWriter { return u.w }
