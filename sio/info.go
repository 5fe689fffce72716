package sio

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/internal/query"
)

// info describes the socket to other servers.
func (s *Socket) info() adapter.SocketInfo {
	return adapter.SocketInfo{
		ID:        s.id,
		Handshake: s.handshakeInfo(),
		Rooms:     s.Rooms(),
		Data:      s.Data(),
	}
}

// jsDate is the layout of JavaScript's Date.prototype.toString in UTC.
const jsDate = "Mon Jan 02 2006 15:04:05 GMT-0700"

// Info describes the handshake in the reference's terms: the JSON form of the
// result is that of a Node server's socket.handshake. After the handshake was
// dropped, only the auth payload is left.
func (h *Handshake) Info() *adapter.Handshake { return h.s.handshakeInfo() }

func (s *Socket) handshakeInfo() *adapter.Handshake {
	out := &adapter.Handshake{Headers: map[string]any{}, Query: map[string]any{}}
	var auth any = map[string]any{}
	if err := s.Auth(&auth); err != nil {
		s.c.srv.log.Debug("sio: auth payload cannot be described", "id", s.id, "err", err)
	}
	out.Auth = auth
	h := s.c.sess.Handshake()
	if h == nil {
		return out
	}
	t := h.Time()
	out.Time = t.UTC().Format(jsDate) + " (Coordinated Universal Time)"
	out.Issued = t.UnixMilli()
	out.Secure = h.Secure()
	out.Address = h.RemoteAddr()
	if host, _, err := net.SplitHostPort(out.Address); err == nil {
		out.Address = host
	}
	r := h.Request()
	if r == nil {
		return out
	}
	out.URL = r.RequestURI
	out.XDomain = r.Header.Get("Origin") != ""
	out.Headers["host"] = r.Host
	for name, values := range r.Header {
		out.Headers[strings.ToLower(name)] = headerValue(name, values)
	}
	for raw := r.URL.RawQuery; ; {
		name, value, rest, ok := query.Next(raw)
		if !ok {
			return out
		}
		raw, out.Query[name] = rest, value
	}
}

// headerValue joins repeated headers as Node's http does.
func headerValue(name string, values []string) any {
	switch http.CanonicalHeaderKey(name) {
	case "Set-Cookie":
		return values
	case "Cookie":
		return strings.Join(values, "; ")
	}
	return strings.Join(values, ", ")
}

// Issued returns when the connection was opened; zero after the handshake was
// dropped.
func (h *Handshake) Issued() time.Time {
	if e := h.Engine(); e != nil {
		return e.Time()
	}
	return time.Time{}
}
