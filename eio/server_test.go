package eio

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/epio-go/epio/pool"
)

func TestConfigProblems(t *testing.T) {
	_, err := NewServer(Config{
		Path: "x y", PingInterval: time.Microsecond, PingTimeout: -1, UpgradeTimeout: 1500 * time.Microsecond,
		MaxPayload: -1, Transports: []string{"polling", "polling", "carrier-pigeon"}, MaxConns: -1, SendBuffer: 1,
		HandshakeTimeout: 1, MaxHeaderBytes: 1, Cookie: &Cookie{Name: "a b", MaxAge: -1},
		CORS: &CORSOptions{Origins: []string{"*", "example.com", "https://x/"}, Reflect: true, MaxAge: 1},
	}, nil)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("error is %v", err)
	}
	fields := make(map[string]bool)
	for _, e := range joined.Unwrap() {
		if inner, ok := e.(interface{ Unwrap() []error }); ok {
			for _, e := range inner.Unwrap() {
				ce, ok := errors.AsType[*ConfigError](e)
				if !ok {
					t.Errorf("%v is no ConfigError", e)
					continue
				}
				fields[ce.Field] = true
			}
		}
	}
	for _, f := range []string{
		"Path", "PingInterval", "PingTimeout", "UpgradeTimeout", "MaxPayload", "Transports", "MaxConns", "SendBuffer",
		"HandshakeTimeout", "MaxHeaderBytes", "Cookie", "Cookie.MaxAge", "CORS.Origins", "CORS.MaxAge",
	} {
		if !fields[f] {
			t.Errorf("no problem reported for %s: %v", f, err)
		}
	}
	if _, err := NewServer(Config{CORS: &CORSOptions{Credentials: true}}, &app{}); err == nil {
		t.Error("credentials for any origin accepted")
	}
	if _, err := NewServer(Config{Transports: []string{}}, &app{}); err == nil {
		t.Error("no transports accepted")
	}
}

func TestSessionSize(t *testing.T) {
	size := unsafe.Sizeof(Session{})
	t.Logf("Session %d bytes: machine %d; on polling also outbox %d; candidate %d; handshake %d and its text",
		size, unsafe.Sizeof(machine{}), unsafe.Sizeof(outbox{}), unsafe.Sizeof(candidate{}), unsafe.Sizeof(Handshake{}))
	if size > 208 {
		t.Errorf("a Session has %d bytes, more than its size class of 208", size)
	}
}

func TestShutdown(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		parked := r.parked(sid)
		c := r.websocket()
		r.session().SendMessage([]byte("polling"), false)
		wait(t, parked, "the first packet").want(200, "4polling")
		parked = r.parked(sid)
		r.session().SendMessage([]byte("ws"), false)
		done := make(chan error, 1)
		go func() { done <- r.srv.Shutdown(context.Background()) }()
		wait(t, parked, "the parked GET").want(200, "1")
		c.want("4ws")
		c.wantCloseFrame(1005)
		if err := wait(t, done, "Shutdown"); err != nil {
			t.Error(err)
		}
		r.wantClose(ForcedClose)
		r.wantClose(ForcedClose)
		if !d.direct { // the HTTP server is ours; it still asks
			r.do("GET", pollingPath, "").wantCode(CodeShuttingDown)
			if c := r.upgrade(wsPath, nil); c.status != 503 {
				t.Errorf("upgrade: got %d", c.status)
			}
		}
		if ln, err := net.Listen("tcp", "127.0.0.1:0"); err != nil || r.srv.Serve(ln) != ErrServerClosed {
			t.Errorf("Serve after Shutdown (%v)", err)
		}
	})
}

// A client that begins while the server shuts down gets what was sent to it, as any other. Until its connection is in the
// engine only the request knows of it.
func TestShutdownDuringHandshake(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		live := pool.Live()
		var r *rig
		done := make(chan error, 1)
		r = d.open(t, Config{}, &app{onOpen: func(s *Session) {
			s.SendMessage([]byte("in Open"), false)
			go func() { done <- r.srv.Shutdown(context.Background()) }()
			time.Sleep(time.Second)
			if !s.Closed() {
				t.Error("the session is open")
			}
		}})
		c := r.websocket()
		c.want("4in Open")
		c.wantCloseFrame(1005)
		if err := wait(t, done, "Shutdown"); err != nil {
			t.Error(err)
		}
		r.wantClose(ForcedClose)
		r.stop()
		synctest.Wait() // the request gives back its own buffers last
		if n := pool.Live(); n != live {
			t.Errorf("%d buffers are left", n-live)
		}
	})
}

