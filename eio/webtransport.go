package eio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
)

// WebTransportSession is a WebTransport session as an HTTP/3 stack has it after it accepted
// the CONNECT request.
type WebTransportSession interface {
	// AcceptStream waits for the first bidirectional stream that the client opens. It is called
	// once, and ends with an error when ctx or the session does.
	AcceptStream(ctx context.Context) (WebTransportStream, error)
	// Close ends the session at once, and with it the stream, so that a blocked
	// Read or Write returns. What was written before may get lost. It may be called again,
	// by several goroutines.
	Close() error
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// WebTransportStream is a bidirectional stream of a WebTransport session. Read and Write are
// called by one goroutine each.
type WebTransportStream interface {
	// Read reads what the client sends. It returns io.EOF when the client has closed the
	// stream or the session; any other error is a fault.
	io.Reader
	// Write blocks while the client takes no more.
	io.Writer
	// CloseWrite ends our half of the stream behind what was written.
	CloseWrite() error
}

// ErrUpgradeTimeout reports a WebTransport session without an OPEN packet within
// Config.UpgradeTimeout. It goes to Config.OnConnectionError.
var ErrUpgradeTimeout = errors.New("eio: no OPEN packet within UpgradeTimeout")

// WebTransport returns the handler of the CONNECT requests that ask for WebTransport, for an
// HTTP/3 server that does the rest: this module imports none. The module
// github.com/epio-go/epio/eio/webtransport is that, for quic-go.
//
// The handler runs Config.Middleware, checks the request, and answers it when a check fails.
// A request without sid is a handshake, so AllowRequest decides about it. CORS plays no part,
// as with WebSocket: browsers ask no server for permission. They send Origin, which
// AllowRequest can read, and no cookies.
//
// It then calls accept, which completes the request and returns the session. If accept fails it
// has answered the request. Within Config.UpgradeTimeout the client must open
// a bidirectional stream and send an OPEN packet, and the handler blocks until
// then: empty, it begins a session; with {"sid":"…"} the stream becomes the candidate of
// one on polling, and goes on as a WebSocket would. Everything else closes the WebTransport
// session. Packets are framed as [codec.AppendWTHeader] says.
//
// The handler returns while the session goes on. It has one goroutine, which reads, and one more
// while something is written. It ends with the Server's Close or Shutdown, which
// therefore come before the HTTP/3 server's.
//
// Source: https://socket.io/docs/v4/engine-io-protocol/#webtransport, and
// onWebTransportSession in the reference.
func (srv *Server) WebTransport(accept func(http.ResponseWriter, *http.Request) (WebTransportSession, error)) http.Handler {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { srv.serveWebTransport(w, r, accept) })
	if srv.cfg.Middleware != nil {
		h = srv.cfg.Middleware(h)
	}
	return h
}

func (srv *Server) serveWebTransport(w http.ResponseWriter, r *http.Request, accept func(http.ResponseWriter, *http.Request) (WebTransportSession, error)) {
	c := checked{query: parseQuery(r.URL.RawQuery), method: r.Method, origin: r.Header.Get("Origin")}
	handshake := c.query.sid == ""
	fail := srv.verifyWebTransport(&c)
	if fail == nil && handshake && srv.admission != nil {
		if c.lease, fail = srv.admit(srv.cfg.Admission.of(r)); fail == nil {
			defer c.giveBack()
		}
	}
	if fail == nil && handshake {
		fail = srv.allow(r)
	}
	if fail != nil {
		c.giveBack()
		srv.refuse(w, r, false, fail)
		return
	}
	srv.callHeaderHooks(w.Header(), r, handshake)
	session, err := accept(w, r)
	if err != nil {
		srv.log.Debug("eio: no WebTransport session", "err", err)
		return
	}
	if fail := srv.beginWebTransport(session, r, &c, handshake); fail != nil {
		c.giveBack()
		session.Close()
		srv.report(r, fail)
	}
}

// verifyWebTransport makes the checks on a CONNECT request that need no user code. What a
// client leaves out of the query has only one possible value.
func (srv *Server) verifyWebTransport(c *checked) *failure {
	q := &c.query
	switch {
	case srv.down.Load(), srv.draining.Load() && q.sid == "":
		return &failure{code: CodeShuttingDown}
	case !slices.Contains(srv.cfg.Transports, "webtransport"), q.transport != "" && q.transport != "webtransport":
		return &failure{code: CodeUnknownTransport, context: ErrorContext{Transport: q.transport}}
	case !validHeaderValue(c.origin):
		return &failure{code: CodeBadRequest, context: ErrorContext{Name: "INVALID_ORIGIN", Origin: c.origin}}
	case c.method != http.MethodConnect:
		return &failure{code: CodeBadHandshakeMethod, context: ErrorContext{Method: c.method}}
	case q.eio != "" && q.v3():
		return &failure{code: CodeUnsupportedProtocol, context: ErrorContext{Protocol: q.eio}}
	case q.sid != "":
		_, fail := srv.upgradable(q.sid)
		return fail
	}
	return nil
}

