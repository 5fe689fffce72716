package eio

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// Middleware sees every request of the engine and nothing else.
func TestMiddleware(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		var seen atomic.Int64
		r := d.open(t, Config{
			CORS: &CORSOptions{},
			Middleware: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					seen.Add(1)
					if r.Header.Get("X-Token") != "let me in" {
						http.Error(w, "who are you?", http.StatusUnauthorized)
						return
					}
					w.Header().Set("X-Seen", "yes")
					next.ServeHTTP(w, r)
				})
			},
		}, nil)
		token := []string{"X-Token", "let me in"}
		want := func(what string, h http.Header) {
			t.Helper()
			if h.Get("X-Seen") != "yes" || h.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: got the headers %v", what, h)
			}
		}

		refused := r.do("GET", pollingPath, "").want(401, "who are you?\n")
		if refused.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("refused without CORS: %v", refused.header)
		}
		if c := r.upgrade(wsPath, nil); c.status != 401 {
			t.Errorf("a WebSocket was answered with %d", c.status)
		}
		p := r.do("GET", pollingPath, "", token...)
		want("handshake", p.header)
		sid := parseOpen(t, p.body).SID
		want("POST", r.do("POST", pollingPath+"&sid="+sid, "4x", token...).want(200, "ok").header)
		want("GET", r.do("GET", pollingPath+"&sid="+sid, "", token...).want(200, "4x").header)
		c := r.upgrade(wsPath, nil, token...)
		c.want101()
		want("101", c.header)
		parseOpen(t, c.text())
		if n := seen.Load(); n != 6 {
			t.Errorf("the middleware saw %d requests, want 6", n)
		}
	})
}

// Files are served below Path, in front of Middleware.
func TestFiles(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{
			CORS: &CORSOptions{},
			Middleware: func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
			},
			Files: map[string]http.Handler{
				"a.js": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Method+" "+r.URL.RawQuery) }),
			},
		}, nil)
		path, _, _ := strings.Cut(pollingPath, "?")
		path = strings.TrimSuffix(path, "/")
		got := r.do("GET", path+"/a.js?x=1", "").want(200, "GET x=1")
		if got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("without CORS: %v", got.header)
		}
		r.do("HEAD", path+"/a.js", "").want(200, "")
		for _, other := range []string{"/b.js", "/a.js/", "/a", "/"} {
			if p := r.do("GET", path+other, ""); p.status != http.StatusTeapot {
				t.Errorf("%s: status %d, want the engine's", other, p.status)
			}
		}
		if p := r.do("POST", path+"/a.js", ""); p.status != http.StatusTeapot {
			t.Errorf("POST: status %d, want the engine's", p.status)
		}
	})
}