// Close leaves nothing of such a client.
func TestCloseDuringHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := pool.Live()
		var r *rig
		r = memoryDoors[0].open(t, Config{}, &app{onOpen: func(s *Session) {
			s.SendMessage([]byte("in Open"), false)
			s.Close(ForcedClose)
			go r.srv.Close()
			time.Sleep(time.Second)
		}})
		c := r.websocket()
		if op, p, err := c.frame(); err != io.EOF {
			t.Errorf("got frame %v %q, %v, want io.EOF", op, p, err)
		}
		r.wantClose(ForcedClose)
		r.stop()
		synctest.Wait() // the request gives back its own buffers last
		if n := pool.Live(); n != live {
			t.Errorf("%d buffers are left", n-live)
		}
	})
}

func TestShutdownDeadline(t *testing.T) {
	// A polling client that does not come back is dropped after a while, or when the
	// context ends.
	eachMemoryDoor(t, func(t *testing.T, d door) {
		for _, c := range []struct {
			limit, took time.Duration
			err         error
		}{
			{5 * time.Second, pollGrace, nil},
			{pollGrace / 2, pollGrace / 2, context.DeadlineExceeded},
		} {
			r := d.open(t, Config{}, nil)
			r.poll()
			ctx, cancel := context.WithTimeout(context.Background(), c.limit)
			start := time.Now()
			err := r.srv.Shutdown(ctx)
			if took := time.Since(start); !errors.Is(err, c.err) || took < c.took || took > c.took+10*time.Millisecond {
				t.Errorf("Shutdown with %v returned %v after %v", c.limit, err, took)
			}
			if r.srv.Sessions() != 0 {
				t.Errorf("%d sessions left", r.srv.Sessions())
			}
			cancel()
		}
	})
}

func TestServeTwoListeners(t *testing.T) {
	r := doors[2].open(t, Config{}, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.srv.Serve(ln) }()
	first := r.websocket()
	r.addr = ln.Addr().String()
	second := r.websocket()
	ln.Close() // the user's own doing
	if err := wait(t, done, "Serve"); !errors.Is(err, net.ErrClosed) || errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve returned %v", err)
	}
	for _, c := range []*wsClient{first, second} {
		c.send("4x")
		c.want("4x")
	}
}

func TestBehindWrappers(t *testing.T) {
	// Middleware that wraps the writer, and a mux in front that strips a prefix.
	a := &app{echo: true}
	a.init(t)
	srv, err := NewServer(Config{}, a)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/engine.io/", http.StripPrefix("/engine.io", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Outer", "yes")
		srv.ServeHTTP(wrapped{w}, r)
	})))
	hs := httptest.NewServer(mux)
	defer hs.Close()
	defer srv.Close()
	addr := hs.Listener.Addr().String()
	r := &rig{t: t, srv: srv, app: a, addr: addr, http: hs.Client(), dial: func() (net.Conn, error) { return net.Dial("tcp", addr) }}
	sid := r.poll()
	r.post(sid, "4x").want(200, "ok").wantHeader("X-Outer", "yes")
	c := r.websocket()
	if c.header.Get("X-Outer") != "yes" {
		t.Error("header of a middleware is missing in the 101")
	}
	c.send("4x")
	c.want("4x")
}

type wrapped struct{ w http.ResponseWriter }

func (w wrapped) Header() http.Header         { return w.w.Header() }
func (w wrapped) Write(p []byte) (int, error) { return w.w.Write(p) }
func (w wrapped) WriteHeader(status int)      { w.w.WriteHeader(status) }
func (w wrapped) Unwrap() http.ResponseWriter { return w.w }

