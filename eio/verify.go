package eio

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// failure is the reason a request is refused.
type failure struct {
	code    ErrorCode
	message string // what the client reads; empty: the code's
	context ErrorContext
	err     error

	// for refused upgrades
	status int    // of the response; 0: the code's
	header string // further lines of it, each with its end

	retry time.Duration // when it makes sense to try again; 0: unknown
}

// retryAfter returns retry in whole seconds, rounded up, or "".
func (f *failure) retryAfter() string {
	if f.retry <= 0 {
		return ""
	}
	return strconv.Itoa(int((f.retry + time.Second - 1) / time.Second))
}

func (f *failure) text() string {
	if f.message != "" {
		return f.message
	}
	return f.code.String()
}

// body is the JSON of a polling response: {"code":0,"message":"Transport unknown"}.
func (f *failure) body() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // as JSON.stringify: the text is for a person
	if err := e.Encode(struct {
		Code    ErrorCode `json:"code"`
		Message string    `json:"message"`
	}{f.code, f.text()}); err != nil {
		panic(err) // an int and a string
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// checked is what verify looks at, from either door.
type checked struct {
	query   query
	method  string
	origin  string
	upgrade bool // asks for a WebSocket

	lease lease // of a handshake that was admitted
}

// verify makes the checks that need no user code, in the reference's order. It
// returns the session the request belongs to, nil for a handshake.
func (srv *Server) verify(c *checked) (*Session, *failure) {
	q := &c.query
	if !slices.Contains(srv.cfg.Transports, q.transport) || q.transport == "webtransport" { // which has its own entry
		return nil, &failure{code: CodeUnknownTransport, context: ErrorContext{Transport: q.transport}}
	}
	if !validHeaderValue(c.origin) {
		return nil, &failure{code: CodeBadRequest, context: ErrorContext{Name: "INVALID_ORIGIN", Origin: c.origin}}
	}
	if q.sid != "" {
		return srv.verifySession(c)
	}
	if c.method != http.MethodGet {
		return nil, &failure{code: CodeBadHandshakeMethod, context: ErrorContext{Method: c.method}}
	}
	if q.transport == "websocket" && !c.upgrade {
		return nil, &failure{code: CodeBadRequest, context: ErrorContext{Name: "TRANSPORT_HANDSHAKE_ERROR"}}
	}
	if srv.draining.Load() {
		return nil, &failure{code: CodeShuttingDown} // a whole herd may be coming: no hooks are asked
	}
	return nil, nil
}

func (srv *Server) verifySession(c *checked) (*Session, *failure) {
	q := &c.query
	s := srv.sessions.get(q.sid)
	if s == nil || !s.current() {
		return nil, &failure{code: CodeUnknownSession, context: ErrorContext{SID: q.sid}}
	}
	if t := s.Transport(); !c.upgrade && t.String() != q.transport {
		return nil, mismatch(q.transport, t)
	}
	if q.v3() != s.v3 {
		return nil, &failure{code: CodeBadRequest, context: ErrorContext{Name: "PROTOCOL_MISMATCH", Protocol: q.eio, PreviousProtocol: strconv.Itoa(s.Protocol())}}
	}
	if c.upgrade && srv.cfg.DisableUpgrades && q.transport == "websocket" {
		return nil, mismatch(q.transport, s.Transport())
	}
	return s, nil
}

func mismatch(asked string, current Transport) *failure {
	return &failure{code: CodeBadRequest, context: ErrorContext{Name: "TRANSPORT_MISMATCH", Transport: asked, PreviousTransport: current.String()}}
}

// allow runs the application's check on a handshake.
func (srv *Server) allow(r *http.Request) *failure {
	if srv.cfg.AllowRequest == nil {
		return nil
	}
	err := srv.cfg.AllowRequest(r)
	if err == nil {
		return nil
	}
	f := &failure{code: CodeForbidden, err: err}
	if re, ok := errors.AsType[*RefuseError](err); ok {
		f.message = re.Message
		f.context.Message = re.Message
	}
	return f
}

// checkRevision is the last check of a handshake.
func (srv *Server) checkRevision(q *query) *failure {
	if q.v3() && !srv.cfg.AllowEIO3 {
		return &failure{code: CodeUnsupportedProtocol, context: ErrorContext{Protocol: q.eio}}
	}
	return nil
}

// validHeaderValue reports whether v has no control characters.
func validHeaderValue(v string) bool {
	for i := range len(v) {
		if b := v[i]; (b < ' ' && b != '\t') || b == 0x7f {
			return false
		}
	}
	return true
}
