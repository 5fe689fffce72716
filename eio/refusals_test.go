package eio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/codec"
)

// exact sends a request and returns the whole answer: status, headers without Date in
// alphabetical order, body. With "Connection: close" the stream must end behind it.
func (r *rig) exact(t *testing.T, request string) string {
	t.Helper()
	nc, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	io.WriteString(nc, request)
	return readExact(t, bufio.NewReader(nc))
}

func readExact(t *testing.T, br *bufio.Reader) string {
	t.Helper()
	line, err := br.ReadString('\n')
	if err != nil {
		return err.Error()
	}
	status, _, _ := strings.Cut(strings.TrimPrefix(line, "HTTP/1.1 "), " ")
	var headers []string
	length := 0
	for {
		line, err := br.ReadString('\n')
		line = strings.ToLower(strings.TrimRight(line, "\r\n"))
		if err != nil || line == "" {
			break
		}
		if n, ok := strings.CutPrefix(line, "content-length: "); ok {
			length, _ = strconv.Atoi(n)
		}
		if !strings.HasPrefix(line, "date: ") {
			headers = append(headers, line)
		}
	}
	slices.Sort(headers)
	body := make([]byte, length)
	if _, err := io.ReadFull(br, body); err != nil {
		t.Errorf("body: %v", err)
	}
	if slices.Contains(headers, "connection: close") {
		if _, err := br.ReadByte(); err == nil {
			t.Error("more behind the answer")
		}
	}
	return fmt.Sprintf("%s | %s | %s", status, strings.Join(headers, "; "), body)
}

// asJSON and asText are the answers to refused polling and WebSocket requests.
func asJSON(code ErrorCode, message string) string {
	body := fmt.Sprintf(`{"code":%d,"message":"%s"}`, code, message)
	return fmt.Sprintf("%d | content-length: %d; content-type: application/json; x-content-type-options: nosniff | %s", code.status(), len(body), body)
}

func asText(status int, message string, more ...string) string {
	headers := append([]string{"connection: close", fmt.Sprintf("content-length: %d", len(message)), "content-type: text/html"}, more...)
	return fmt.Sprintf("%d | %s | %s", status, strings.Join(headers, "; "), message)
}