func TestNoHijack(t *testing.T) {
	a := &app{}
	a.init(t)
	srv, err := NewServer(Config{}, a)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	req := httptest.NewRequest("GET", wsPath, nil)
	for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"} {
		req.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, req)
	if w.Code != 500 || srv.Sessions() != 0 {
		t.Errorf("got %d, %d sessions", w.Code, srv.Sessions())
	}
	// A refusal needs no hijack.
	req.URL.RawQuery = "EIO=4&transport=websocket&sid=x"
	w = httptest.NewRecorder()
	srv.ServeHTTP(w, req)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "Session ID unknown") {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	a.settled()
}

func TestHTTP2(t *testing.T) {
	// Polling works over HTTP/2; a WebSocket is refused in plain words.
	a := &app{echo: true}
	a.init(t)
	srv, err := NewServer(Config{}, a)
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewUnstartedServer(srv)
	hs.EnableHTTP2 = true
	hs.StartTLS()
	defer hs.Close()
	defer srv.Close()
	do := func(method, path, body string) (int, string) {
		req, _ := http.NewRequest(method, hs.URL+path, strings.NewReader(body))
		resp, err := hs.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Fatalf("got %s", resp.Proto)
		}
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	_, body := do("GET", pollingPath, "")
	sid := parseOpen(t, body).SID
	if !srv.Session(sid).Handshake().Secure() || srv.Session(sid).Handshake().Request().TLS == nil {
		t.Error("handshake is not secure")
	}
	if status, body := do("POST", pollingPath+"&sid="+sid, "4hello"); status != 200 || body != "ok" {
		t.Errorf("POST: %d %q", status, body)
	}
	if status, body := do("GET", pollingPath+"&sid="+sid, ""); status != 200 || body != "4hello" {
		t.Errorf("GET: %d %q", status, body)
	}
	if status, body := do("GET", wsPath, ""); status != 400 || body != `{"code":3,"message":"Bad request"}` {
		t.Errorf("websocket: %d %q", status, body)
	}
}

func TestTLS(t *testing.T) {
	for _, d := range []string{"http", "direct"} {
		t.Run("door="+d, func(t *testing.T) {
			a := &app{echo: true}
			a.init(t)
			srv, err := NewServer(Config{Cookie: &Cookie{}}, a)
			if err != nil {
				t.Fatal(err)
			}
			ln, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS())
			if err != nil {
				t.Fatal(err)
			}
			hs := &http.Server{Handler: srv}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if d == "direct" {
					srv.Serve(ln)
				} else {
					hs.Serve(ln)
				}
			}()
			defer func() { srv.Close(); hs.Close(); <-done }()
			addr := ln.Addr().String()
			dial := func() (net.Conn, error) { return tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) }
			tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() }}
			defer tr.CloseIdleConnections()
			r := &rig{t: t, srv: srv, app: a, addr: addr, dial: dial, http: &http.Client{Transport: tr}}
			p := r.do("GET", pollingPath, "")
			sid := parseOpen(t, p.body).SID
			p.wantHeader("Set-Cookie", "io="+sid+"; Path=/; HttpOnly; Secure; SameSite=Lax")
			if !r.session().Handshake().Secure() {
				t.Error("polling handshake is not secure")
			}
			c := r.candidate(sid)
			c.send("2probe")
			c.want("3probe")
			c.send("5", "4hello")
			c.want("4hello")
			c = r.websocket()
			if !r.session().Handshake().Secure() {
				t.Error("WebSocket handshake is not secure")
			}
			c.send("4hello")
			c.want("4hello")
		})
	}
}

func TestLongHead(t *testing.T) {
	for _, d := range doors[2:] {
		t.Run(d.name, func(t *testing.T) {
			r := d.open(t, Config{MaxHeaderBytes: 2000}, nil)
			if c := r.upgrade(wsPath, nil, "X-Long", strings.Repeat("x", 2000)); c.status != 431 {
				t.Errorf("got %d", c.status)
			}
			nc, err := r.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			fmt.Fprint(nc, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 2500)) // no end in sight
			if resp, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || resp.StatusCode != 431 {
				t.Errorf("got %v, %v", resp, err)
			}
			r.upgrade(wsPath, nil, "X-Long", strings.Repeat("x", 1500)).want101()
		})
	}
}