// upgradable returns the session that a WebTransport may become a candidate of.
func (srv *Server) upgradable(sid string) (*Session, *failure) {
	s := srv.sessions.get(sid)
	switch {
	case s == nil || !s.current():
		return nil, &failure{code: CodeUnknownSession, context: ErrorContext{SID: sid}}
	case s.v3:
		return nil, &failure{code: CodeBadRequest, context: ErrorContext{Name: "PROTOCOL_MISMATCH", Protocol: "4", PreviousProtocol: "3"}}
	case srv.cfg.DisableUpgrades:
		return nil, mismatch("webtransport", s.Transport())
	}
	return s, nil
}

// beginWebTransport reads the OPEN packet and does what it asks for. allowed says that the
// application has agreed to a new session. It blocks, for UpgradeTimeout at most.
func (srv *Server) beginWebTransport(session WebTransportSession, r *http.Request, c *checked, allowed bool) *failure {
	bad := func(err error) *failure {
		return &failure{code: CodeBadRequest, context: ErrorContext{Name: "TRANSPORT_HANDSHAKE_ERROR", Transport: "webtransport"}, err: err}
	}
	ctx, cancel := context.WithTimeout(srv.life, srv.cfg.UpgradeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { session.Close() })
	stream, err := session.AcceptStream(ctx)
	var open codec.Packet
	var carry []byte
	if err == nil {
		open, carry, err = readOpen(stream)
	}
	switch {
	case srv.down.Load():
		return &failure{code: CodeShuttingDown}
	case !stop() || ctx.Err() != nil:
		return bad(ErrUpgradeTimeout)
	case err != nil:
		return bad(err)
	}
	nc := &wtStream{WebTransportStream: stream, session: session}
	if len(open.Data) > 0 {
		return srv.upgradeToWebTransport(nc, carry, open.Data)
	}
	if !allowed {
		return bad(errors.New("eio: a sid in the request, but none in the OPEN packet"))
	}
	c.query = query{eio: "4"} // whatever else it had
	srv.arriving.Add(1)
	defer srv.arriving.Add(-1)
	s, fail := srv.create(r, WebTransport, newHandshake(r, true), c)
	if fail != nil {
		return fail
	}
	s.mu.Lock()
	var packet [256]byte
	s.out.put(codec.NewTextFrame(codec.Open, srv.ws.append(packet[:0], s.id)[1:]))
	if f := srv.initialFrame(); f != nil {
		s.out.put(f)
	}
	s.mu.Unlock()
	if conn := srv.settle(nc, carry, s, (*wtConn)(s)); conn != nil {
		s.attach(conn)
	}
	return nil
}

// upgradeToWebTransport makes nc a candidate of the session that the OPEN packet names:
// {"sid":"…"}.
func (srv *Server) upgradeToWebTransport(nc *wtStream, carry, data []byte) *failure {
	var open struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal(data, &open); err != nil {
		return &failure{code: CodeBadRequest, context: ErrorContext{Name: "TRANSPORT_HANDSHAKE_ERROR", Transport: "webtransport"}, err: err}
	}
	s, fail := srv.upgradable(open.SID)
	if fail != nil {
		return fail
	}
	k := &candidate{s: s, transport: WebTransport}
	if !s.enter(k) {
		return mismatch("webtransport", s.Transport())
	}
	var conn *engine.Conn
	var err error
	if conn, err = srv.engine.Adopt(nc, carry, (*wtCandidate)(k)); err != nil {
		k.Closed(nil, err)
		return nil
	}
	k.attach(conn)
	return nil
}

// maxOpen bounds the OPEN packet of a client: a session id and 10 bytes.
const maxOpen = 4 << 10

// readOpen reads the first packet, which must be OPEN, and what came behind it.
func readOpen(r io.Reader) (open codec.Packet, carry []byte, err error) {
	p := make([]byte, 0, 512)
	for {
		packet, n, err := nextWT(p, maxOpen)
		switch {
		case err != nil:
			return open, nil, err
		case n > 0 && (packet.Type != codec.Open || packet.Binary):
			return open, nil, fmt.Errorf("eio: first packet on a WebTransport stream is %v, not open", packet.Type)
		case n > 0:
			return packet, p[n:], nil
		}
		p = slices.Grow(p, 1)
		got, err := r.Read(p[len(p):cap(p)])
		p = p[:len(p)+got]
		if got == 0 && err != nil {
			return open, nil, err
		}
	}
}
