package eio

import (
	"net/http"
	"slices"
	"strings"

	"github.com/epio-go/epio/internal/gcra"
)

// corsWarnings bounds what a stranger can have written to the log: five at once, then one a
// minute.
var corsWarnings = gcra.New(1.0/60, 5)

// warnCORS says in the log what a browser would say in its console: that the answer to this
// polling request will be withheld from the page. WebSockets are not subject to CORS.
func (srv *Server) warnCORS(r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" || isUpgrade(r) {
		return
	}
	if _, host, ok := strings.Cut(origin, "://"); ok && strings.EqualFold(host, r.Host) {
		return
	}
	o, problem := srv.cfg.CORS, ""
	switch {
	case o == nil:
		problem = "Config.CORS is not set"
	case o.AllowOrigin != nil || o.Reflect || o.Origins[0] == "*" || slices.Contains(o.Origins, origin):
		// A browser sends cookies only if the page asks for it, withCredentials: true.
		if r.Header.Get("Cookie") == "" || o.Credentials {
			return
		}
		problem = "the request has cookies, CORS.Credentials is not set"
	default:
		problem = "the origin is not among CORS.Origins"
	}
	if srv.corsWarned.Take(corsWarnings, srv.now()) > 0 {
		return
	}
	srv.log.Warn("eio: browsers refuse this cross-origin request", "problem", problem,
		"origin", clip(origin), "host", clip(r.Host), "remote", r.RemoteAddr)
}

// clip shortens what a stranger sent for the log.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
