package eio

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

// goodUpgrade has a place for more lines.
const goodUpgrade = "GET " + wsPath + " HTTP/1.1\r\nHost: x\r\n@Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// TestAttackSmuggling sends requests that two parsers may cut in different ways: the own
// listener's and net/http's must not. The second request of each, for a session of polling, must
// not be seen as one where it is part of the first.
func TestAttackSmuggling(t *testing.T) {
	const second = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"
	with := func(lines string) string { return strings.Replace(goodUpgrade, "@", lines, 1) }
	tests := map[string]struct {
		request string
		status  int // of the only answer; 0: none
		more    int // answers behind it
	}{
		"two requests":                      {"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" + second, 404, 1},
		"CL and TE":                         {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second, 404, 1}, // RFC 9112 section 6.3: the chunks count
		"TE and CL":                         {"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + second, 404, 1},
		"two CL":                            {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n" + second, 400, 0},
		"CL list":                           {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 5\r\n\r\n" + second, 400, 0},
		"CL with sign":                      {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n" + second, 400, 0},
		"unknown TE":                        {"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n" + second, 501, 0},
		"two TE":                            {"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + second, 501, 0},
		"space before the colon":            {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n" + second, 400, 0},
		"no host":                           {"GET /x HTTP/1.1\r\n\r\n" + second, 400, 0},
		"two hosts":                         {"GET /x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + second, 400, 0},
		"NUL":                               {"GET /x HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n" + second, 400, 0},
		"CR in a value":                     {"GET /x HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n" + second, 400, 0},
		"upgrade, then a request":           {with("") + second, 101, 0},
		"upgrade with a body":               {with("Content-Length: 5\r\n") + "12345" + second, 101, 0},
		"upgrade with chunks":               {with("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n" + second, 101, 0},
		"upgrade with CL and TE":            {with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n" + second, 101, 0},
		"upgrade with two CL":               {with("Content-Length: 0\r\nContent-Length: 5\r\n") + second, 400, 0},
		"upgrade, bare LF":                  {strings.ReplaceAll(with(""), "\r\n", "\n") + second, 101, 0},
		"upgrade, one bare LF":              {with("A: b\nC: d\r\n") + second, 101, 0},
		"upgrade, folded line":              {with("A: b\r\n c\r\n") + second, 101, 0},
		"upgrade, folded name":              {with(" A: b\r\n") + second, 400, 0},
		"upgrade, space before a colon":     {with("A : b\r\n") + second, 400, 0},
		"upgrade, NUL":                      {with("A: \x00\r\n") + second, 400, 0},
		"upgrade, CR in a value":            {with("A: b\rC: d\r\n") + second, 400, 0},
		"upgrade, two hosts":                {with("Host: y\r\n") + second, 400, 0},
		"refused upgrade, then a request":   {strings.Replace(with(""), "EIO=4", "EIO=9", 1) + second, 400, 0},
		"upgrade that is none, then a body": {strings.Replace(with("Content-Length: 61\r\n"), "Upgrade: websocket", "Upgrade: h2c", 1) + second, 400, 0},
	}
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				nc := r.ask(tt.request)
				defer nc.Close()
				br := bufio.NewReader(nc)
				status := 0
				resp, err := http.ReadResponse(br, &http.Request{Method: "GET"})
				if err == nil {
					status = resp.StatusCode
				}
				if status != tt.status {
					t.Fatalf("answered with %d, %v; want %d", status, err, tt.status)
				}
				if status != 101 {
					io.Copy(io.Discard, resp.Body)
				}
				closeWrite(nc)
				rest, _ := io.ReadAll(br)
				if n := strings.Count(string(rest), "HTTP/1.1 "); n != tt.more {
					t.Errorf("%d more answers, want %d: %q", n, tt.more, rest)
				}
			})
		}
		r.ordinary().served()
	})
}

// TestAttackHeaderInjection has line breaks in everything that a client says and may hear again. No
// answer may have a header of the client's making.
func TestAttackHeaderInjection(t *testing.T) {
	cfg := Config{CORS: &CORSOptions{Credentials: true, Reflect: true}, Cookie: &Cookie{}}
	eachAttacked(t, func(t *testing.T, d door) { testInjection(t, d, cfg) })
	// With a hook, WebSocket handshakes go through net/http at every door.
	cfg.OnHeaders = func(h http.Header, r *http.Request) {
		h.Set("Echo", r.Header.Get("Echo")+r.URL.Query().Get("echo"))
	}
	eachAttacked(t, func(t *testing.T, d door) { testInjection(t, d, cfg) })
}

func testInjection(t *testing.T, d door, cfg Config) {
	r := d.open(t, cfg, nil)
	const evil = "Evil: yes"
	for _, breaks := range []string{"\r\n", "\n", "\r", "\x00\r\n", "\u0085", "\u2028", "%0d%0a", "%0D%0A%0D%0A", "\\r\\n"} {
		for name, request := range map[string]string{
			"origin":      strings.Replace(goodUpgrade, "@", "Origin: https://good.example"+breaks+"$\r\n", 1),
			"subprotocol": strings.Replace(goodUpgrade, "@", "Sec-WebSocket-Protocol: a"+breaks+"$\r\n", 1),
			"key":         strings.Replace(goodUpgrade, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="+breaks+"$", 1),
			"extensions":  strings.Replace(goodUpgrade, "@", "Sec-WebSocket-Extensions: permessage-deflate"+breaks+"$\r\n", 1),
			"cookie":      strings.Replace(goodUpgrade, "@", "Cookie: io=x"+breaks+"$\r\n", 1),
			"echo":        strings.Replace(goodUpgrade, "@", "Echo: x"+breaks+"$\r\n", 1),
			"query":       strings.Replace(goodUpgrade, "EIO=4", "EIO=4&echo="+breaks+"$", 1),
			"path":        strings.Replace(goodUpgrade, "/engine.io/", "/engine.io/"+breaks+"$/", 1),
			"sid":         strings.Replace(goodUpgrade, "EIO=4", "EIO=4&sid="+breaks+"$", 1),
			"transport":   strings.Replace(goodUpgrade, "transport=websocket", "transport=x"+breaks+"$", 1),
			"polling":     "GET " + pollingPath + "&echo=" + breaks + "$ HTTP/1.1\r\nHost: x\r\nOrigin: https://good.example" + breaks + "$\r\n\r\n",
			"script":      "GET " + pollingPath + "&j=" + breaks + "$ HTTP/1.1\r\nHost: x\r\n\r\n",
			"preflight":   "OPTIONS " + pollingPath + " HTTP/1.1\r\nHost: x\r\nOrigin: https://good.example\r\nAccess-Control-Request-Headers: x" + breaks + "$\r\n\r\n",
		} {
			request = strings.Replace(strings.ReplaceAll(request, "$", evil), "@", "", 1)
			nc := r.ask(request)
			var head strings.Builder
			for br := bufio.NewReader(nc); ; {
				line, err := br.ReadString('\n')
				head.WriteString(line)
				if err != nil || line == "\r\n" {
					break
				}
			}
			nc.Close()
			if !strings.HasPrefix(head.String(), "HTTP/1.1 ") {
				t.Errorf("%s, %q: answered with %q", name, breaks, head.String())
			}
			for line := range strings.FieldsFuncSeq(head.String(), func(r rune) bool { return r == '\r' || r == '\n' }) {
				if strings.HasPrefix(line, "Evil") {
					t.Errorf("%s, %q: answered with\n%s", name, breaks, head.String())
				}
			}
		}
	}
	r.ordinary().served()
}

// TestAttackCrossOriginWebSocket holds what the documentation says of pages of other sites: CORS does
// not keep them from opening WebSockets, AllowRequest does, before there is a session.
func TestAttackCrossOriginWebSocket(t *testing.T) {
	cors := &CORSOptions{Origins: []string{"https://good.example"}}
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.open(t, Config{CORS: cors}, nil)
		c := r.upgrade(wsPath, nil, "Origin", "https://evil.example")
		c.want101()
		if got := c.header.Get("Access-Control-Allow-Origin"); got == "https://evil.example" || got == "*" {
			t.Errorf("allowed is %q", got)
		}
		r.stop()

		r = d.open(t, Config{CORS: cors, AllowRequest: func(r *http.Request) error {
			if o := r.Header.Get("Origin"); o != "" && o != "https://good.example" {
				return &RefuseError{Message: "origin"}
			}
			return nil
		}}, nil)
		for _, origin := range []string{"https://evil.example", "https://good.example.evil.example", "null", "https://good.example:8443", "http://good.example"} {
			if c := r.upgrade(wsPath, nil, "Origin", origin); c.status != 400 || c.body != "origin" {
				t.Errorf("%s: %d %q", origin, c.status, c.body)
			}
			r.do("GET", pollingPath, "", "Origin", origin).want(403, `{"code":4,"message":"origin"}`)
		}
		if n := r.srv.Sessions(); n != 0 {
			t.Errorf("%d sessions", n)
		}
		r.upgrade(wsPath, nil, "Origin", "https://good.example").want101()
	})
}
