package mounts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gofiber/fiber/v3"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/sio"
)

// origin is the one that the examples' CORS middleware allows.
const origin = "https://app.example"

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	os.Exit(m.Run())
}

// A mount is a way of serving a Socket.IO server.
type mount struct {
	name string
	// serve serves srv on ln until stop is called.
	serve func(t *testing.T, srv *sio.Server, ln net.Listener) (stop func())
	// gzip: a compression middleware stands in front of polling, or epio compresses itself.
	gzip bool
	// cors: so does a CORS middleware.
	cors bool
	// fasthttp: the requests come through fiber's adaptor, which passes on neither that a client went away nor, with
	// the answer to an upgrade, the headers of middleware.
	fasthttp bool
}

var all = []mount{
	{"mux", handler(Mux), true, false, false},
	{"gin", handler(ginHandler), true, true, false},
	{"echo", handler(echoHandler), true, true, false},
	{"echo4", handler(echo4Handler), true, true, false},
	{"chi", handler(chiHandler), true, true, false},
	{"fiber", serveFiber, true, true, true},
	{"fiber behind", serveFiberBehind, true, false, false},
}

func ginHandler(srv *sio.Server) http.Handler   { return Gin(srv) }
func echoHandler(srv *sio.Server) http.Handler  { return Echo(srv) }
func echo4Handler(srv *sio.Server) http.Handler { return Echo4(srv) }
func chiHandler(srv *sio.Server) http.Handler   { return Chi(srv) }

// handler serves with net/http, and fails the test if that has something to complain about: writes to a hijacked
// connection, superfluous headers.
func handler(h func(*sio.Server) http.Handler) func(*testing.T, *sio.Server, net.Listener) func() {
	return timed(h, 0)
}

// timed is handler with http.Server.WriteTimeout.
func timed(h func(*sio.Server) http.Handler, write time.Duration) func(*testing.T, *sio.Server, net.Listener) func() {
	return func(t *testing.T, srv *sio.Server, ln net.Listener) func() {
		var j journal
		hs := &http.Server{Handler: h(srv), WriteTimeout: write, ErrorLog: log.New(&j, "", 0)}
		var wg sync.WaitGroup
		wg.Go(func() { hs.Serve(ln) })
		return func() {
			hs.Close()
			wg.Wait()
			if s := j.String(); s != "" {
				t.Errorf("net/http complains:\n%s", s)
			}
		}
	}
}

func serveFiber(t *testing.T, srv *sio.Server, ln net.Listener) func() {
	app := Fiber(srv)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := app.Listener(ln, fiber.ListenConfig{DisableStartupMessage: true}); err != nil {
			t.Errorf("Listener returned %v", err)
		}
	})
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := app.ShutdownWithContext(ctx); err != nil {
			t.Errorf("Shutdown returned %v", err)
		}
		wg.Wait()
	}
}

func serveFiberBehind(t *testing.T, srv *sio.Server, ln net.Listener) func() {
	FiberBehind(srv)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, sio.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return wg.Wait
}

// journal is a log that is read while it is written.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// large is the length of an event that every compression middleware thinks worth its while.
const large = 8 << 10

// start serves an application with an echo behind m and returns a client.
func (m *mount) start(t *testing.T) *client {
	t.Helper()
	return start(t, m.serve, eio.Config{})
}