// TestRefusedRequests holds the requests that fail a check, byte for byte, in the order of the
// checks: each row also breaks rules that are looked at later.
func TestRefusedRequests(t *testing.T) {
	const (
		upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		noKey   = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	)
	both := func(method, query, headers string, code ErrorCode) [2]string {
		return [2]string{method + " /engine.io/" + query + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n", asJSON(code, code.String())}
	}
	plain := func(method, query string, code ErrorCode) [2]string { return both(method, query, "", code) }
	socket := func(method, query, headers string, status int, message string, more ...string) [2]string {
		return [2]string{method + " /engine.io/" + query + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n", asText(status, message, more...)}
	}
	tests := [][2]string{
		plain("PUT", "", CodeUnknownTransport),
		plain("PUT", "?transport=&sid=none&EIO=9", CodeUnknownTransport),
		plain("PUT", "?transport=abc&sid=none&EIO=9", CodeUnknownTransport),
		plain("PUT", "?transport=webtransport&sid=none", CodeUnknownTransport),
		plain("PUT", "?transport=POLLING&sid=none", CodeUnknownTransport),
		plain("GET", "?transport=constructor&EIO=4", CodeUnknownTransport),
		plain("PUT", "?transport=polling&sid=none&EIO=9", CodeUnknownSession),
		plain("GET", "?transport=websocket&sid=none&EIO=9", CodeUnknownSession),
		plain("GET", "?transport=polling&sid=__proto__&EIO=4", CodeUnknownSession),
		plain("GET", "?transport=websocket&sid=POLLING&EIO=9", CodeBadRequest),
		plain("POST", "?transport=polling&sid=SOCKET&EIO=9", CodeBadRequest),
		plain("GET", "?transport=websocket&sid=SOCKET&EIO=9", CodeBadRequest),
		plain("GET", "?transport=polling&sid=POLLING&EIO=9", CodeBadRequest),
		plain("PUT", "?transport=polling&sid=POLLING", CodeBadRequest),
		plain("GET", "?transport=polling&sid=POLLING&EIO=04", CodeBadRequest),
		plain("POST", "?transport=polling&EIO=9&deny", CodeBadHandshakeMethod),
		plain("PUT", "?transport=websocket&EIO=9&deny", CodeBadHandshakeMethod),
		plain("DELETE", "?transport=polling&EIO=9&deny", CodeBadHandshakeMethod),
		plain("OPTIONS", "?transport=polling&EIO=9&deny", CodeBadHandshakeMethod),
		plain("GET", "?transport=websocket&EIO=9&deny", CodeBadRequest),
		both("GET", "?transport=websocket&EIO=4", "Connection: Upgrade\r\nUpgrade: h2c\r\n", CodeBadRequest),
		plain("GET", "?transport=polling&EIO=9&deny", CodeForbidden),
		{"GET /engine.io/?transport=polling&EIO=9&deny=a%22%3Cb%3E%26%C3%A9 HTTP/1.1\r\nHost: x\r\n\r\n", asJSON(CodeForbidden, `a\"<b>&é`)},
		plain("GET", "?transport=polling&EIO=3", CodeUnsupportedProtocol),
		plain("GET", "?transport=polling&EIO=5", CodeUnsupportedProtocol),
		plain("GET", "?transport=polling", CodeUnsupportedProtocol),
		plain("GET", "?transport=polling&EIO=4&id=fail", CodeBadRequest),

		socket("GET", "?sid=none&EIO=9", noKey, 400, "Transport unknown"),
		socket("GET", "?transport=abc&sid=none&EIO=9", noKey, 400, "Transport unknown"),
		socket("POST", "?transport=websocket&sid=none&EIO=9", noKey, 400, "Session ID unknown"),
		socket("GET", "?transport=websocket&sid=POLLING&EIO=3", noKey, 400, "Bad request"),
		socket("POST", "?transport=websocket&EIO=9&deny", noKey, 400, "Bad handshake method"),
		socket("GET", "?transport=websocket&EIO=9&deny", noKey, 400, "Forbidden"),
		socket("GET", "?transport=websocket&EIO=9&deny=no%20entry", noKey, 400, "no entry"),
		socket("GET", "?transport=websocket&EIO=3", upgrade, 400, "Unsupported protocol version"),
		socket("GET", "?transport=websocket&EIO=4", noKey, 400, "Missing or invalid Sec-WebSocket-Key header"),
		socket("GET", "?transport=websocket&EIO=4", strings.Replace(upgrade, "13", "8", 1), 400, "Missing or invalid Sec-WebSocket-Version header", "sec-websocket-version: 13"),
		socket("POST", "?transport=websocket&sid=POLLING&EIO=4", upgrade, 405, "Invalid HTTP method"),
		socket("GET", "?transport=websocket&EIO=4&id=fail", upgrade, 400, "Bad request"),
	}
	hooks := Config{
		AllowRequest: func(r *http.Request) error {
			if q := r.URL.Query(); q.Has("deny") {
				return &RefuseError{Message: q.Get("deny")}
			}
			return nil
		},
		GenerateID: func(r *http.Request) (string, error) {
			if r.URL.Query().Has("id") {
				return "", errors.New("no ids")
			}
			return newID(), nil
		},
	}
	reports := make(chan *ConnectionError, 1)
	hooks.OnConnectionError = func(e *ConnectionError) { reports <- e }
	eachStrictDoor(t, func(t *testing.T, d door) {
		for _, hooked := range []bool{true, false} { // without hooks the direct door answers itself
			cfg := Config{}
			if hooked {
				cfg = hooks
			}
			r := d.open(t, cfg, nil)
			sid := r.poll()
			onWS := r.websocket()
			names := strings.NewReplacer("POLLING&", sid+"&", "POLLING ", sid+" ", "SOCKET&", onWS.open.SID+"&")
			for _, tt := range tests {
				if !hooked && (strings.Contains(tt[0], "&id=") || strings.Contains(tt[1], "Forbidden") || strings.Contains(tt[0], "&deny=")) {
					continue
				}
				if got := r.exact(t, names.Replace(tt[0])); got != tt[1] {
					t.Errorf("hooked=%v %.70q:\n got %q\nwant %q", hooked, tt[0], got, tt[1])
				}
				if !hooked {
					continue
				}
				e := wait(t, reports, "the report")
				if said := strings.ReplaceAll(tt[1], `\"`, `"`); !strings.Contains(said, e.Message) || e.Request == nil {
					t.Errorf("%.70q: reported as %+v", tt[0], e)
				}
			}
			r.wantAlive(sid)
			onWS.send("4still here")
			onWS.want("4still here")
			if n := r.srv.Sessions(); n != 2 {
				t.Errorf("%d sessions, want 2", n)
			}
			r.stop()
		}
	})
}

// TestRefusedPolling holds what a session on polling answers to odd requests, and what
// becomes of it.
func TestRefusedPolling(t *testing.T) {
	const (
		ok    = "200 | cache-control: no-store; content-length: 2; content-type: text/html; x-content-type-options: nosniff | ok"
		empty = " | content-length: 0 | "
	)
	post := func(headers, body string) string {
		return fmt.Sprintf("POST %s&sid=SID HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", pollingPath, headers, len(body), body)
	}
	chunked := func(body string) string {
		return fmt.Sprintf("POST %s&sid=SID HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", pollingPath, len(body), body)
	}
	big := "4" + strings.Repeat("x", 2000)
	tests := []struct {
		name, request, answer string
		parked                string // what a GET that waits is answered, "a or b" if that depends on who is quicker
		reason                Reason // empty: the session goes on
		cause                 error
		size                  int64 // reported to OnConnectionError
	}{
		{name: "a packet", request: post("", "4x"), answer: ok, parked: "4x"},
		{name: "exactly max", request: post("", big[:2000]), answer: ok, parked: big[:2000]},
		{name: "over max", request: post("", big), answer: "413" + empty, size: 2001},
		{name: "far over max", request: post("", big+big+big), answer: "413" + empty, size: 6003},
		{name: "over max in chunks", request: chunked(big), answer: "413" + empty, size: 2001},
		{name: "octet-stream", request: post("Content-Type: application/octet-stream\r\n", "4x"), answer: "400" + empty, parked: "1", reason: TransportError, cause: ErrInvalidContent},
		{name: "unknown packet", request: post("", "9"), answer: ok, parked: "1", reason: ParseError, cause: codec.ErrPacket},
		{name: "no packet", request: post("", ""), answer: ok, parked: "1", reason: ParseError, cause: codec.ErrPacket},
		{name: "an empty packet behind a good one", request: post("", "4x\x1e"), answer: ok, parked: "1 or 4x", reason: ParseError, cause: codec.ErrPacket},
		{name: "CLOSE", request: post("", "1"), answer: ok, parked: "6", reason: TransportClose},
		{name: "PING", request: post("", "2"), answer: ok, parked: "1", reason: TransportError, cause: ErrHeartbeat},
		{name: "OPEN, UPGRADE, NOOP, PONG", request: post("", "0\x1e5\x1e6\x1e3"), answer: ok},
		{name: "PUT", request: "PUT " + pollingPath + "&sid=SID HTTP/1.1\r\nHost: x\r\n\r\n", answer: "500" + empty},
		{name: "DELETE", request: "DELETE " + pollingPath + "&sid=SID HTTP/1.1\r\nHost: x\r\n\r\n", answer: "500" + empty},
		{name: "OPTIONS", request: "OPTIONS " + pollingPath + "&sid=SID HTTP/1.1\r\nHost: x\r\n\r\n", answer: "500" + empty},
		{name: "second GET", request: "GET " + pollingPath + "&sid=SID HTTP/1.1\r\nHost: x\r\n\r\n", answer: "400" + empty, parked: "1", reason: TransportError, cause: ErrPollOverlap},
	}
	eachStrictDoor(t, func(t *testing.T, d door) {
		reports := make(chan *ConnectionError, 1)
		r := d.open(t, Config{MaxPayload: 2000, OnConnectionError: func(e *ConnectionError) { reports <- e }}, nil)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				r := *r
				r.t = t
				sid := r.poll()
				s := r.srv.Session(sid)
				parked := r.parked(sid)
				if got := r.exact(t, strings.ReplaceAll(tt.request, "SID", sid)); got != tt.answer {
					t.Errorf("got %q, want %q", got, tt.answer)
				}
				if tt.size > 0 {
					e := wait(t, reports, "the report")
					se, ok := errors.AsType[*SizeError](e)
					if !ok || !errors.Is(e, ErrMessageTooBig) || se.Size != tt.size || se.Limit != 2000 || e.Context.SID != sid || e.Context.Name != "PAYLOAD_TOO_LARGE" {
						t.Errorf("reported as %v, %+v", e, e.Context)
					}
				}
				if tt.parked != "" {
					got := wait(t, parked, "the parked GET")
					want := tt.parked
					if a, b, two := strings.Cut(want, " or "); two {
						if want = a; got.body == b {
							want = b
						}
					}
					got.want(200, want)
				}
				if tt.reason == "" {
					if reason, err := s.Cause(); reason != "" || err != nil {
						t.Errorf("cause of an open session is %q, %v", reason, err)
					}
					s.Discard(ForcedClose)
					r.wantClose(ForcedClose)
					return
				}
				r.wantClose(tt.reason)
				if reason, err := s.Cause(); reason != tt.reason || !errors.Is(err, tt.cause) {
					t.Errorf("cause is %q, %v, want %q, %v", reason, err, tt.reason, tt.cause)
				}
				if got, want := r.exact(t, "GET "+pollingPath+"&sid="+sid+" HTTP/1.1\r\nHost: x\r\n\r\n"), asJSON(CodeUnknownSession, "Session ID unknown"); got != want {
					t.Errorf("afterwards: got %q", got)
				}
				<-reports
			})
		}
	})
}

