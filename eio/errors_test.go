package eio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestRefusals holds requests that fail a check, in the order of the checks.
func TestRefusals(t *testing.T) {
	tests := []struct {
		method, path string
		code         ErrorCode
		context      ErrorContext
	}{
		{"GET", "/engine.io/", CodeUnknownTransport, ErrorContext{}},
		{"GET", "/engine.io/?EIO=4", CodeUnknownTransport, ErrorContext{}},
		{"GET", "/engine.io/?EIO=4&transport=abc", CodeUnknownTransport, ErrorContext{Transport: "abc"}},
		{"GET", "/engine.io/?EIO=4&transport=webtransport", CodeUnknownTransport, ErrorContext{Transport: "webtransport"}},
		{"GET", "/engine.io/?EIO=4&transport=__proto__", CodeUnknownTransport, ErrorContext{Transport: "__proto__"}},
		{"POST", "/engine.io/?EIO=4&transport=abc&sid=x", CodeUnknownTransport, ErrorContext{Transport: "abc"}},
		{"GET", "/engine.io/anything/else?EIO=4&transport=abc", CodeUnknownTransport, ErrorContext{Transport: "abc"}},
		{"GET", pollingPath + "&sid=unknown", CodeUnknownSession, ErrorContext{SID: "unknown"}},
		{"POST", pollingPath + "&sid=unknown", CodeUnknownSession, ErrorContext{SID: "unknown"}},
		{"GET", wsPath + "&sid=unknown", CodeUnknownSession, ErrorContext{SID: "unknown"}},
		{"POST", pollingPath, CodeBadHandshakeMethod, ErrorContext{Method: "POST"}},
		{"PUT", pollingPath, CodeBadHandshakeMethod, ErrorContext{Method: "PUT"}},
		{"OPTIONS", pollingPath, CodeBadHandshakeMethod, ErrorContext{Method: "OPTIONS"}},
		{"POST", wsPath, CodeBadHandshakeMethod, ErrorContext{Method: "POST"}},
		{"GET", wsPath, CodeBadRequest, ErrorContext{Name: "TRANSPORT_HANDSHAKE_ERROR"}},
		{"GET", "/engine.io/?EIO=3&transport=websocket", CodeBadRequest, ErrorContext{Name: "TRANSPORT_HANDSHAKE_ERROR"}},
		{"GET", "/engine.io/?transport=polling", CodeUnsupportedProtocol, ErrorContext{}},
		{"GET", "/engine.io/?EIO=3&transport=polling", CodeUnsupportedProtocol, ErrorContext{Protocol: "3"}},
		{"GET", "/engine.io/?EIO=5&transport=polling", CodeUnsupportedProtocol, ErrorContext{Protocol: "5"}},
		{"GET", "/engine.io/?EIO=abc&transport=polling", CodeUnsupportedProtocol, ErrorContext{Protocol: "abc"}},
		{"GET", wsPath + "&sid=KNOWN", CodeBadRequest, ErrorContext{Name: "TRANSPORT_MISMATCH", Transport: "websocket", PreviousTransport: "polling"}},
		{"GET", "/engine.io/?EIO=3&transport=polling&sid=KNOWN", CodeBadRequest, ErrorContext{Name: "PROTOCOL_MISMATCH", Protocol: "3", PreviousProtocol: "4"}},
		{"GET", "/engine.io/?transport=polling&sid=KNOWN", CodeBadRequest, ErrorContext{Name: "PROTOCOL_MISMATCH", PreviousProtocol: "4"}},
		{"GET", pollingPath + "&sid=ONWS", CodeBadRequest, ErrorContext{Name: "TRANSPORT_MISMATCH", Transport: "polling", PreviousTransport: "websocket"}},
		{"POST", pollingPath + "&sid=ONWS", CodeBadRequest, ErrorContext{Name: "TRANSPORT_MISMATCH", Transport: "polling", PreviousTransport: "websocket"}},
	}
	eachDoor(t, func(t *testing.T, d door) {
		reports := make(chan *ConnectionError, 100)
		r := d.open(t, Config{OnConnectionError: func(e *ConnectionError) { reports <- e }}, nil)
		sid := r.poll()
		onWS := r.websocket().open.SID
		for _, tt := range tests {
			path := strings.NewReplacer("KNOWN", sid, "ONWS", onWS).Replace(tt.path)
			r.do(tt.method, path, "").wantCode(tt.code).wantHeader("Cache-Control", "")
			e := wait(t, reports, "the report")
			if e.Code != tt.code || e.Message != tt.code.String() || e.Context != tt.context || e.Request.Method != tt.method {
				t.Errorf("%s %s: reported as %+v", tt.method, tt.path, e)
			}
		}
		r.do("HEAD", pollingPath, "").want(400, "")
		r.wantAlive(sid)
	})
}

