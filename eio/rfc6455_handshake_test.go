package eio

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const goodOpening = "GET " + wsPath + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// TestOpeningHandshake holds opening handshakes, good and bad.
//
// Source: RFC 6455 section 4.2 and RFC 9112 sections 3 and 5. Statuses and texts of
// refusals are the reference's, unless net/http gives the answer.
func TestOpeningHandshake(t *testing.T) {
	const (
		key     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		version = "Sec-WebSocket-Version: 13\r\n"
		noKey   = "Missing or invalid Sec-WebSocket-Key header"
		noVer   = "Missing or invalid Sec-WebSocket-Version header"
	)
	tests := []struct {
		name     string
		old, new string // a change to goodOpening
		status   int
		body     string // of a refusal; net/http's own are not compared
	}{
		{"good", "", "", 101, ""},
		{"lower-case names", "Sec-WebSocket-Key", "sec-websocket-key", 101, ""},
		{"upper-case names", "Upgrade: websocket", "UPGRADE: WEBSOCKET", 101, ""},
		{"mixed-case tokens", "Connection: Upgrade", "Connection: uPgrAde", 101, ""},
		{"several tokens", "Connection: Upgrade", "Connection: keep-alive,  Upgrade ,x", 101, ""},
		{"several headers of tokens", "Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade", 101, ""},
		{"several protocols to choose from", "Upgrade: websocket", "Upgrade: h2c, websocket", 101, ""},
		{"no space behind the colon", "Upgrade: websocket", "Upgrade:websocket", 101, ""},
		{"much space around values", key, "Sec-WebSocket-Key:  \t dGhlIHNhbXBsZSBub25jZQ== \t\r\n", 101, ""},
		{"a folded line", "Host: x", "Host: x\r\nX-Folded: a\r\n b", 101, ""},
		{"unknown extension", "Host: x", "Host: x\r\nSec-WebSocket-Extensions: x-unknown; a=1", 101, ""},
		{"any origin", "Host: x", "Host: x\r\nOrigin: https://elsewhere.example", 101, ""},

		{"no key", key, "", 400, noKey},
		{"empty key", key, "Sec-WebSocket-Key:\r\n", 400, noKey},
		{"two keys", key, key + key, 400, noKey},
		{"an empty key and a good one", key, "Sec-WebSocket-Key:\r\n" + key, 400, noKey},
		{"short key", key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", 400, noKey},
		{"15 bytes of key", key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n", 400, noKey},
		{"17 bytes of key", key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE=\r\n", 400, noKey},
		{"key with an odd byte", "ZSBub25jZQ==", "ZSBub2-jZQ==", 400, noKey},
		{"no version", version, "", 400, noVer},
		{"old version", version, "Sec-WebSocket-Version: 7\r\n", 400, noVer},
		{"version 8", version, "Sec-WebSocket-Version: 8\r\n", 400, noVer},
		{"later version", version, "Sec-WebSocket-Version: 14\r\n", 400, noVer},
		{"list of versions", version, "Sec-WebSocket-Version: 13, 8\r\n", 400, noVer},
		{"two versions", version, version + version, 400, noVer},
		{"version that is no number", version, "Sec-WebSocket-Version: x\r\n", 400, noVer},
		{"POST", "GET", "POST", 400, "Bad handshake method"},
		{"HTTP/1.0", "HTTP/1.1", "HTTP/1.0", 400, "Invalid HTTP version"},
		{"malformed subprotocols", "Host: x", "Host: x\r\nSec-WebSocket-Protocol: a,,b", 400, "Invalid Sec-WebSocket-Protocol header"},
		{"subprotocol that is no token", "Host: x", "Host: x\r\nSec-WebSocket-Protocol: a b", 400, "Invalid Sec-WebSocket-Protocol header"},
		{"other upgrade", "Upgrade: websocket", "Upgrade: h2c", 400, `{"code":3,"message":"Bad request"}`},
		{"no upgrade", "Upgrade: websocket\r\n", "", 400, `{"code":3,"message":"Bad request"}`},
		{"no connection header", "Connection: Upgrade\r\n", "", 400, `{"code":3,"message":"Bad request"}`},
		{"token within another", "Connection: Upgrade", "Connection: Upgrades", 400, `{"code":3,"message":"Bad request"}`},

		{"no host", "Host: x\r\n", "", 400, "net/http"},
		{"two hosts", "Host: x\r\n", "Host: x\r\nHost: y\r\n", 400, "net/http"},
		{"space before a colon", "Host: x", "Host: x\r\nX-Space : a", 400, "net/http"},
		{"no colon", "Host: x", "Host: x\r\nnonsense", 400, "net/http"},
		{"control byte in a value", "Host: x", "Host: x\r\nX: a\x01b", 400, "net/http"},
		{"HTTP/2.0", "HTTP/1.1", "HTTP/2.0", 505, "net/http"},
		{"no HTTP version", " HTTP/1.1", "", 400, "net/http"},
	}
	eachStrictDoor(t, func(t *testing.T, d door) {
		reports := make(chan *ConnectionError, len(tests))
		for _, cfg := range []Config{{}, {OnConnectionError: func(e *ConnectionError) { reports <- e }}} {
			r := d.open(t, cfg, nil)
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					c := r.raw(t, strings.Replace(goodOpening, tt.old, tt.new, 1))
					if c.status != tt.status {
						t.Fatalf("got %d %q, want %d", c.status, c.body, tt.status)
					}
					if c.status == 101 {
						c.want101()
						c.text() // OPEN
						return
					}
					if tt.body == "net/http" {
						return
					}
					if c.body != tt.body {
						t.Errorf("got %q, want %q", c.body, tt.body)
					}
					if cfg.OnConnectionError != nil {
						e := wait(t, reports, "the report")
						if !strings.Contains(tt.body, e.Message) {
							t.Errorf("reported as %q", e.Message)
						}
					}
					if strings.HasPrefix(tt.body, "{") {
						return // an ordinary response
					}
					if c.header.Get("Content-Type") != "text/html" || !c.closed {
						t.Errorf("header is %v", c.header)
					}
					want := ""
					if tt.body == noVer { // RFC 6455 section 4.4
						want = "13"
					}
					if got := c.header.Get("Sec-WebSocket-Version"); got != want {
						t.Errorf("Sec-WebSocket-Version is %q, want %q", got, want)
					}
					c.wantEOF()
				})
			}
			r.stop()
		}
	})
}

