package eio

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/pool"
)

// serveUpgrade answers a verified WebSocket request on the net/http door and moves its
// connection into the engine. s is nil for a handshake.
func (srv *Server) serveUpgrade(w http.ResponseWriter, r *http.Request, c *checked, s *Session) {
	o := openingOf(r)
	if fail := o.check(); fail != nil {
		c.giveBack()
		srv.refuse(w, r, true, fail)
		return
	}
	begin := s == nil && c.query.transport == "websocket"
	if begin {
		srv.arriving.Add(1)
		defer srv.arriving.Add(-1)
		var fail *failure
		if s, fail = srv.create(r, WebSocket, newHandshake(r, isSecure(r)), c); fail != nil {
			c.giveBack()
			srv.refuse(w, r, true, fail)
			return
		}
	}
	hooked := false
	defer func() {
		if !hooked && begin { // a hook has panicked
			srv.abandon(s)
		}
	}()
	srv.callHeaderHooks(w.Header(), r, begin)
	hooked = true

	nc, brw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		srv.log.Error("eio: cannot upgrade: the ResponseWriter has no Hijack; is http.TimeoutHandler in front?", "err", err)
		if begin {
			srv.abandon(s)
		}
		http.Error(w, "WebSocket is not possible here", http.StatusInternalServerError)
		return
	}
	if h, ok := nc.(*handed); ok {
		nc = h.Conn
	}
	carry, _ := brw.Reader.Peek(brw.Reader.Buffered())
	deflate := srv.negotiate(strings.Join(r.Header["Sec-Websocket-Extensions"], ","))
	head := append101(pool.Get(512), &o, deflate, w.Header())
	switch {
	case begin:
		s.setDeflate(deflate != "")
		srv.beginWebSocket(nc, carry, head, s)
	case c.query.transport == "websocket":
		srv.beginCandidate(nc, carry, head, s, c.query.base64, deflate != "")
	default:
		srv.turnAway(nc, carry, head)
	}
}

// abandon ends a session that never got its connection.
func (srv *Server) abandon(s *Session) {
	defer s.strand(TransportError, nil)
	srv.open(s)
}

// settle opens s and moves its connection into the engine. It takes nc. It returns nil when that has failed, which ends the session.
func (srv *Server) settle(nc net.Conn, carry []byte, s *Session, h engine.Handler) (c *engine.Conn) {
	var err error
	defer func() {
		if c == nil { // or Open has called runtime.Goexit
			nc.Close()
			s.strand(TransportError, err)
		}
	}()
	srv.open(s) // what it sends waits for attach
	c, err = srv.engine.Adopt(nc, carry, h)
	return c
}

// beginWebSocket starts a session on nc. It takes head, the 101.
func (srv *Server) beginWebSocket(nc net.Conn, carry []byte, head *pool.Buf, s *Session) {
	head = srv.appendOpen(head, s)
	if err := writeHead(nc, head); err != nil {
		nc.Close()
		srv.abandon(s)
		return
	}
	if c := srv.settle(nc, carry, s, (*wsConn)(s)); c != nil {
		s.attachSoon(c)
	}
}

// openPause is how long the OPEN packet of Engine.IO v3 comes after the 101. A client
// that begins to listen when its WebSocket is open, as the official test-suite of that
// revision does, misses what was read together with the 101. The reference happens
// to make two writes; new clients do not need it.
const openPause = 5 * time.Millisecond

// attachSoon is attach, after the pause for clients of Engine.IO v3. Whatever they
// send ends it.
func (s *Session) attachSoon(c *engine.Conn) {
	if !s.v3 {
		s.attach(c)
		return
	}
	time.AfterFunc(openPause, func() { s.attach(c) })
}

// appendOpen appends the OPEN packet, and the initial packet if there is one, as
// WebSocket frames; for clients of Engine.IO v3, it queues them instead.
func (srv *Server) appendOpen(b *pool.Buf, s *Session) *pool.Buf {
	var packet [256]byte
	text := srv.ws.append(packet[:0], s.id)
	if s.v3 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.out.put(codec.NewTextFrame(codec.Open, text[1:]))
		if f := srv.initialFrame(); f != nil {
			s.out.put(f)
		}
		return b
	}
	b.B = append(codec.AppendWSHeader(b.B, ws.OpText, len(text)), text...)
	if f := srv.initialFrame(); f != nil {
		f = s.inForm(f)
		b.B = append(b.B, f.Bytes()...)
		f.Release()
	}
	return b
}

