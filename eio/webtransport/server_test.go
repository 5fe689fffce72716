package webtransport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"github.com/epio-go/epio/eio"
)

// app echoes and records what it is told.
type app struct {
	opened chan *eio.Session
	closed chan end
}

type end struct {
	reason eio.Reason
	err    error
}

func newApp() *app { return &app{opened: make(chan *eio.Session, 16), closed: make(chan end, 16)} }

func (a *app) Open(s *eio.Session) { a.opened <- s }

func (a *app) Message(s *eio.Session, data []byte, binary bool) { s.SendMessage(data, binary) }

func (a *app) Close(_ *eio.Session, reason eio.Reason, err error) { a.closed <- end{reason, err} }

// start starts a server with all transports, or those in cfg.
func start(t *testing.T, cfg eio.Config) (*rig, *app) {
	t.Helper()
	a := newApp()
	if cfg.Transports == nil {
		cfg.Transports = []string{"polling", "websocket", "webtransport"}
	}
	engine, err := eio.NewServer(cfg, a)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, engine, &http3.Server{}), a
}

const path = "/engine.io/?EIO=4&transport=webtransport"

// sid reads an OPEN packet.
func sid(t *testing.T, packet []byte) string {
	t.Helper()
	var o struct {
		SID string `json:"sid"`
	}
	if len(packet) == 0 || packet[0] != '0' || json.Unmarshal(packet[1:], &o) != nil || o.SID == "" {
		t.Fatalf("not an OPEN packet: %q", packet)
	}
	return o.SID
}

func (c *client) wantOpen() string {
	c.t.Helper()
	p, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	return sid(c.t, p.Data)
}

// TestSession carries text and binary of all sizes both ways.
func TestSession(t *testing.T) {
	r, a := start(t, eio.Config{})
	c := r.connect(path+"&token=x", "0")
	id := c.wantOpen()
	s := wait(t, a.opened, "Open")
	h := s.Handshake().Request()
	if s.ID() != id || s.Transport() != eio.WebTransport || !s.Handshake().Secure() || h == nil || h.URL.Query().Get("token") != "x" || h.Host != r.addr {
		t.Errorf("session %q on %v, request %+v", s.ID(), s.Transport(), h)
	}
	if host, _, err := net.SplitHostPort(s.Handshake().RemoteAddr()); err != nil || host != "127.0.0.1" {
		t.Errorf("address %q", s.Handshake().RemoteAddr())
	}
	for _, n := range []int{1, 124, 125, 126, 65534, 65535, 200_000, 999_999} {
		text, data := "4"+strings.Repeat("x", n), bytes.Repeat([]byte{7}, n)
		go func() {
			c.send(text)
			c.sendBinary(data)
		}()
		c.want(text)
		c.wantBinary(data)
	}
	for i := range 500 {
		c.send(fmt.Sprint("4", i))
	}
	for i := range 500 {
		c.want(fmt.Sprint("4", i))
	}
	c.session.CloseWithError(0, "")
	if e := wait(t, a.closed, "Close"); e.reason != eio.TransportClose || !errors.Is(e.err, io.EOF) {
		t.Errorf("closed with %q, %v", e.reason, e.err)
	}
}

// TestClientEnds: the ways in which a client goes, and what the application is told.
func TestClientEnds(t *testing.T) {
	r, a := start(t, eio.Config{PingInterval: time.Hour})
	for _, tt := range []struct {
		name   string
		end    func(c *client)
		reason eio.Reason
	}{
		{"closes the session", func(c *client) { c.session.CloseWithError(7, "bye") }, eio.TransportClose},
		{"ends the stream", func(c *client) { c.str.Close() }, eio.TransportClose},
		{"resets the stream", func(c *client) { c.str.CancelWrite(7) }, eio.TransportError},
		{"sends garbage", func(c *client) { c.write([]byte{0}) }, eio.ParseError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := r.connect(path, "0")
			c.t = t
			c.wantOpen()
			wait(t, a.opened, "Open")
			tt.end(c)
			if e := wait(t, a.closed, "Close"); e.reason != tt.reason {
				t.Errorf("closed with %q, %v, want %q", e.reason, e.err, tt.reason)
			}
			wait(t, c.session.Context().Done(), "the end of the session")
		})
	}
}

