package eio

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCookie(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		for _, tt := range []struct {
			cookie Cookie
			want   string
		}{
			{Cookie{}, "io=SID; Path=/; HttpOnly; SameSite=Lax"},
			{Cookie{NoPath: true, NoHTTPOnly: true}, "io=SID; SameSite=Lax"},
			{
				Cookie{Name: "node", Path: "/x", Domain: "example.com", MaxAge: time.Minute, Secure: true, SameSite: http.SameSiteStrictMode},
				"node=SID; Path=/x; Domain=example.com; Max-Age=60; HttpOnly; Secure; SameSite=Strict",
			},
		} {
			r := d.open(t, Config{Cookie: &tt.cookie}, nil)
			p := r.do("GET", pollingPath, "")
			sid := parseOpen(t, p.body).SID
			p.wantHeader("Set-Cookie", strings.Replace(tt.want, "SID", sid, 1))
			r.post(sid, "4x").want(200, "ok").wantHeader("Set-Cookie", "")
			// A handshake over WebSocket sets none.
			if got := r.upgrade(wsPath, nil).header.Get("Set-Cookie"); got != "" {
				t.Errorf("101 has the cookie %q", got)
			}
			r.stop()
		}
	})
}

func TestHeaderHooks(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{
			OnInitialHeaders: func(h http.Header, r *http.Request) {
				h.Add("Set-Cookie", "1=1")
				h.Add("Set-Cookie", "2=2")
			},
			OnHeaders: func(h http.Header, r *http.Request) {
				h.Set("X-Method", r.Method+" "+r.URL.Query().Get("transport"))
				h.Set("X-Split", "a\r\nX-Injected: b")
			},
		}, nil)
		check := func(what string, h http.Header, method string, initial bool) {
			t.Helper()
			if got := h.Get("X-Method"); got != method {
				t.Errorf("%s: X-Method is %q, want %q", what, got, method)
			}
			if got := slices.Equal(h["Set-Cookie"], []string{"1=1", "2=2"}); got != initial {
				t.Errorf("%s: cookies are %q", what, h["Set-Cookie"])
			}
			if h.Get("X-Injected") != "" {
				t.Errorf("%s: header injected", what)
			}
		}
		p := r.do("GET", pollingPath, "")
		check("handshake", p.header, "GET polling", true)
		sid := parseOpen(t, p.body).SID
		check("POST", r.post(sid, "4x").header, "POST polling", false)
		check("GET", r.get(sid).header, "GET polling", false)
		c := r.candidate(sid)
		check("candidate", c.header, "GET websocket", false)
		c = r.websocket()
		check("101", c.header, "GET websocket", true)
		c.send("4x")
		c.want("4x")
	})
}

func TestInitialPacket(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{InitialPacket: &InitialPacket{Data: []byte("welcome")}}, nil)
		p := r.do("GET", pollingPath, "")
		packets := strings.Split(p.body, "\x1e")
		if len(packets) != 2 || packets[1] != "4welcome" {
			t.Errorf("first response is %q", p.body)
		}
		r.websocket().want("4welcome")

		r = d.open(t, Config{InitialPacket: &InitialPacket{Data: []byte{1, 2}, Binary: true}}, nil)
		if p := r.do("GET", pollingPath, ""); !strings.HasSuffix(p.body, "\x1ebAQI=") {
			t.Errorf("first response is %q", p.body)
		}
		r.websocket().wantBinary(1, 2)
	})
}

func TestHandshakeBlock(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		begin := time.Now()
		open := []func() *Session{
			func() *Session {
				r.do("GET", pollingPath+"&x=%C3%A9", "", "Cookie", "a=b", "X-Two", "one")
				return r.session()
			},
			func() *Session {
				r.upgrade(wsPath+"&x=%C3%A9", nil, "Cookie", "a=b", "X-Two", "one")
				return r.session()
			},
		}
		for i, f := range open {
			s := f()
			h := s.Handshake()
			q := h.Request()
			if q == nil {
				t.Fatal("the request does not parse")
			}
			if q.Method != "GET" || q.URL.Path != "/engine.io/" || q.URL.Query().Get("x") != "é" || q.Host != r.addr {
				t.Errorf("request is %s %s, host %s", q.Method, q.URL, q.Host)
			}
			if c, err := q.Cookie("a"); err != nil || c.Value != "b" || q.Header.Get("X-Two") != "one" {
				t.Errorf("headers are %v", q.Header)
			}
			if (i == 1) != (q.Header.Get("Upgrade") == "websocket") {
				t.Errorf("headers are %v", q.Header)
			}
			if !strings.HasPrefix(h.RemoteAddr(), "127.0.0.1:") || q.RemoteAddr != h.RemoteAddr() {
				t.Errorf("peer is %q and %q", h.RemoteAddr(), q.RemoteAddr)
			}
			if h.Secure() || q.TLS != nil || h.Time().Before(begin) || time.Since(h.Time()) < 0 {
				t.Errorf("secure %v at %v", h.Secure(), h.Time())
			}
			s.DropHandshake()
			if s.Handshake() != nil {
				t.Error("handshake is still there")
			}
		}
	})
}
