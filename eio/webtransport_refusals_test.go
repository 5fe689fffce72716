package eio

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
)

// TestWebTransportRefused: requests that are answered without a session.
func TestWebTransportRefused(t *testing.T) {
	var f refusals
	allowed := errors.New("not today")
	cfg := Config{OnConnectionError: f.add, AllowEIO3: true, AllowRequest: func(r *http.Request) error {
		if r.Header.Get("Origin") == "https://evil.test" {
			return allowed
		}
		return nil
	}}
	wtTest(t, cfg, nil, func(r *rig) {
		old := parseOpen(t, func() string {
			b := r.do("GET", "/engine.io/?EIO=3&transport=polling", "").body
			return b[slices.Index([]byte(b), ':')+1:]
		}()).SID
		for _, tt := range []struct {
			query, origin, method string
			status                int
			code                  ErrorCode
			context               ErrorContext
		}{
			{"EIO=4&transport=websocket", "", "CONNECT", 400, CodeUnknownTransport, ErrorContext{Transport: "websocket"}},
			{wtQuery, "a\x01", "CONNECT", 400, CodeBadRequest, ErrorContext{Name: "INVALID_ORIGIN", Origin: "a\x01"}},
			{wtQuery, "", "GET", 400, CodeBadHandshakeMethod, ErrorContext{Method: "GET"}},
			{"EIO=3&transport=webtransport", "", "CONNECT", 400, CodeUnsupportedProtocol, ErrorContext{Protocol: "3"}},
			{wtQuery + "&sid=nobody", "", "CONNECT", 400, CodeUnknownSession, ErrorContext{SID: "nobody"}},
			{wtQuery + "&sid=" + old, "", "CONNECT", 400, CodeBadRequest, ErrorContext{Name: "PROTOCOL_MISMATCH", Protocol: "4", PreviousProtocol: "3"}},
			{wtQuery, "https://evil.test", "CONNECT", 403, CodeForbidden, ErrorContext{}},
		} {
			req := wtRequest(tt.query, "Origin", tt.origin)
			req.Method = tt.method
			c := r.dialWT(req)
			c.wantStatus(tt.status, tt.code)
			got := f.take()
			if len(got) != 1 || got[0].Code != tt.code || got[0].Context != tt.context || got[0].Request != req {
				t.Errorf("%s: reported %+v", tt.query, got)
			}
			if tt.code == CodeForbidden && !errors.Is(got[0], allowed) {
				t.Errorf("reported %v", got[0].Err)
			}
		}
		// An ordinary request that names the transport.
		r.do("GET", "/engine.io/?EIO=4&transport=webtransport", "").wantCode(CodeUnknownTransport)
		if got := r.upgrade("/engine.io/?EIO=4&transport=webtransport", nil); got.status != 400 {
			t.Errorf("upgrade answered with %d", got.status)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := memoryDoors[0].open(t, Config{}, nil)
		r.dialWT(wtRequest(wtQuery)).wantStatus(400, CodeUnknownTransport)
		if up := parseOpen(t, r.do("GET", pollingPath, "").body).Upgrades; !slices.Equal(up, []string{"websocket"}) {
			t.Errorf("upgrades %v", up)
		}
	})
	wtTest(t, Config{DisableUpgrades: true}, nil, func(r *rig) {
		p := parseOpen(t, r.do("GET", pollingPath, "").body)
		if len(p.Upgrades) > 0 {
			t.Errorf("upgrades %v", p.Upgrades)
		}
		r.dialWT(wtRequest(wtQuery+"&sid="+p.SID)).wantStatus(400, CodeBadRequest)
		r.wt(wtQuery, fmt.Sprintf(`0{"sid":%q}`, p.SID)).wantClosed()
		r.webtransport().send("4direct sessions are no upgrades")
		r.wantSaid("direct sessions are no upgrades")
	})
}

// TestWebTransportAlone is a server with no other transport.
func TestWebTransportAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memoryDoors[0].open(t, Config{Transports: []string{"webtransport"}}, nil)
		r.do("GET", pollingPath, "").wantCode(CodeUnknownTransport)
		c := r.webtransport()
		c.send("4hello")
		c.want("4hello")
	})
}

