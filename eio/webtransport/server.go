package webtransport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"github.com/epio-go/epio/eio"
)

// Server is an HTTP/3 server whose WebTransport sessions go to an Engine.IO server. It is also
// the http.Handler of the requests that open them. All methods are safe for concurrent use.
type Server struct {
	// immutable
	engine  *eio.Server
	connect http.Handler // CONNECT requests for WebTransport

	wt     webtransport.Server
	closed atomic.Bool
}

// connKey is the key of the *quic.Conn in the context of a request.
type connKey struct{}

// What the QUIC connections may hold when the caller does not say. Those of quic-go are for
// downloads: 6 MB for a stream that nobody reads, 15 MB for a connection.
const (
	streamWindow = 1 << 20 // bytes received and not read
	connWindow   = 2 << 20 // over all streams; we read one, clients may open more
	// keepAlive keeps connections open, and NATs, for which the heartbeat of the session is
	// too slow. It is less than half the 30 s after which a silent peer is given up.
	keepAlive = 14 * time.Second
)

// New returns a server for the sessions of engine, whose Config.Transports must name
// "webtransport"; otherwise all are refused. That of a Socket.IO server is its Engine().
//
// New takes h3 and completes it: settings, ALPN, ConnContext, limits if QUICConfig is nil. h3 must not
// serve by itself, since its own methods know nothing of WebTransport; use those of
// Server. h3.Handler answers the requests; nil stands for the Server itself, which answers
// those below the engine's path, polling over HTTP/3 included, and leaves others to the
// engine's fallback. A mux needs an entry for that path:
//
//	mux.Handle("/socket.io/", server)
//
// h3.TLSConfig needs a certificate, unless ListenAndServeTLS is used.
func New(engine *eio.Server, h3 *http3.Server) *Server {
	s := &Server{engine: engine}
	s.connect = engine.WebTransport(s.accept)
	if h3.Handler == nil {
		h3.Handler = s
	}
	if h3.TLSConfig != nil {
		h3.TLSConfig = http3.ConfigureTLSConfig(h3.TLSConfig)
	}
	if h3.QUICConfig == nil {
		h3.QUICConfig = &quic.Config{
			MaxStreamReceiveWindow:     streamWindow,
			MaxConnectionReceiveWindow: connWindow,
			KeepAlivePeriod:            keepAlive,
		}
	}
	connContext := h3.ConnContext
	h3.ConnContext = func(ctx context.Context, conn *quic.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, conn)
		}
		return context.WithValue(ctx, connKey{}, conn)
	}
	s.wt.H3 = h3
	// The engine's AllowRequest decides. Browsers send no cookies along, so there is nothing
	// that a foreign page could abuse.
	s.wt.CheckOrigin = func(*http.Request) bool { return true }
	return s
}

// ListenAndServe listens on the UDP address h3.Addr, ":https" by default, and serves until
// Close. It always returns an error, http.ErrServerClosed after Close.
func (s *Server) ListenAndServe() error { return s.served(s.wt.ListenAndServe()) }

// ListenAndServeTLS is ListenAndServe with the certificate and key in these PEM files.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error {
	return s.served(s.wt.ListenAndServeTLS(certFile, keyFile))
}

// Serve serves on conn, a UDP socket, until Close. It does not close conn.
func (s *Server) Serve(conn net.PacketConn) error { return s.served(s.wt.Serve(conn)) }

// ServeQUICConn serves one QUIC connection, for programs that have a listener for several
// protocols. Its quic.Config must have EnableDatagrams and EnableStreamResetPartialDelivery set.
func (s *Server) ServeQUICConn(conn *quic.Conn) error { return s.wt.ServeQUICConn(conn) }

// Close closes all connections and waits until they are gone. For a good end call Shutdown of the
// Engine.IO or Socket.IO server before: Close cuts off what is left.
func (s *Server) Close() error {
	s.closed.Store(true)
	return s.wt.Close()
}

// served is what Serve and its like return for err.
func (s *Server) served(err error) error {
	if s.closed.Load() {
		return http.ErrServerClosed
	}
	return err
}

// ServeHTTP answers a request that asks for WebTransport at the engine's path and leaves all
// others to the engine.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect && strings.HasPrefix(r.Proto, "webtransport") && strings.HasPrefix(r.URL.Path, s.engine.Path()) {
		s.connect.ServeHTTP(w, r)
		return
	}
	s.engine.ServeHTTP(w, r)
}

// accept completes a request that the engine has checked.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) (eio.WebTransportSession, error) {
	own := unwrap(w)
	if own == nil {
		http.Error(w, "WebTransport is not possible here", http.StatusInternalServerError)
		return nil, errors.New("webtransport: the ResponseWriter is not that of an HTTP/3 server, and has no Unwrap")
	}
	ws, err := s.wt.Upgrade(own, r)
	if err != nil {
		http.Error(w, "WebTransport is not possible here", http.StatusBadRequest)
		return nil, err
	}
	return session{ws, r.Context().Value(connKey{}).(*quic.Conn).Context()}, nil
}

// unwrap finds the HTTP/3 server's own writer behind those of middleware, as
// http.ResponseController does. It returns nil if there is none.
func unwrap(w http.ResponseWriter) http.ResponseWriter {
	for {
		_, streamer := w.(http3.HTTPStreamer)
		_, settings := w.(http3.Settingser)
		if streamer && settings {
			return w
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = u.Unwrap()
	}
}