// TestServerEnds: what was sent arrives before the end.
func TestServerEnds(t *testing.T) {
	r, a := start(t, eio.Config{})
	c := r.connect(path, "0")
	c.wantOpen()
	s := wait(t, a.opened, "Open")
	big := strings.Repeat("x", 900_000)
	for range 3 {
		if err := s.SendMessage([]byte(big), false); err != nil {
			t.Fatal(err)
		}
	}
	s.Close(eio.ForcedClose)
	c.want("4"+big, "4"+big, "4"+big)
	c.wantClosed()

	c = r.connect(path, "0")
	c.wantOpen()
	wait(t, a.opened, "Open").SendMessage([]byte("last words"), false)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	down := make(chan error, 1)
	go func() { down <- r.engine.Shutdown(ctx) }()
	c.want("4last words")
	c.wantClosed()
	if err := wait(t, down, "Shutdown"); err != nil {
		t.Error(err)
	}
	if resp, _, err := r.dial(path, nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Shutdown: %v, %v", resp, err)
	}
}

// TestHTTP3Closed closes the HTTP/3 server under the sessions.
func TestHTTP3Closed(t *testing.T) {
	r, a := start(t, eio.Config{})
	r.connect(path, "0").wantOpen()
	wait(t, a.opened, "Open")
	if err := r.h3.Close(); err != nil {
		t.Error(err)
	}
	if e := wait(t, a.closed, "Close"); e.reason != eio.ForcedClose {
		t.Errorf("closed with %q, %v", e.reason, e.err)
	}
}

// TestUpgrade begins with polling, over HTTP/3 as well.
func TestUpgrade(t *testing.T) {
	r, a := start(t, eio.Config{})
	transport := &http3.Transport{TLSClientConfig: r.client}
	t.Cleanup(func() { transport.Close() }) // before the server's
	do := func(method, query, body string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, "https://"+r.addr+"/engine.io/?EIO=4&transport=polling"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d, %v", method, resp.StatusCode, err)
		}
		return string(b)
	}
	open := do("GET", "", "")
	if !strings.Contains(open, `"upgrades":["websocket","webtransport"]`) {
		t.Errorf("handshake %s", open)
	}
	id := sid(t, []byte(open))
	s := wait(t, a.opened, "Open")
	parked := make(chan string, 1)
	go func() { parked <- do("GET", "&sid="+id, "") }()
	c := r.connect(path+"&sid="+id, `0{"sid":"`+id+`"}`)
	c.send("2probe")
	c.want("3probe")
	if got := wait(t, parked, "the parked GET"); got != "6" {
		t.Errorf("parked GET answered with %q", got)
	}
	do("POST", "&sid="+id, "4posted")
	if got := do("GET", "&sid="+id, ""); got != "4posted" {
		t.Errorf("got %q", got)
	}
	s.SendMessage([]byte("buffered"), false)
	c.send("5", "4first")
	c.want("4buffered", "4first")
	if s.Transport() != eio.WebTransport {
		t.Errorf("session on %v", s.Transport())
	}
	c.session.CloseWithError(0, "")
	if e := wait(t, a.closed, "Close"); e.reason != eio.TransportClose {
		t.Errorf("closed with %q, %v", e.reason, e.err)
	}
}

// TestRefused: requests that get another answer than 200.
func TestRefused(t *testing.T) {
	r, _ := start(t, eio.Config{AllowRequest: func(r *http.Request) error {
		if r.Header.Get("Origin") != "https://friend.test" {
			return &eio.RefuseError{Message: "not you"}
		}
		return nil
	}})
	for _, tt := range []struct {
		path, origin string
		status       int
	}{
		{path, "https://friend.test", 200},
		{path, "https://evil.test", 403},
		{path, "", 403},
		{path + "&sid=nobody", "https://friend.test", 400},
		{"/elsewhere", "https://friend.test", 404},
	} {
		header := http.Header{}
		if tt.origin != "" {
			header.Set("Origin", tt.origin)
		}
		resp, session, err := r.dial(tt.path, header)
		if resp == nil || resp.StatusCode != tt.status || (err == nil) != (tt.status == 200) {
			t.Errorf("%s from %q: %v, %v, want %d", tt.path, tt.origin, resp, err, tt.status)
		}
		if session != nil {
			session.CloseWithError(0, "")
		}
	}
}