func start(t *testing.T, serve func(*testing.T, *sio.Server, net.Listener) func(), engine eio.Config) *client {
	t.Helper()
	var j journal
	srv, err := sio.New(sio.Config{
		Engine: engine,
		Logger: slog.New(slog.NewTextHandler(&j, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan sio.Reason, 10)
	srv.OnDisconnect(func(_ *sio.Socket, r sio.Reason) { gone <- r })
	sio.OnAck(srv, "echo", func(_ context.Context, _ *sio.Socket, s string) (string, error) { return s, nil })
	sio.On(srv, "fetch", func(_ context.Context, s *sio.Socket, n int) error { return s.Emit("data", strings.Repeat("x", n)) })

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(t, srv, ln)
	t.Cleanup(func() {
		srv.Close() // ends parked polls and WebSockets, which a framework's shutdown may wait for
		stop()
		if n := srv.Engine().Sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		if t.Failed() {
			t.Logf("log of the server:\n%s", j.String())
		}
	})
	c := newClient(t, ln.Addr().String())
	c.srv, c.gone = srv, gone
	return c
}

func TestMounts(t *testing.T) {
	conversations := []struct {
		name string
		run  func(*testing.T, *mount, *client)
	}{
		{"polling", testPolling},
		{"websocket", testWebSocket},
		{"websocket behind a proxy", testProxied},
		{"upgrade", testUpgrade},
		{"errors", testErrors},
		{"cors", testCORS},
		{"panic", testPanic},
		{"client gone", testGone},
	}
	for i := range all {
		m := &all[i]
		t.Run(m.name, func(t *testing.T) {
			for _, c := range conversations {
				t.Run(c.name, func(t *testing.T) { c.run(t, m, m.start(t)) })
			}
		})
	}
}

// Polling works through the compression middleware, and what is sent while a poll is parked comes at once.
func testPolling(t *testing.T, m *mount, c *client) {
	p := c.poll()
	for range 3 {
		answer := p.park()
		p.post(`427["echo","hi"]`)
		if got := answer().body; got != `437["hi"]` {
			t.Fatalf("got %q", got)
		}
	}
	answer := p.park()
	p.post(fmt.Sprintf(`42["fetch",%d]`, large))
	got := answer()
	if want := `42["data","` + strings.Repeat("x", large) + `"]`; got.body != want {
		t.Fatalf("got %.100q", got.body)
	}
	encoding := got.header.Get("Content-Encoding")
	if m.gzip != (encoding == "gzip") {
		t.Errorf("the answer has Content-Encoding %q", encoding)
	}
	if cc := got.header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("the answer has Cache-Control %q", cc)
	}
}

func testWebSocket(t *testing.T, _ *mount, c *client) {
	s := c.websocket("", "Upgrade").join()
	s.ack()
	s.send(fmt.Sprintf(`42["fetch",%d]`, 256<<10))
	s.want(`42["data","` + strings.Repeat("x", 256<<10) + `"]`)
	s.ack()
}

// nginx and others write the header in lower case, with more tokens.
func testProxied(_ *testing.T, _ *mount, c *client) {
	c.websocket("", "keep-alive, upgrade").join().ack()
}

// A session moves from polling to WebSocket, and no packet is lost or comes twice.
func testUpgrade(t *testing.T, _ *mount, c *client) {
	p := c.poll()
	answer := p.park()
	s := c.websocket("&sid="+p.sid, "Upgrade")
	s.send("2probe")
	s.want("3probe")
	if got := answer().body; got != "6" {
		t.Fatalf("the parked poll was answered with %q, want NOOP", got)
	}
	p.post(`421["echo","on the way"]`)
	s.send("5")
	s.want(`431["on the way"]`)
	s.ack()
	if got := c.must(http.StatusBadRequest, http.MethodGet, p.path, ""); got.body != `{"code":3,"message":"Bad request"}` {
		t.Errorf("a poll after the upgrade was answered with %q", got.body)
	}
	s.ack()
}

// Error responses keep their status, type and JSON.
func testErrors(t *testing.T, _ *mount, c *client) {
	for _, test := range []struct{ method, query, body string }{
		{http.MethodGet, "?EIO=4&transport=pigeon", `{"code":0,"message":"Transport unknown"}`},
		{http.MethodGet, "?EIO=4&transport=polling&sid=nobody", `{"code":1,"message":"Session ID unknown"}`},
		{http.MethodPost, "?EIO=4&transport=polling", `{"code":2,"message":"Bad handshake method"}`},
		{http.MethodDelete, "?EIO=4&transport=polling", `{"code":2,"message":"Bad handshake method"}`},
		{http.MethodGet, "?EIO=4&transport=websocket", `{"code":3,"message":"Bad request"}`},
	} {
		got := c.must(http.StatusBadRequest, test.method, "/socket.io/"+test.query, "")
		if got.body != test.body {
			t.Errorf("%s %s: got %q, want %q", test.method, test.query, got.body, test.body)
		}
		if ct := got.header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("%s %s: Content-Type %q", test.method, test.query, ct)
		}
	}
	// A body over the limit ends with 413 and nothing in it.
	p := c.poll()
	if got := c.must(http.StatusRequestEntityTooLarge, http.MethodPost, p.path, strings.Repeat("4", 1_000_001)); got.body != "" {
		t.Errorf("413 has a body: %q", got.body)
	}
	// A refused upgrade is answered in text, and the connection closed.
	if _, resp := c.upgrade("&sid=nobody", "Upgrade"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("upgrade of an unknown session: %s", resp.Status)
	}
}

// The framework's CORS middleware serves for Socket.IO, too, and headers are not doubled.
func testCORS(t *testing.T, m *mount, c *client) {
	if !m.cors {
		t.Skip("no CORS middleware in front")
	}
	allowed := func(what string, h http.Header) {
		t.Helper()
		if got := h.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != origin {
			t.Errorf("%s: Access-Control-Allow-Origin %q", what, got)
		}
	}
	const path = "/socket.io/?EIO=4&transport=polling"
	allowed("handshake", c.must(http.StatusOK, http.MethodGet, path, "").header)
	got, err := c.do(http.MethodOptions, path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.status != http.StatusOK && got.status != http.StatusNoContent {
		t.Errorf("preflight: status %d", got.status)
	}
	allowed("preflight", got.header)
	if _, resp := c.upgrade("", "Upgrade"); !m.fasthttp {
		allowed("upgrade", resp.Header)
	}
}

// A handler of the application that panics harms no session.
func testPanic(t *testing.T, _ *mount, c *client) {
	p, s := c.poll(), c.websocket("", "Upgrade").join()
	answer := p.park()
	if got := c.must(http.StatusOK, http.MethodGet, "/hello", "").body; got != "hello" {
		t.Errorf("/hello answered %q", got)
	}
	c.must(http.StatusInternalServerError, http.MethodGet, "/panic", "")
	c.must(http.StatusNotFound, http.MethodGet, "/nowhere", "")
	s.ack()
	p.post(`427["echo","hi"]`)
	if got := answer().body; got != `437["hi"]` {
		t.Fatalf("got %q", got)
	}
}

// The session of a client that goes away while its poll is parked, or that drops its WebSocket, ends without waiting for
// the heartbeat.
func testGone(t *testing.T, m *mount, c *client) {
	c.websocket("", "Upgrade").join().nc.Close()
	c.noSessions()
	if m.fasthttp {
		return
	}
	p := c.poll()
	nc, err := net.Dial("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", p.path, c.addr)
	nc.Close()
	c.noSessions()
}

// Behind fiber's adaptor the heartbeat finds out about a client that went away while its poll was parked.
func TestFiberGone(t *testing.T) {
	c := start(t, serveFiber, eio.Config{PingInterval: 500 * time.Millisecond, PingTimeout: 500 * time.Millisecond})
	p := c.poll()
	nc, err := net.Dial("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", p.path, c.addr)
	nc.Close()
	select {
	case <-c.gone:
	case <-time.After(patience):
		t.Error("the socket is still there")
	}
}

// A middleware that buffers the answer, as http.TimeoutHandler does, leaves polling in order as long as its timeout is not
// reached. A WebSocket is refused.
func TestTimeoutHandler(t *testing.T) {
	c := start(t, handler(func(srv *sio.Server) http.Handler {
		return http.TimeoutHandler(Mux(srv), patience, "too late")
	}), eio.Config{})
	p := c.poll()
	answer := p.park()
	p.post(`427["echo","hi"]`)
	if got := answer().body; got != `437["hi"]` {
		t.Errorf("got %q", got)
	}
	if _, resp := c.upgrade("", "Upgrade"); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("upgrade answered with %s, want 500", resp.Status)
	}
}

// A parked poll outlives http.Server.WriteTimeout where epio can reach the connection's deadline through the middleware.
func TestWriteTimeout(t *testing.T) {
	tests := []struct {
		name  string
		app   func(*sio.Server) http.Handler
		lives bool
	}{
		{"mux", Mux, true},
		{"gin", ginHandler, false}, // gzip's writer has no Unwrap
		{"echo", echoHandler, true},
		{"echo4", echo4Handler, true},
		{"chi", chiHandler, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := start(t, timed(test.app, time.Second), eio.Config{PingInterval: 2 * time.Second})
			c.http.Transport.(*http.Transport).DisableKeepAlives = true // or it tries again when the answer is cut
			p := c.poll()
			got, err := p.do(http.MethodGet, p.path, "", nil)
			switch {
			case !test.lives && err == nil:
				t.Errorf("answered with %q: docs/frameworks.md is out of date", got.body)
			case test.lives && err != nil:
				t.Error(err)
			case test.lives && got.body != "2":
				t.Errorf("got %q, want the PING", got.body)
			}
		})
	}
}