// raw sends a request as it stands and reads the response head.
func (r *rig) raw(t *testing.T, request string) *wsClient {
	t.Helper()
	nc, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	return newWSClient(t, nc, []byte(request))
}

func TestOpeningWithSID(t *testing.T) {
	// A candidate's handshake is checked just the same, and costs the session nothing.
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		for _, tt := range []struct {
			old, new string
			status   int
			body     string
		}{
			{"GET", "POST", 405, "Invalid HTTP method"},
			{"Version: 13", "Version: 12", 400, "Missing or invalid Sec-WebSocket-Version header"},
			{"websocket HTTP/1.1", "websocket HTTP/1.0", 400, "Invalid HTTP version"},
			{"dGhl", "", 400, "Missing or invalid Sec-WebSocket-Key header"},
		} {
			request := strings.Replace(goodOpening, tt.old, tt.new, 1)
			c := r.raw(t, strings.Replace(request, " HTTP/", "&sid="+sid+" HTTP/", 1))
			if c.status != tt.status || c.body != tt.body {
				t.Errorf("%q: got %d %q", tt.new, c.status, c.body)
			}
		}
		r.wantAlive(sid)
	})
}

func TestSubprotocol(t *testing.T) {
	// Chromium fails a connection whose answer names none of the subprotocols it asked for.
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for lines, want := range map[string]string{
			"":                                       "",
			"Sec-WebSocket-Protocol: chat\r\n":       "chat",
			"Sec-WebSocket-Protocol:\r\n":            "",
			"Sec-WebSocket-Protocol: b.1 , a,c \r\n": "b.1",
			"sec-websocket-protocol:x\r\nSec-WebSocket-Protocol: y\r\n": "x",
		} {
			c := r.raw(t, strings.Replace(goodOpening, "Host: x\r\n", "Host: x\r\n"+lines, 1))
			c.want101()
			if got := strings.Join(c.header["Sec-Websocket-Protocol"], "|"); got != want {
				t.Errorf("%q: got %q, want %q", lines, got, want)
			}
			c.text()
		}
	})
}

func TestPipelinedFrames(t *testing.T) {
	// Frames may arrive together with the request, complete or cut anywhere.
	frames := append(textFrame("4one"), append(clientFrame(0x89, []byte("p")), clientFrame(0x82, []byte{1, 2})...)...)
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for cut := range len(frames) + 1 {
			c := r.raw(t, goodOpening+string(frames[:cut]))
			c.want101()
			c.text()
			c.write(frames[cut:])
			c.hear(t, "text 4one", "pong p", "binary 0102")
			c.close()
		}
	})
}

func TestBareLineFeeds(t *testing.T) {
	// RFC 9112 section 2.2 lets a recipient take a lone LF for the end of a line, and
	// net/http does. The direct door must not wait for a CR that does not come.
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for _, request := range []string{
			strings.ReplaceAll(goodOpening, "\r", ""),
			strings.Replace(goodOpening, "13\r\n\r\n", "13\n\r\n", 1),
			"GET " + pollingPath + " HTTP/1.1\nHost: x\n\n",
		} {
			nc, err := r.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(patience))
			io.WriteString(nc, request[:len(request)-1])
			io.WriteString(nc, request[len(request)-1:])
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil {
				t.Errorf("%.20q: %v", request, err)
			} else if want := map[bool]int{true: 200, false: 101}[strings.Contains(request, "polling")]; resp.StatusCode != want {
				t.Errorf("%.20q: got %d, want %d", request, resp.StatusCode, want)
			}
		}
	})
}