func TestHeadInPieces(t *testing.T) {
	// A request head that arrives byte by byte, for each kind of request.
	synctest.Test(t, func(t *testing.T) {
		r := memoryDoors[1].open(t, Config{}, nil)
		for request, want := range map[string]string{
			"GET " + wsPath + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n": "HTTP/1.1 101",
			"GET " + pollingPath + " HTTP/1.1\r\nHost: x\r\n\r\n":                                        "HTTP/1.1 200",
			"POST " + pollingPath + "&sid=x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n4ab":         "HTTP/1.1 400",
			"GET /other HTTP/1.1\r\nHost: x\r\n\r\n":                                                     "HTTP/1.1 404",
			"GET /other HTTP/1.1\r\n\r\n":                                                                "HTTP/1.1 400",
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                                           "HTTP/1.1 404",
			"complete nonsense\r\n\r\n":                                                                  "HTTP/1.1 400",
			"GET " + pollingPath + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": "HTTP/1.1 200",
		} {
			nc, err := r.dial()
			if err != nil {
				t.Fatal(err)
			}
			for i := range len(request) {
				nc.Write([]byte(request[i : i+1]))
				synctest.Wait()
			}
			line, err := bufio.NewReader(nc).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, want) {
				t.Errorf("%.40q: got %q %v, want %s", request, line, err, want)
			}
			nc.Close()
		}
	})
}

// TestChurn opens and ends sessions in every way; open checks that nothing is left.
func TestChurn(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		ends := []func(s *Session, c *wsClient){
			func(s *Session, c *wsClient) { s.Close(ForcedClose); c.wantCloseFrame(1005) },
			func(s *Session, c *wsClient) { s.Discard(ForcedClose) },
			func(s *Session, c *wsClient) { c.close() },
			func(s *Session, c *wsClient) { c.send("1") },
			func(s *Session, c *wsClient) { c.send("x") },
			func(s *Session, c *wsClient) { c.write(clientFrame(0x88, nil)) },
			func(s *Session, c *wsClient) { c.write([]byte{0xff, 0xff}) },
			func(s *Session, c *wsClient) { c.write(clientFrame(0x01, []byte("4half a message"))); c.close() },
			func(s *Session, c *wsClient) {
				s.SendMessage(make([]byte, 100_000), true)
				c.close()
			},
		}
		for round := range 3 {
			for _, f := range ends {
				c := r.websocket()
				f(r.session(), c)
				wait(t, r.app.closed, "Close")

				sid := r.poll()
				s := r.session()
				c = r.candidate(sid)
				if round > 0 {
					c.send("2probe")
					c.want("3probe")
				}
				c.send("5")
				eventually(t, "upgraded", func() bool { return s.Transport() == WebSocket })
				f(s, c)
				wait(t, r.app.closed, "Close")
			}
			for _, f := range []func(s *Session, sid string){
				func(s *Session, sid string) { s.Discard(ForcedClose) },
				func(s *Session, sid string) { r.post(sid, "1").want(200, "ok") },
				func(s *Session, sid string) { r.post(sid, "x").want(200, "ok") },
				func(s *Session, sid string) { s.SendMessage([]byte("x"), false); s.Discard(ForcedClose) },
				func(s *Session, sid string) { p := r.parked(sid); s.Close(ForcedClose); wait(t, p, "the GET") },
				func(s *Session, sid string) { r.candidate(sid); s.Discard(ForcedClose) },
				func(s *Session, sid string) { s.Close(ForcedClose); r.get(sid).want(200, "6\x1e1") },
			} {
				sid := r.poll()
				f(r.session(), sid)
				wait(t, r.app.closed, "Close")
			}
		}
		eventually(t, "all sessions are gone", func() bool { return r.srv.Sessions() == 0 })
	})
}

// silent is an application that does nothing.
type silent struct{}

func (silent) Open(*Session)                  {}
func (silent) Message(*Session, []byte, bool) {}
func (silent) Close(*Session, Reason, error)  {}