// TestHandshakeTimeout: a session without a stream, and one with half a packet.
func TestHandshakeTimeout(t *testing.T) {
	r, _ := start(t, eio.Config{UpgradeTimeout: 50 * time.Millisecond})
	_, session, err := r.dial(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, session.Context().Done(), "the end of the session")
	_, session, err = r.dial(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	str, err := session.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	str.Write([]byte("\x0f0{"))
	wait(t, session.Context().Done(), "the end of the session")
}

// TestSlowReader: a client that does not read fills our buffer, and no more. Pausing stops a
// client that writes.
func TestSlowReader(t *testing.T) {
	r, a := start(t, eio.Config{SendBuffer: 1 << 20, PingInterval: time.Hour})
	c := r.connect(path, "0")
	s := wait(t, a.opened, "Open")
	sent := 0
	message := bytes.Repeat([]byte("x"), 9_999)
	for {
		err := s.SendMessage(message, false)
		if errors.Is(err, eio.ErrBufferFull) {
			// It takes more as long as QUIC's window has room.
			time.Sleep(10 * time.Millisecond)
			if s.Buffered() > 1<<20-20_000 {
				break
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		sent++
	}
	c.wantOpen()
	for range sent {
		c.want("4" + string(message))
	}

	s.Pause()
	c.str.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	wrote := 0
	for {
		b := append([]byte{126, 0x27, 0x10, '4'}, message...)
		n, err := c.str.Write(b)
		wrote += n
		if err != nil {
			break
		}
	}
	// The windows of the stream and what one read takes.
	if wrote > streamWindow+100_000 {
		t.Errorf("%d bytes taken from a client whose session is paused", wrote)
	}
	s.Resume()
	for range wrote / 10_003 {
		c.want("4" + string(message))
	}
}

// TestMiddleware: writers that middleware has wrapped are unwrapped, if they can be.
func TestMiddleware(t *testing.T) {
	r, _ := start(t, eio.Config{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Hide") != "" {
				next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
				return
			}
			next.ServeHTTP(wrapped{w}, r)
		})
	}})
	c := r.connect(path, "0")
	c.wantOpen()
	if resp, _, err := r.dial(path, http.Header{"X-Hide": {"1"}}); err == nil || resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("behind a writer that cannot be unwrapped: %v, %v", resp, err)
	}
}

// wrapped wraps a writer as most middleware does.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// TestMux mounts the server in a mux of the caller's.
func TestMux(t *testing.T) {
	a := newApp()
	engine, err := eio.NewServer(eio.Config{Path: "/socket", Transports: []string{"webtransport"}}, a)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	r := open(t, engine, &http3.Server{Handler: mux})
	mux.Handle("/socket/", r.h3)
	r.connect("/socket/", "0").wantOpen()
	if resp, _, err := r.dial("/", nil); err == nil || resp.StatusCode != 404 {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestCause(t *testing.T) {
	plain := errors.New("fault")
	connectEnded := &http3.Error{ErrorCode: http3.ErrCodeDatagramError, ErrorMessage: "what the connection says"}
	for _, tt := range []struct{ err, conn, want error }{
		{err: nil, want: nil},
		{err: plain, want: plain},
		{err: io.EOF, want: io.EOF},
		{err: &webtransport.SessionError{Remote: true, ErrorCode: 3}, want: io.EOF},
		{err: &webtransport.SessionError{ErrorCode: 3}, want: &webtransport.SessionError{ErrorCode: 3}},
		{err: &webtransport.StreamError{Remote: true, ErrorCode: 3}, want: &webtransport.StreamError{Remote: true, ErrorCode: 3}},
		{err: &quic.ApplicationError{Remote: true}, want: io.EOF},
		{err: &quic.ApplicationError{}, want: net.ErrClosed},
		{err: &http3.Error{ErrorCode: http3.ErrCodeDatagramError, ErrorMessage: "EOF"}, want: io.EOF},
		{err: connectEnded, want: connectEnded},
		{err: connectEnded, conn: &quic.ApplicationError{Remote: true}, want: io.EOF},
		{err: connectEnded, conn: &quic.ApplicationError{}, want: net.ErrClosed},
	} {
		conn, end := context.WithCancelCause(t.Context())
		if tt.conn != nil {
			time.AfterFunc(time.Millisecond, func() { end(tt.conn) })
		}
		if got := (session{conn: conn}).cause(tt.err); !errors.Is(got, tt.want) {
			t.Errorf("%v became %v, want %v", tt.err, got, tt.want)
		}
		end(nil)
	}

	// A connection that nobody has closed is no closed one.
	conn, end := context.WithCancelCause(t.Context())
	end(&quic.IdleTimeoutError{})
	for _, err := range []error{&quic.IdleTimeoutError{}, connectEnded} {
		got := (session{conn: conn}).cause(err)
		if _, ok := errors.AsType[*quic.IdleTimeoutError](got); !ok || errors.Is(got, net.ErrClosed) || got.Error() == "" {
			t.Errorf("%v became %v", err, got)
		}
	}
}