// TestUpgradeRefusals holds WebSocket requests that are refused before the 101.
func TestUpgradeRefusals(t *testing.T) {
	for _, reported := range []bool{false, true} {
		t.Run(fmt.Sprintf("reported=%v", reported), func(t *testing.T) {
			eachDoor(t, func(t *testing.T, d door) {
				cfg := Config{Transports: []string{"websocket"}}
				reports := make(chan *ConnectionError, 100)
				if reported {
					cfg.OnConnectionError = func(e *ConnectionError) { reports <- e }
				}
				r := d.open(t, cfg, nil)
				for path, code := range map[string]ErrorCode{
					"/engine.io/?EIO=4":                          CodeUnknownTransport,
					"/engine.io/?EIO=4&transport=polling":        CodeUnknownTransport,
					wsPath + "&sid=unknown":                      CodeUnknownSession,
					"/engine.io/?EIO=3&transport=websocket":      CodeUnsupportedProtocol,
					"/engine.io/?transport=websocket":            CodeUnsupportedProtocol,
					"/engine.io/?EIO=4x&transport=websocket":     CodeUnsupportedProtocol,
					"/engine.io/?EIO=%34%34&transport=websocket": CodeUnsupportedProtocol,
				} {
					c := r.upgrade(path, nil)
					if c.status != 400 || c.body != code.String() || c.header.Get("Content-Type") != "text/html" || !c.closed {
						t.Errorf("%s: got %d %q %v", path, c.status, c.body, c.header)
					}
					c.wantEOF()
					if reported {
						if e := wait(t, reports, "the report"); e.Code != code || e.Request.URL.RequestURI() != path {
							t.Errorf("%s: reported as %+v", path, e)
						}
					}
				}
				if len(r.app.opened) != 0 {
					t.Error("a refused request opened a session")
				}
			})
		})
	}
}

func TestOtherURLs(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for _, path := range []string{"/", "/engine.io", "/engine.io?EIO=4&transport=polling", "/engine.iox/", "/other/engine.io/"} {
			if p := r.do("GET", path, ""); p.status != 404 {
				t.Errorf("%s: got %d", path, p.status)
			}
			if c := r.upgrade(path, nil); c.status != 404 {
				t.Errorf("upgrade %s: got %d", path, c.status)
			}
		}
		r.srv.SetFallback(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			b, _ := io.ReadAll(q.Body)
			fmt.Fprintf(w, "%s %s %s", q.Method, q.URL.Path, b)
		}))
		r.do("POST", "/api", "body").want(200, "POST /api body")
		r.srv.SetFallback(nil)
		if p := r.do("GET", "/api", ""); p.status != 404 {
			t.Errorf("got %d after the fallback was removed", p.status)
		}
	})
}

func TestNoTrailingSlash(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{Path: "/rt/", DisableTrailingSlash: true}, nil)
		for _, path := range []string{"/rt", "/rt/", "/rtx"} {
			parseOpen(t, r.do("GET", path+"?EIO=4&transport=polling", "").body)
			c := r.upgrade(path+"?EIO=4&transport=websocket", nil)
			c.want101()
		}
	})
}