// TestRefusedPackets holds Engine.IO packets that are wrong, or odd, on an open
// WebSocket session.
func TestRefusedPackets(t *testing.T) {
	all := []exchange{
		{name: "OPEN, UPGRADE, NOOP, PONG", send: join(text("0"), text("0{}"), text("5"), text("6"), text("6x"), text("3"), text("3probe"))},
		{name: "empty message", send: text("4"), hear: []string{"text 4"}},
		{name: "empty binary message", send: frame(0x82, ""), hear: []string{"binary "}},
		{name: "base64", send: text("bAQID"), hear: []string{"binary 010203"}},
		{name: "CLOSE", send: join(text("4a"), text("1"), text("4never")), hear: []string{"text 4a", "close"}},
		violation("no packet", text(""), codec.ErrPacket),
		violation("type 7", join(text("7"), text("4never")), codec.ErrPacket),
		violation("no digit", text("x"), codec.ErrPacket),
		violation("a space in front", text(" 4"), codec.ErrPacket),
		violation("PING", join(text("2"), text("4never")), ErrHeartbeat),
		violation("probe", text("2probe"), ErrHeartbeat),
	}
	run(t, Config{}, all)
}

// TestTooBig holds oversized messages in every form, and what the application learns.
func TestTooBig(t *testing.T) {
	header := func(n uint64, first byte) []byte {
		return append([]byte{first, 0xff}, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	tests := []struct {
		name string
		send []byte
		size int64
	}{
		{"text", text("4" + strings.Repeat("x", 2000)), 2001},
		{"binary", frame(0x82, strings.Repeat("x", 5000)), 5000},
		{"announced", header(1<<40, 0x82), 1 << 40},
		{"2^63-1", header(1<<63-1, 0x82), 1<<63 - 1},
		{"fragments", join(frame(2, strings.Repeat("x", 1500)), frame(0, strings.Repeat("x", 500)), frame(0, "x"), frame(0x80, "")), 2001},
		{"2^63-1 behind a fragment", join(frame(2, "x"), header(1<<63-1, 0x80)), 1<<63 - 1},
	}
	check := func(t *testing.T, err error, size int64) {
		t.Helper()
		se, ok := errors.AsType[*SizeError](err)
		if !ok || !errors.Is(err, ErrMessageTooBig) || se.Size != size || se.Limit != 2000 {
			t.Errorf("cause is %v, want %d bytes", err, size)
		}
	}
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxPayload: 2000}, nil)
		for _, tt := range tests {
			c := r.websocket()
			s := r.session()
			c.write(tt.send)
			c.hear(t, "close 1009")
			e := wait(t, r.app.closed, "Close")
			if e.reason != TransportError {
				t.Errorf("%s: closed with %q", tt.name, e.reason)
			}
			check(t, e.err, tt.size)
			_, err := s.Cause()
			check(t, err, tt.size)
			c.close()

			// A candidate only loses its own connection.
			sid := r.poll()
			r.session()
			c = r.candidate(sid)
			c.write(tt.send)
			c.hear(t, "close 1009")
			c.close()
			r.wantAlive(sid)
			r.srv.Session(sid).Discard(ForcedClose)
			r.wantClose(ForcedClose)
		}
	})
}