// beginCandidate makes nc a candidate of s, or turns it away. It takes head.
func (srv *Server) beginCandidate(nc net.Conn, carry []byte, head *pool.Buf, s *Session, b64, deflate bool) {
	k := s.newCandidate(b64, deflate)
	if k == nil {
		srv.turnAway(nc, carry, head)
		return
	}
	err := writeHead(nc, head)
	if err != nil {
		nc.Close()
	} else {
		var c *engine.Conn
		if c, err = srv.engine.Adopt(nc, carry, k); err == nil {
			k.attach(c)
		}
	}
	if err != nil {
		k.Closed(nil, err)
	}
}

// turnAway completes the upgrade and closes the WebSocket without a status. It
// takes head.
func (srv *Server) turnAway(nc net.Conn, carry []byte, head *pool.Buf) {
	if writeHead(nc, head) != nil {
		nc.Close()
		return
	}
	if c, err := srv.engine.Adopt(nc, carry, new(farewell)); err == nil {
		c.CloseAfterFlush(closeNoStatus, wsLinger)
	}
}

// newCandidate enters a WebSocket as the candidate, or returns nil when s does not want one.
func (s *Session) newCandidate(b64, deflate bool) *candidate {
	k := &candidate{s: s, transport: WebSocket, base64: b64, rd: wsReader{deflate: deflate}}
	if !s.enter(k) {
		return nil
	}
	return k
}

// enter makes k the candidate of s, if s wants one.
func (s *Session) enter(k *candidate) bool {
	s.mu.Lock()
	e := s.m.open(s.srv.now(), k.transport, s.timing())
	if e.do.has(doRefuse) {
		s.mu.Unlock()
		return false
	}
	s.cand = k
	s.finish(e)
	return true
}

// writeHead writes the response to a fresh connection, whose buffer has room for it.
// It takes head.
func writeHead(nc net.Conn, head *pool.Buf) error {
	defer head.Release()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := nc.Write(head.B); err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}

// append101 appends the response that completes an upgrade. extensions, if not empty, is the
// answer to an offer. h holds further headers; those that describe a body or the
// connection are left out.
func append101(b *pool.Buf, o *opening, extensions string, h http.Header) *pool.Buf {
	b.B = append(b.B, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b.B = appendAccept(b.B, o.key)
	b.B = append(b.B, "\r\n"...)
	if p, _ := o.subprotocol(); p != "" {
		b.B = append(append(append(b.B, "Sec-WebSocket-Protocol: "...), p...), "\r\n"...)
	}
	if extensions != "" {
		b.B = append(append(append(b.B, "Sec-WebSocket-Extensions: "...), extensions...), "\r\n"...)
	}
	if len(h) > 0 {
		var text strings.Builder
		h.WriteSubset(&text, not101) // sorted; replaces line breaks in values
		b.B = append(b.B, text.String()...)
	}
	b.B = append(b.B, "\r\n"...)
	return b
}

var not101 = func() map[string]bool {
	m := make(map[string]bool)
	for _, name := range []string{
		"Connection", "Upgrade", "Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol",
		"Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Trailer",
	} {
		m[name] = true
	}
	return m
}()

// refuseRaw writes the answer to a refused upgrade and closes nc.
func refuseRaw(nc net.Conn, f *failure) {
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	io.Copy(nc, strings.NewReader(string(appendRefusal(nil, f))))
	nc.Close()
}

// appendRefusal appends the answer to a refused upgrade: whatever the code, the
// status is 400, except for our own 429 and 503 and what an opening handshake asks for.
func appendRefusal(dst []byte, f *failure) []byte {
	status := http.StatusBadRequest
	switch {
	case f.status != 0:
		status = f.status
	case f.code.status() == http.StatusServiceUnavailable, f.code.status() == http.StatusTooManyRequests:
		status = f.code.status()
	}
	text, header := f.text(), f.header
	if after := f.retryAfter(); after != "" {
		header += "Retry-After: " + after + "\r\n"
	}
	return fmt.Appendf(dst, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-type: text/html\r\nContent-Length: %d\r\n%s\r\n%s",
		status, http.StatusText(status), len(text), header, text)
}

// hooked reports whether a WebSocket request needs user code.
func (srv *Server) hooked(handshake bool) bool {
	c := &srv.cfg
	if c.Middleware != nil || c.OnHeaders != nil || (c.CORS != nil && c.CORS.AllowOrigin != nil) {
		return true
	}
	return handshake && (c.Admission.hooked() || c.AllowRequest != nil || c.SessionContext != nil || c.GenerateID != nil ||
		c.OnInitialHeaders != nil)
}