func TestIllegalOrigin(t *testing.T) {
	// net/http itself refuses such a header; the direct door gets to see it.
	for _, d := range doors[2:] {
		t.Run(d.name, func(t *testing.T) {
			r := d.open(t, Config{}, nil)
			nc, err := r.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: x\r\nOrigin: http://a\x01b\r\n\r\n", pollingPath)
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			reply{t: t, status: resp.StatusCode, header: resp.Header, body: string(b)}.wantCode(CodeBadRequest)
			if c := r.upgrade(wsPath, nil, "Origin", "http://\x7f"); c.status != 400 || c.body != "Bad request" {
				t.Errorf("upgrade: got %d %q", c.status, c.body)
			}
		})
	}
}

func TestAllowRequest(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		secret := errors.New("a secret of the server")
		r := d.open(t, Config{AllowRequest: func(r *http.Request) error {
			switch q := r.URL.Query(); {
			case q.Get("deny") != "":
				return fmt.Errorf("wrapped: %w", &RefuseError{Message: q.Get("deny")})
			case q.Has("deny"):
				return secret
			}
			return nil
		}}, nil)
		r.do("GET", pollingPath+"&deny", "").wantCode(CodeForbidden)
		r.do("GET", pollingPath+"&deny=no+%22entry%22", "").want(403, `{"code":4,"message":"no \"entry\""}`)
		if c := r.upgrade(wsPath+"&deny", nil); c.status != 400 || c.body != "Forbidden" {
			t.Errorf("upgrade: got %d %q", c.status, c.body)
		}
		if c := r.upgrade(wsPath+"&deny=go+away", nil); c.status != 400 || c.body != "go away" {
			t.Errorf("upgrade: got %d %q", c.status, c.body)
		}
		// It comes before the revision, and is asked for handshakes only.
		r.do("GET", "/engine.io/?EIO=3&transport=polling&deny", "").wantCode(CodeForbidden)
		sid := r.poll()
		r.post(sid+"&deny", "4x").want(200, "ok")
		r.websocket()
		if r.srv.Sessions() != 2 {
			t.Errorf("%d sessions, want 2", r.srv.Sessions())
		}
	})
}

func TestMaxConns(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxConns: 2}, nil)
		sid := r.poll()
		c := r.websocket()
		r.do("GET", pollingPath, "").wantCode(CodeTooManySessions).wantHeader("Retry-After", "5")
		if c := r.upgrade(wsPath, nil); c.status != 503 || c.body != "Too many sessions" {
			t.Errorf("upgrade: got %d %q", c.status, c.body)
		}
		c.close()
		r.wantClose(TransportClose)
		r.websocket()
		r.wantAlive(sid)
	})
}

func TestGenerateID(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		var mu sync.Mutex
		n := 0
		r := d.open(t, Config{GenerateID: func(r *http.Request) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			n++
			switch r.URL.Query().Get("id") {
			case "fail":
				return "", errors.New("no ids left")
			case "empty":
				return "", nil
			case "same":
				return "same", nil
			}
			return fmt.Sprintf(`q"%d/é`, n), nil
		}}, nil)
		r.do("GET", pollingPath+"&id=fail", "").wantCode(CodeBadRequest)
		r.do("GET", pollingPath+"&id=empty", "").wantCode(CodeBadRequest)
		if got := parseOpen(t, r.do("GET", pollingPath+"&id=same", "").body).SID; got != "same" {
			t.Errorf("sid is %q", got)
		}
		r.do("GET", pollingPath+"&id=same", "").wantCode(CodeBadRequest)
		if c := r.upgrade(wsPath+"&id=same", nil); c.status != 400 || c.body != "Bad request" {
			t.Errorf("upgrade: got %d %q", c.status, c.body)
		}
		if got := r.websocket().open.SID; !strings.HasPrefix(got, `q"`) || !strings.HasSuffix(got, "/é") {
			t.Errorf("sid is %q", got)
		}
		if r.srv.Sessions() != 2 {
			t.Errorf("%d sessions, want 2", r.srv.Sessions())
		}
	})
}
