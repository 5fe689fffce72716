package eio

import (
	"net/http"
	"strings"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// ServeHTTP answers Engine.IO requests below Config.Path and gives all others to
// the fallback. It finds Hijack through http.ResponseController, so it works
// behind middleware that wraps the writer; it does not work behind http.TimeoutHandler.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !srv.matches(r) {
		srv.serveForeign(w, r)
		return
	}
	srv.limitBody(w, r)
	srv.warnCORS(r)
	if o := srv.cfg.CORS; o != nil {
		o.set(w.Header(), r.Header.Get("Origin"), r)
		if r.Method == http.MethodOptions {
			o.preflight(w, r)
			return
		}
	}
	if h := srv.file(r); h != nil {
		h.ServeHTTP(w, r)
		return
	}
	srv.chain.ServeHTTP(w, r)
}

// file returns the handler that Config.Files has for r, or nil.
func (srv *Server) file(r *http.Request) http.Handler {
	if len(srv.cfg.Files) == 0 || r.Method != http.MethodGet && r.Method != http.MethodHead || isUpgrade(r) {
		return nil
	}
	path := r.URL.Path
	if !strings.HasPrefix(path, srv.cfg.Path) {
		path, _, _ = strings.Cut(r.RequestURI, "?") // behind http.StripPrefix
	}
	name, ok := strings.CutPrefix(path, strings.TrimSuffix(srv.cfg.Path, "/")+"/")
	if !ok {
		return nil
	}
	return srv.cfg.Files[name]
}

// serve answers an engine request, behind Config.Middleware.
func (srv *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := checked{
		query:   parseQuery(r.URL.RawQuery),
		method:  r.Method,
		origin:  r.Header.Get("Origin"),
		upgrade: isUpgrade(r),
	}
	s, fail := srv.verify(&c)
	if fail == nil && s == nil && srv.admission != nil {
		if c.lease, fail = srv.admit(srv.cfg.Admission.of(r)); fail == nil {
			defer c.giveBack()
		}
	}
	if fail == nil && s == nil {
		fail = srv.allow(r)
		// A polling transport on an upgrade request is refused after the
		// 101, whatever its revision.
		if fail == nil && (!c.upgrade || c.query.transport == "websocket") {
			fail = srv.checkRevision(&c.query)
		}
	}
	switch {
	case fail != nil:
		c.giveBack()
		srv.refuse(w, r, c.upgrade, fail)
	case c.upgrade:
		srv.serveUpgrade(w, r, &c, s)
	case s != nil:
		s.servePolling(w, r, &c.query)
	default:
		srv.servePollingHandshake(w, r, &c)
	}
}

// matches reports whether r is engine traffic: a prefix test on the path. The
// original request line counts too, so that http.StripPrefix in front does no harm.
func (srv *Server) matches(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, srv.cfg.Path) || strings.HasPrefix(r.RequestURI, srv.cfg.Path)
}

// servePollingHandshake opens a session and answers with the OPEN packet.
func (srv *Server) servePollingHandshake(w http.ResponseWriter, r *http.Request, c *checked) {
	q := &c.query
	s, fail := srv.create(r, Polling, newHandshake(r, isSecure(r)), c)
	if fail != nil {
		c.giveBack()
		srv.refuse(w, r, false, fail)
		return
	}
	srv.open(s)
	answered := false
	defer func() {
		if !answered { // a header hook has panicked: the client does not know its session
			s.Discard(TransportError)
		}
	}()

	if srv.cfg.Cookie != nil {
		http.SetCookie(w, srv.cfg.Cookie.http(s.id, isSecure(r)))
	}
	script := ""
	if q.script {
		script = scriptHead(q.callback)
	}
	var packet [256]byte
	open := codec.NewTextFrame(codec.Open, srv.polling.append(packet[:0], s.id)[1:])
	frames := []*pool.Frame{open}
	if f := srv.initialFrame(); f != nil {
		frames = append(frames, f)
	}
	defer func() {
		for _, f := range frames {
			f.Release()
		}
	}()
	srv.writePayload(w, r, newPayload(formOf(q.v3(), q.base64 || q.script), frames...), script, true)
	answered = true
}

// callHeaderHooks lets the application change the headers of a response.
func (srv *Server) callHeaderHooks(h http.Header, r *http.Request, initial bool) {
	if initial && srv.cfg.OnInitialHeaders != nil {
		srv.cfg.OnInitialHeaders(h, r)
	}
	if srv.cfg.OnHeaders != nil {
		srv.cfg.OnHeaders(h, r)
	}
}

// refuse answers a request that failed a check: JSON for HTTP, and for an
// upgrade the plain text on a connection that is then closed.
func (srv *Server) refuse(w http.ResponseWriter, r *http.Request, upgrade bool, f *failure) {
	srv.report(r, f)
	if upgrade {
		if nc, _, err := http.NewResponseController(w).Hijack(); err == nil {
			refuseRaw(nc, f)
			return
		}
	}
	if after := f.retryAfter(); after != "" {
		w.Header().Set("Retry-After", after)
	} else if f.code.status() == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	noSniff(w.Header())
	writeBody(w, f.code.status(), "application/json", f.body())
}

// report tells the application of a refused request.
func (srv *Server) report(r *http.Request, f *failure) {
	srv.stats.refuse(f.code)
	srv.log.Debug("eio: request refused", "code", int(f.code), "message", f.text(), "context", f.context.Name, "err", f.err)
	if srv.cfg.OnConnectionError != nil {
		srv.cfg.OnConnectionError(&ConnectionError{Code: f.code, Message: f.text(), Context: f.context, Request: r, Err: f.err})
	}
}

// isUpgrade reports whether r asks for a WebSocket. HTTP/2 has no such requests.
func isUpgrade(r *http.Request) bool {
	return r.ProtoMajor == 1 && headerHasToken(r.Header["Connection"], "upgrade") && headerHasToken(r.Header["Upgrade"], "websocket")
}

func headerHasToken(values []string, token string) bool {
	for _, v := range values {
		if hasToken(v, token) {
			return true
		}
	}
	return false
}

// hasToken reports whether the comma-separated list v holds token, in any case.
func hasToken(v, token string) bool {
	for v != "" {
		var item string
		item, v, _ = strings.Cut(v, ",")
		if strings.EqualFold(strings.Trim(item, " \t"), token) {
			return true
		}
	}
	return false
}
