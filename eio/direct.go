package eio

import (
	"crypto/tls"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// ListenAndServe listens on the TCP address addr, ":3000" for example, and
// calls Serve.
func (srv *Server) ListenAndServe(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return srv.Serve(ln)
}

// Serve accepts connections from ln, which it closes in the end. WebSocket handshakes for
// Path are answered without a goroutine; other connections go to an
// internal HTTP server that serves polling and the fallback. So do all WebSocket handshakes while a
// hook that may block is configured.
//
// It blocks until Shutdown or Close and then returns ErrServerClosed, or until ln
// fails. Several listeners may be served at once.
func (srv *Server) Serve(ln net.Listener) error {
	srv.mu.Lock()
	if srv.down.Load() {
		srv.mu.Unlock()
		ln.Close()
		return ErrServerClosed
	}
	srv.listeners[ln] = struct{}{}
	if srv.handoff == nil {
		srv.handoff = newHandoff(srv)
	}
	h := srv.handoff
	srv.mu.Unlock()

	secure := isTLS(ln)
	err := srv.engine.Serve(ln, func(c *engine.Conn) engine.Handler {
		d := &doorman{srv: srv, conn: c, handoff: h, secure: secure}
		d.timer.Init(srv.engine.Wheel(), d)
		d.timer.Reset(srv.now() + srv.cfg.HandshakeTimeout)
		return d
	})

	srv.mu.Lock()
	delete(srv.listeners, ln)
	srv.mu.Unlock()
	ln.Close()
	if srv.down.Load() {
		return ErrServerClosed
	}
	return err
}

// isTLS reports whether ln's connections are TLS.
func isTLS(ln net.Listener) bool {
	return reflect.TypeOf(ln) == reflect.TypeOf(tls.NewListener(nil, nil))
}

// doorman is the handler of a connection whose first request is not complete
// yet. It decides who gets the connection.
type doorman struct {
	srv     *Server
	conn    *engine.Conn
	handoff *handoff
	timer   engine.Timer
	secure  bool
	scanned int // owned by Data: bytes known not to complete the head
}

// Expire implements engine.Expirer: the head is late.
func (d *doorman) Expire(*engine.Timer) { d.conn.Close(ErrHandshakeTimeout) }

// Closed implements engine.Handler.
func (d *doorman) Closed(*engine.Conn, error) { d.timer.Stop() }

// Data implements engine.Handler.
func (d *doorman) Data(c *engine.Conn, p []byte) int {
	n := findHead(p, d.scanned)
	if n == 0 && len(p) < d.srv.cfg.MaxHeaderBytes {
		if bareHead(p, d.scanned) {
			d.timer.Stop()
			return d.handOver(c)
		}
		d.scanned = len(p)
		return 0
	}
	d.timer.Stop()
	if n == 0 || n > d.srv.cfg.MaxHeaderBytes {
		d.answer(c, []byte("HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
		return len(p)
	}
	raw := string(p[:n])
	h, ok := parseHead(raw)
	if !ok || !strings.HasPrefix(h.path, d.srv.cfg.Path) {
		return d.handOver(c)
	}
	checked := checked{query: parseQuery(h.query), method: h.method, origin: h.origin, upgrade: h.upgrade}
	badOrigin := !validHeaderValue(h.origin)
	if !h.upgrade && !badOrigin {
		return d.handOver(c)
	}
	if !badOrigin && d.srv.hooked(checked.query.sid == "") {
		return d.handOver(c)
	}
	s, fail := d.srv.verify(&checked)
	if fail == nil && s == nil && checked.query.transport == "websocket" {
		fail = d.srv.checkRevision(&checked.query)
	}
	if fail == nil {
		fail = h.opening.check()
	}
	if fail == nil && s == nil && d.srv.admission != nil {
		peer := peerAddr(c.RemoteAddr())
		if d.srv.cfg.Admission.isProxy(peer) {
			return d.handOver(c) // the header with the address is needed
		}
		if checked.lease, fail = d.srv.admit(d.srv.cfg.Admission.key(peer)); fail == nil {
			defer checked.giveBack()
		}
	}
	if fail == nil {
		if fail = d.accept(c, &h, &checked, s, raw); fail == nil {
			return n
		}
	}
	checked.giveBack()
	if d.srv.cfg.OnConnectionError != nil && !badOrigin {
		return d.handOver(c) // net/http will find the same fault and may block
	}
	d.refuse(c, &checked, fail)
	return len(p)
}

// accept completes the upgrade.
func (d *doorman) accept(c *engine.Conn, h *head, q *checked, s *Session, raw string) *failure {
	srv := d.srv
	begin := s == nil && q.query.transport == "websocket"
	if begin {
		hs := &Handshake{raw: raw, addr: connAddr{c}, time: time.Now(), secure: d.secure}
		var fail *failure
		if s, fail = srv.create(nil, WebSocket, hs, q); fail != nil {
			return fail
		}
	}
	var extra http.Header
	if srv.cfg.CORS != nil {
		extra = make(http.Header)
		srv.cfg.CORS.set(extra, q.origin, nil)
	}
	deflate := srv.negotiate(h.extensions)
	b := append101(pool.Get(512), &h.opening, deflate, extra)
	if begin {
		s.setDeflate(deflate != "")
		b = srv.appendOpen(b, s)
		c.Send(b.Seal(0))
		s.attachSoon(c)
		c.SetHandler((*wsConn)(s))
		srv.open(s)
		return nil
	}
	var k *candidate
	if q.query.transport == "websocket" {
		// Before the answer: who has got it is the candidate, whoever asks then.
		k = s.newCandidate(q.query.base64, deflate != "")
	}
	c.Send(b.Seal(0))
	if k != nil {
		k.attach(c)
		c.SetHandler(k)
		return nil
	}
	c.SetHandler(new(farewell))
	c.CloseAfterFlush(closeNoStatus, wsLinger)
	return nil
}

// handOver gives the connection, with all bytes, to the HTTP server.
func (d *doorman) handOver(c *engine.Conn) int {
	nc, err := c.Detach()
	if err != nil {
		c.Close(err)
		return 0
	}
	d.handoff.give(nc, d.secure)
	return 0
}

// refuse answers a request that failed a check.
func (d *doorman) refuse(c *engine.Conn, q *checked, f *failure) {
	d.srv.stats.refuse(f.code)
	d.srv.log.Debug("eio: request refused", "code", int(f.code), "message", f.text(), "context", f.context.Name, "err", f.err)
	if q.upgrade {
		d.answer(c, appendRefusal(nil, f))
		return
	}
	body := f.body()
	head := "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nContent-Length: "
	d.answer(c, append(append([]byte(head), strconv.Itoa(len(body))+"\r\n\r\n"...), body...))
}

// answer sends a last response.
func (d *doorman) answer(c *engine.Conn, b []byte) {
	c.SetHandler(deaf{})
	c.CloseAfterFlush(pool.Copy(b).Seal(0), wsLinger)
}

// deaf is the handler of a connection that has got its last response.
type deaf struct{}

func (deaf) Data(_ *engine.Conn, p []byte) int { return len(p) }
func (deaf) Closed(*engine.Conn, error)        {}