// TestWebTransportHandshake: streams that do not begin with the right packet.
func TestWebTransportHandshake(t *testing.T) {
	var f refusals
	wtTest(t, Config{OnConnectionError: f.add, MaxConns: 2}, nil, func(r *rig) {
		sid := r.poll()
		for _, tt := range []struct {
			query, send string
			code        ErrorCode
			context     string
		}{
			{"", "\x014", CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR"},
			{"", "\x062probe", CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR"},
			{"", "\x00", CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR"},
			{"", "\x810", CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR"}, // binary
			{"", "\x01x", CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR"},
			{"", "\x7e\x10\x01", CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR"}, // one byte more than an OPEN may have
			{"", "\x020x", CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR"},       // no JSON
			{"", "\x030[]", CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR"},
			{"", "\x0a0{\"sid\":1}", CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR"},
			{"", "\x030{}", CodeUnknownSession, ""},
			{"", "\x0d0{\"sid\":\"no\"}", CodeUnknownSession, ""},
			// AllowRequest was not asked, so this must not become a session.
			{wtQuery + "&sid=" + sid, "\x010", CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR"},
		} {
			c := r.dialWT(wtRequest(tt.query))
			c.stream()
			c.write([]byte(tt.send))
			c.wantClosed()
			wait(t, c.answered, "the handler")
			if got := f.take(); len(got) != 1 || got[0].Code != tt.code || got[0].Context.Name != tt.context {
				t.Errorf("%q: reported %v", tt.send, got)
			} else if tooBig := errors.Is(got[0], ErrMessageTooBig); tooBig != (tt.send[0] == 0x7e) {
				t.Errorf("%q: reported %v", tt.send, got[0].Err)
			}
		}
		if n := r.srv.Sessions(); n != 1 {
			t.Errorf("%d sessions", n)
		}

		// The client changes its mind.
		c := r.dialWT(wtRequest(""))
		c.stream()
		c.nc.Close()
		wait(t, c.answered, "the handler")
		if got := f.take(); len(got) != 1 || !errors.Is(got[0], io.EOF) {
			t.Errorf("reported %v", got)
		}

		// Too many sessions.
		r.webtransport()
		c = r.wt("", "0")
		c.wantClosed()
		wait(t, c.answered, "the handler")
		if got := f.take(); len(got) != 1 || got[0].Code != CodeTooManySessions {
			t.Errorf("reported %v", got)
		}
	})
}

// TestWebTransportHandshakeTimeout: no stream, an empty one, half a packet, a byte now and then.
func TestWebTransportHandshakeTimeout(t *testing.T) {
	var f refusals
	wtTest(t, Config{OnConnectionError: f.add, UpgradeTimeout: 3 * time.Second}, nil, func(r *rig) {
		for _, talk := range []func(c *wtClient){
			func(*wtClient) {},
			func(c *wtClient) { c.stream() },
			func(c *wtClient) { c.stream(); c.write([]byte("\x0f0{")) },
			func(c *wtClient) {
				c.stream()
				c.write([]byte{127})
				for c.isOpen() {
					c.nc.Write([]byte{0})
					time.Sleep(time.Second - time.Millisecond)
				}
			},
		} {
			begin := time.Now()
			c := r.dialWT(wtRequest(""))
			talked := make(chan struct{})
			go func() {
				defer close(talked)
				talk(c)
			}()
			wait(t, c.session.ended, "the end of the session")
			if d := time.Since(begin); d != 3*time.Second {
				t.Errorf("ended after %v", d)
			}
			wait(t, c.answered, "the handler")
			wait(t, talked, "the client")
			if got := f.take(); len(got) != 1 || !errors.Is(got[0], ErrUpgradeTimeout) {
				t.Errorf("reported %v", got)
			}
		}
	})
}

// TestWebTransportHooks: middleware and header hooks see the CONNECT request.
func TestWebTransportHooks(t *testing.T) {
	var seen []string
	cfg := Config{
		Middleware: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = append(seen, "middleware "+r.Method)
				if r.Header.Get("X-Refuse") != "" {
					http.Error(w, "no", http.StatusTeapot)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		AllowRequest:     func(r *http.Request) error { seen = append(seen, "allow"); return nil },
		OnInitialHeaders: func(h http.Header, _ *http.Request) { seen = append(seen, "initial"); h.Set("X-Initial", "1") },
		OnHeaders:        func(h http.Header, _ *http.Request) { seen = append(seen, "headers"); h.Set("X-All", "1") },
		GenerateID:       func(r *http.Request) (string, error) { return "id-" + r.Header.Get("X-Name"), nil },
	}
	wtTest(t, cfg, &app{}, func(r *rig) {
		c := r.dialWT(wtRequest(wtQuery, "X-Name", "ada"))
		c.stream()
		c.send("0")
		if open := parseOpen(t, c.text()); open.SID != "id-ada" {
			t.Errorf("id %q", open.SID)
		}
		if !slices.Equal(seen, []string{"middleware CONNECT", "allow", "initial", "headers"}) {
			t.Errorf("called %v", seen)
		}
		if h := c.answer.Result().Header; h.Get("X-Initial") != "1" || h.Get("X-All") != "1" {
			t.Errorf("headers %v", h)
		}
		seen = nil
		refused := r.dialWT(wtRequest(wtQuery, "X-Refuse", "1"))
		wait(t, refused.answered, "the answer")
		if refused.answer.Code != http.StatusTeapot || len(seen) != 1 {
			t.Errorf("answered with %d after %v", refused.answer.Code, seen)
		}
		// An upgrade is no handshake.
		sid := r.poll()
		seen = nil
		c = r.wtCandidate(sid)
		c.send("2probe")
		c.want("3probe")
		if !slices.Equal(seen, []string{"middleware CONNECT", "headers"}) {
			t.Errorf("called %v for an upgrade", seen)
		}
	})
}

// TestWebTransportAcceptFails: the HTTP/3 server could not complete the request, and has
// answered it.
func TestWebTransportAcceptFails(t *testing.T) {
	var f refusals
	wtTest(t, Config{OnConnectionError: f.add}, nil, func(r *rig) {
		h := r.srv.WebTransport(func(w http.ResponseWriter, _ *http.Request) (WebTransportSession, error) {
			http.Error(w, "no", http.StatusNotImplemented)
			return nil, errors.New("cannot")
		})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, wtRequest(wtQuery))
		if w.Code != http.StatusNotImplemented || w.Body.String() != "no\n" || r.srv.Sessions() != 0 || len(f.take()) != 0 {
			t.Errorf("answered with %d %q; %d sessions", w.Code, w.Body, r.srv.Sessions())
		}
	})
}

// TestWebTransportForm: what broadcasts are told about such a session.
func TestWebTransportForm(t *testing.T) {
	wtTest(t, Config{PerMessageDeflate: &PerMessageDeflate{Threshold: 1}}, nil, func(r *rig) {
		sid := r.poll()
		s := r.session()
		if f := s.Form(); f != codec.FormPlain {
			t.Errorf("form %d on polling", f)
		}
		c := r.wtCandidate(sid)
		c.send("5", "4x")
		c.want("4x")
		if f := s.Form(); f != codec.FormWebTransport {
			t.Errorf("form %d on WebTransport", f)
		}
		s.SendMessage([]byte(repeat("not compressed ", 100)), false)
		c.want("4" + repeat("not compressed ", 100))
	})
}
