package eio

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

const goodHead = "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
	"Origin: https://example.com\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nUser-Agent: test\r\n\r\n"

func TestParseHead(t *testing.T) {
	h, ok := parseHead(goodHead)
	want := head{
		opening: opening{method: "GET", key: "dGhlIHNhbXBsZSBub25jZQ==", version: "13"},
		path:    "/engine.io/", query: "EIO=4&transport=websocket", origin: "https://example.com", upgrade: true,
	}
	if !ok || h != want {
		t.Errorf("got %+v %v", h, ok)
	}
	swap := func(old, new string) string { return strings.Replace(goodHead, old, new, 1) }
	for name, tt := range map[string]struct {
		raw string
		ok  bool
	}{
		"lower case":             {strings.ToLower(goodHead[:strings.Index(goodHead, "Sec-")]) + "\r\n", false}, // "get" and "http/1.1"
		"lower-case names":       {"GET / HTTP/1.1\r\n" + strings.ToLower(goodHead[strings.Index(goodHead, "Host"):]), true},
		"HTTP/1.0":               {swap("HTTP/1.1", "HTTP/1.0"), false},
		"no version":             {swap(" HTTP/1.1", ""), false},
		"two spaces":             {swap("GET ", "GET  "), false},
		"absolute target":        {swap("/engine.io/?", "http://example.com/engine.io/?"), false},
		"control byte in target": {swap("EIO=4", "EIO=\x014"), false},
		"raw UTF-8 in target":    {swap("EIO=4", "EIO=é"), false},
		"fragment in target":     {swap("EIO=4", "EIO=#4"), false},
		"no host":                {swap("Host: example.com\r\n", ""), false},
		"no name as a host":      {swap("Host: example.com", "Host: exa/mple"), false},
		"empty host":             {swap("Host: example.com", "Host:"), true},
		"IPv6 as a host":         {swap("Host: example.com", "Host: [::1%25lo]:80"), true},
		"two hosts":              {swap("Host: example.com\r\n", "Host: a\r\nHost: b\r\n"), false},
		"folded line":            {swap("User-Agent: test", "User-Agent: te\r\n st"), false},
		"space before the colon": {swap("Host:", "Host :"), false},
		"no colon":               {swap("User-Agent: test", "User-Agent"), false},
		"bare LF":                {swap("User-Agent: test", "User-Agent: test\nX: y"), false},
		"NUL in a value":         {swap("test", "te\x00st"), false},
		"a body":                 {swap("User-Agent: test", "Content-Length: 5"), false},
		"a chunked body":         {swap("User-Agent: test", "Transfer-Encoding: chunked"), false},
		"Expect":                 {swap("User-Agent: test", "Expect: 100-continue"), false},
		"two keys":               {swap("User-Agent: test", "Sec-WebSocket-Key: x"), false},
		"two origins":            {swap("User-Agent: test", "Origin: x"), false},
		"illegal origin":         {swap("https://example.com", "https://exam\x01ple.com"), true},
		"line break in origin":   {swap("https://example.com", "https://exam\nple.com"), false},
		"empty":                  {"\r\n\r\n", false},
		"no line break":          {"GET / HTTP/1.1", false},
		"no blank line":          {"GET / HTTP/1.1\r\nHost: x", false},
	} {
		if _, ok := parseHead(tt.raw); ok != tt.ok {
			t.Errorf("%s: got %v, want %v", name, ok, tt.ok)
		}
	}
	for name, raw := range map[string]string{
		"other upgrade": swap("Upgrade: websocket", "Upgrade: h2c"),
		"no upgrade":    swap("Upgrade: websocket\r\n", ""),
		"no connection": swap("Connection: keep-alive, Upgrade\r\n", ""),
		"keep-alive":    swap("keep-alive, Upgrade", "keep-alive"),
		"token within":  swap("keep-alive, Upgrade", "keep-alive, Upgrades"),
	} {
		if h, ok := parseHead(raw); !ok || h.upgrade {
			t.Errorf("%s: got %+v %v", name, h, ok)
		}
	}
}

// FuzzHead checks the parser of the direct door against net/http: what it accepts,
// net/http accepts and understands in the same way.
func FuzzHead(f *testing.F) {
	f.Add(goodHead)
	f.Add("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	f.Add("GET /?a=%zz HTTP/1.1\r\nHost:\r\nA:b\r\n\r\n")
	f.Add("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
	f.Fuzz(func(t *testing.T, raw string) {
		n := findHead([]byte(raw), 0)
		if n == 0 {
			return
		}
		for cut := range min(n, 40) {
			if m := findHead([]byte(raw), n-cut-1); m != n && findHead([]byte(raw[:n-cut-1]), 0) == 0 {
				t.Fatalf("found at %d, and at %d after having seen %d", n, m, n-cut-1)
			}
		}
		h, ok := parseHead(raw[:n])
		if !ok || !validHeaderValue(h.origin) {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			if strings.Contains(err.Error(), "invalid URL escape") {
				return // the path is only compared
			}
			t.Fatalf("net/http says %v", err)
		}
		if r.Method != h.method || r.RequestURI != h.path+map[bool]string{true: "?"}[strings.Contains(r.RequestURI, "?")]+h.query {
			t.Errorf("got %+v, net/http %s %s", h, r.Method, r.RequestURI)
		}
		if r.Header.Get("Origin") != h.origin || r.Header.Get("Sec-WebSocket-Key") != h.key || r.Header.Get("Sec-WebSocket-Version") != h.version {
			t.Errorf("got %+v, net/http %v", h, r.Header)
		}
		if isUpgrade(r) != h.upgrade {
			t.Errorf("upgrade is %v, net/http %v", h.upgrade, isUpgrade(r))
		}
		if r.ContentLength != 0 {
			t.Errorf("a body of %d bytes", r.ContentLength)
		}
	})
}

func TestParseQuery(t *testing.T) {
	for raw, want := range map[string]query{
		"":                                     {},
		"EIO=4&transport=polling&sid=a-_Z&t=x": {eio: "4", transport: "polling", sid: "a-_Z"},
		"EIO=3&EIO=4&sid=&b64=1":               {eio: "4", base64: true},
		"sid=a&sid=&transport=x&transport=y":   {transport: "y"},
		"b64=1&b64=&j=1&j=2":                   {script: true, callback: "2"},
		"b64=":                                 {},
		"b64":                                  {},
		"%45IO=%34&sid=a%2Fb+c":                {eio: "4", sid: "a/b c"},
		"sid=%zz%41&transport":                 {sid: "%zzA"},
		"&&=&x=y&EIO==4":                       {eio: "=4"},
		"eio=4&SID=x":                          {},
		"j=12":                                 {script: true, callback: "12"},
		"j":                                    {script: true},
		"j=1);alert(2":                         {script: true, callback: "12"},
		"j=%31%00\u0662":                       {script: true, callback: "1"},
	} {
		if got := parseQuery(raw); got != want {
			t.Errorf("%q: got %+v, want %+v", raw, got, want)
		}
	}
}
