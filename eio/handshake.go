package eio

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/epio-go/epio/engine"
)

// Handshake is the request that opened a session, kept as one block of text. Immutable.
type Handshake struct {
	raw    string
	addr   fmt.Stringer
	ctx    context.Context // of Config.SessionContext; nil without
	time   time.Time
	secure bool
}

// textAddr is an address that is known as text.
type textAddr string

// String implements fmt.Stringer.
func (a textAddr) String() string { return string(a) }

// connAddr is the address of the peer of conn, which knows it in fewer bytes.
type connAddr struct{ conn *engine.Conn }

// String implements fmt.Stringer.
func (a connAddr) String() string { return a.conn.RemoteAddr().String() }

// newHandshake keeps what a handler was given.
func newHandshake(r *http.Request, secure bool) *Handshake {
	var b strings.Builder
	uri := r.RequestURI
	if uri == "" || r.Method == http.MethodConnect { // there it is the authority
		uri = r.URL.RequestURI()
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, uri, r.Host)
	// Headers as received by net/http are valid; those of a middleware may not be.
	r.Header.WriteSubset(&b, map[string]bool{"Host": true, "Content-Length": true, "Transfer-Encoding": true})
	b.WriteString("\r\n")
	return &Handshake{raw: b.String(), addr: textAddr(r.RemoteAddr), time: time.Now(), secure: secure}
}

// Request parses the request anew. Each call returns a fresh value with the context
// of Context and no body; its TLS field is set, without details, when the connection is secure. It
// returns nil if the block does not parse, which a request that reached the handshake always does.
func (h *Handshake) Request() *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(h.raw)))
	if err != nil {
		return nil
	}
	r.Body = http.NoBody
	r.RemoteAddr = h.RemoteAddr()
	if h.secure {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	if h.ctx != nil {
		r = r.WithContext(h.ctx)
	}
	return r
}

// RemoteAddr returns the peer's address, "192.0.2.1:40000", as the connection
// has it: behind a proxy that is the proxy's.
func (h *Handshake) RemoteAddr() string {
	if h.addr == nil {
		return ""
	}
	return h.addr.String()
}

// Context returns the context made by Config.SessionContext, without its end and its
// deadline, or the background context.
func (h *Handshake) Context() context.Context {
	if h.ctx == nil {
		return context.Background()
	}
	return h.ctx
}

// Secure reports whether the request came over TLS that ended in this process.
func (h *Handshake) Secure() bool { return h.secure }

// Time returns when the request was handled.
func (h *Handshake) Time() time.Time { return h.time }
