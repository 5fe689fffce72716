package mounts

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/epio-go/epio/sio"
)

// patience is how long a test waits for something that must happen. It is well below the ping interval, so that an answer
// which only the next ping pushes out comes too late.
const patience = 10 * time.Second

// client is a browser's HTTP client: it asks for gzip, and for a page of another origin.
type client struct {
	t    *testing.T
	addr string
	http *http.Client

	// For what a client cannot see: the server, and why its sockets were disconnected.
	srv  *sio.Server
	gone <-chan sio.Reason
}

// reply is an HTTP response, its body read and unpacked.
type reply struct {
	status int
	header http.Header
	body   string
}

func newClient(t *testing.T, addr string) *client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, addr: addr, http: &http.Client{Transport: transport}}
}

// do sends a request. wrote, if not nil, is closed when the request is on its way.
func (c *client) do(method, path, body string, wrote chan<- struct{}) (*reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if wrote != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { close(wrote) },
		})
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("Origin", origin)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	if method == http.MethodOptions {
		r.Header.Set("Access-Control-Request-Method", http.MethodPost)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: body: %w", method, path, err)
	}
	// Some middleware announces gzip for an empty body, which clients accept.
	if resp.Header.Get("Content-Encoding") == "gzip" && len(data) > 0 {
		zr, err := gzip.NewReader(bytes.NewReader(data))
		if err == nil {
			data, err = io.ReadAll(zr)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %s: not gzip: %w", method, path, err)
		}
	}
	return &reply{resp.StatusCode, resp.Header, string(data)}, nil
}

// must is do for a request that has to be answered with this status.
func (c *client) must(status int, method, path, body string) *reply {
	c.t.Helper()
	r, err := c.do(method, path, body, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if r.status != status {
		c.t.Fatalf("%s %s: status %d, want %d; body %q", method, path, r.status, status, r.body)
	}
	return r
}

// noSessions waits until the server has no session left.
func (c *client) noSessions() {
	c.t.Helper()
	for end := time.Now().Add(patience); c.srv.Engine().Sessions() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatal("the session of a client that is gone is still there")
		}
	}
}

// poller is a Socket.IO client on HTTP long-polling.
type poller struct {
	*client
	sid, path string
}

// poll opens a session and joins the namespace "/".
func (c *client) poll() *poller {
	c.t.Helper()
	p := &poller{client: c, path: "/socket.io/?EIO=4&transport=polling"}
	p.sid = sid(c.t, c.must(http.StatusOK, http.MethodGet, p.path, "").body)
	p.path += "&sid=" + p.sid
	p.post("40")
	if got := p.get().body; !strings.HasPrefix(got, `40{"sid":"`) {
		c.t.Fatalf("got %q, want CONNECT", got)
	}
	return p
}

// sid returns the session id of an OPEN packet.
func sid(t *testing.T, packet string) string {
	t.Helper()
	var open struct{ SID string }
	rest, ok := strings.CutPrefix(packet, "0")
	if !ok || json.Unmarshal([]byte(rest), &open) != nil || open.SID == "" {
		t.Fatalf("got %q, want OPEN", packet)
	}
	return open.SID
}

func (p *poller) get() *reply {
	p.t.Helper()
	return p.must(http.StatusOK, http.MethodGet, p.path, "")
}

func (p *poller) post(packet string) {
	p.t.Helper()
	if got := p.must(http.StatusOK, http.MethodPost, p.path, packet).body; got != "ok" {
		p.t.Fatalf("POST answered with %q, want ok", got)
	}
}

// park sends a poll and returns, when it is on its way, a function that waits for the answer.
func (p *poller) park() (answer func() *reply) {
	p.t.Helper()
	wrote, done := make(chan struct{}), make(chan struct{})
	var got *reply
	var err error
	go func() {
		defer close(done)
		got, err = p.do(http.MethodGet, p.path, "", wrote)
	}()
	select {
	case <-wrote:
	case <-done: // err says why
	}
	return func() *reply {
		p.t.Helper()
		<-done
		if err != nil {
			p.t.Fatalf("parked poll: %v", err)
		}
		if got.status != http.StatusOK {
			p.t.Fatalf("parked poll: status %d, body %q", got.status, got.body)
		}
		return got
	}
}

// socket is a WebSocket.
type socket struct {
	t  *testing.T
	nc net.Conn
	rw io.ReadWriter
}

// upgrade asks for a WebSocket with a Connection header as clients ("Upgrade") or proxies ("upgrade") write it.
func (c *client) upgrade(query, connection string) (*socket, *http.Response) {
	c.t.Helper()
	nc, err := net.Dial("tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(nc, "GET /socket.io/?EIO=4&transport=websocket%s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nAccept-Encoding: gzip\r\n"+
		"Connection: %s\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		query, c.addr, origin, connection)
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return &socket{t: c.t, nc: nc, rw: struct {
		io.Reader
		io.Writer
	}{br, nc}}, resp
}

// websocket is upgrade for a request that has to succeed.
func (c *client) websocket(query, connection string) *socket {
	c.t.Helper()
	s, resp := c.upgrade(query, connection)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(resp.Body)
		c.t.Fatalf("upgrade answered with %s: %s", resp.Status, body)
	}
	if got := resp.Header.Values("Content-Encoding"); len(got) > 0 {
		c.t.Errorf("the answer to an upgrade has Content-Encoding %q", got)
	}
	return s
}

// join joins the namespace "/" over a new session.
func (s *socket) join() *socket {
	s.t.Helper()
	sid(s.t, s.read())
	s.send("40")
	if got := s.read(); !strings.HasPrefix(got, `40{"sid":"`) {
		s.t.Fatalf("got %q, want CONNECT", got)
	}
	return s
}

func (s *socket) send(packet string) {
	s.t.Helper()
	if err := wsutil.WriteClientText(s.rw, []byte(packet)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socket) read() string {
	s.t.Helper()
	data, op, err := wsutil.ReadServerData(s.rw)
	if err != nil {
		s.t.Fatal(err)
	}
	if op != ws.OpText {
		s.t.Fatalf("got a frame of type %d", op)
	}
	return string(data)
}

// want reads one packet.
func (s *socket) want(packet string) {
	s.t.Helper()
	if got := s.read(); got != packet {
		s.t.Fatalf("got %.200q, want %.200q", got, packet)
	}
}

// ack sends an event and waits for its acknowledgement.
func (s *socket) ack() {
	s.t.Helper()
	s.send(`427["echo","hi"]`)
	s.want(`437["hi"]`)
}
