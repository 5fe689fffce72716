package eio

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// reply is an HTTP response that was read completely.
type reply struct {
	t      *testing.T
	err    error
	status int
	header http.Header
	body   string
}

func (p reply) want(status int, body string) reply {
	p.t.Helper()
	if p.err != nil {
		p.t.Fatalf("no response: %v; want %d %q", p.err, status, body)
	}
	if p.status != status || p.body != body {
		p.t.Fatalf("got %d %q, want %d %q", p.status, p.body, status, body)
	}
	return p
}

func (p reply) wantHeader(name, value string) reply {
	p.t.Helper()
	if got := p.header.Get(name); got != value {
		p.t.Errorf("header %s is %q, want %q", name, got, value)
	}
	return p
}

func (p reply) wantCode(code ErrorCode) reply {
	p.t.Helper()
	return p.want(code.status(), fmt.Sprintf(`{"code":%d,"message":%q}`, code, code.String())).wantHeader("Content-Type", "application/json")
}

// do sends a request. path begins with a slash.
func (r *rig) do(method, path, body string, headers ...string) reply {
	r.t.Helper()
	return r.doContext(context.Background(), method, path, body, headers...)
}

func (r *rig) doContext(ctx context.Context, method, path, body string, headers ...string) reply {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.addr+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return reply{t: r.t, err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{t: r.t, err: err, status: resp.StatusCode, header: resp.Header, body: string(b)}
}

const pollingPath = "/engine.io/?EIO=4&transport=polling"

func (r *rig) get(sid string) reply { return r.do("GET", pollingPath+"&sid="+sid, "") }
func (r *rig) post(sid, body string) reply {
	return r.do("POST", pollingPath+"&sid="+sid, body, "Content-Type", "text/plain;charset=UTF-8")
}

// parked starts a GET and waits until it is parked.
func (r *rig) parked(sid string) <-chan reply {
	r.t.Helper()
	return r.parkedContext(context.Background(), sid)
}

func (r *rig) parkedContext(ctx context.Context, sid string) <-chan reply {
	r.t.Helper()
	c := make(chan reply, 1)
	go func() { c <- r.doContext(ctx, "GET", pollingPath+"&sid="+sid, "") }()
	r.untilParked(sid)
	return c
}

func (r *rig) untilParked(sid string) {
	r.t.Helper()
	s := r.srv.Session(sid)
	eventually(r.t, "GET is parked", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.m.parked
	})
}

// openInfo is the content of an OPEN packet.
type openInfo struct {
	SID          string   `json:"sid"`
	Upgrades     []string `json:"upgrades"`
	PingInterval int      `json:"pingInterval"`
	PingTimeout  int      `json:"pingTimeout"`
	MaxPayload   int      `json:"maxPayload"`
}

func parseOpen(t *testing.T, packet string) openInfo {
	t.Helper()
	var o openInfo
	if !strings.HasPrefix(packet, "0") || json.Unmarshal([]byte(packet[1:]), &o) != nil {
		t.Fatalf("not an OPEN packet: %q", packet)
	}
	return o
}

// poll opens a session on polling and returns its id.
func (r *rig) poll() string {
	r.t.Helper()
	p := r.do("GET", pollingPath, "")
	if p.err != nil || p.status != 200 {
		r.t.Fatalf("handshake: %v %d %q", p.err, p.status, p.body)
	}
	return parseOpen(r.t, p.body).SID
}

// wsClient is the client's end of a WebSocket, frame by frame.
type wsClient struct {
	t      *testing.T
	nc     net.Conn
	br     *bufio.Reader
	status int
	header http.Header
	body   string // of a refused upgrade
	closed bool   // refused with "Connection: close"
	open   openInfo

	deflated int // compressed frames received
}

const wsPath = "/engine.io/?EIO=4&transport=websocket"

// upgrade sends a WebSocket request for path and reads the response head.
// extra is sent in the same write, behind the request.
func (r *rig) upgrade(path string, extra []byte, headers ...string) *wsClient {
	r.t.Helper()
	nc, err := r.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", path, r.addr)
	b.WriteString("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n")
	for i := 0; i < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	b.WriteString("\r\n")
	b.Write(extra)
	return newWSClient(r.t, nc, b.Bytes())
}

func newWSClient(t *testing.T, nc net.Conn, request []byte) *wsClient {
	t.Helper()
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Hour)) // fake time may run far
	if _, err := nc.Write(request); err != nil {
		t.Fatal(err)
	}
	c := &wsClient{t: t, nc: nc, br: bufio.NewReader(nc)}
	resp, err := http.ReadResponse(c.br, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatalf("upgrade: %v", err)
	}
	c.status, c.header = resp.StatusCode, resp.Header
	if c.status != 101 {
		b, _ := io.ReadAll(resp.Body)
		c.body = string(b)
		c.closed = resp.Close
	}
	return c
}

// websocket opens a session on WebSocket.
func (r *rig) websocket(extraQuery ...string) *wsClient {
	r.t.Helper()
	c := r.upgrade(wsPath+strings.Join(extraQuery, ""), nil)
	c.want101()
	c.open = parseOpen(r.t, c.text())
	return c
}

// candidate opens a WebSocket for a session on polling.
func (r *rig) candidate(sid string) *wsClient {
	r.t.Helper()
	c := r.upgrade(wsPath+"&sid="+sid, nil)
	c.want101()
	return c
}

func (c *wsClient) want101() {
	c.t.Helper()
	if c.status != 101 || c.header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.t.Fatalf("upgrade answered with %d %v %q", c.status, c.header, c.body)
	}
}

// clientFrame builds a masked frame. first holds FIN, RSV and the opcode.
func clientFrame(first byte, payload []byte) []byte {
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, mask[:]...)
	at := len(b)
	b = append(b, payload...)
	ws.Cipher(b[at:], mask, 0)
	return b
}

func textFrame(s string) []byte { return clientFrame(0x81, []byte(s)) }

func (c *wsClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *wsClient) send(packets ...string) {
	c.t.Helper()
	for _, p := range packets {
		c.write(textFrame(p))
	}
}

// frame reads one frame, and decompresses it if that was negotiated.
func (c *wsClient) frame() (ws.OpCode, []byte, error) {
	h, payload, err := readServerFrame(c.br)
	if err == nil && h.Rsv == 4 && !h.OpCode.IsControl() && c.header.Get("Sec-WebSocket-Extensions") != "" {
		h.Rsv = 0
		c.deflated++
		payload, err = unflate(payload)
	}
	if err == nil && (h.Masked || !h.Fin || h.Rsv != 0) {
		c.t.Errorf("bad frame from the server: %+v", h)
	}
	return h.OpCode, payload, err
}

func readServerFrame(r io.Reader) (ws.Header, []byte, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return h, nil, err
	}
	if h.Length > 16<<20 {
		return h, nil, fmt.Errorf("frame of %d bytes", h.Length)
	}
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(r, payload)
	return h, payload, err
}

func (c *wsClient) text() string {
	c.t.Helper()
	op, p, err := c.frame()
	if err != nil || op != ws.OpText {
		c.t.Fatalf("got frame %v %q %v, want text", op, p, err)
	}
	return string(p)
}

func (c *wsClient) want(packets ...string) {
	c.t.Helper()
	for _, w := range packets {
		if got := c.text(); got != w {
			c.t.Fatalf("got packet %q, want %q", got, w)
		}
	}
}

func (c *wsClient) wantBinary(want ...byte) {
	c.t.Helper()
	op, p, err := c.frame()
	if err != nil || op != ws.OpBinary || !bytes.Equal(p, want) {
		c.t.Fatalf("got frame %v %x %v, want binary %x", op, p, err, want)
	}
}

// wantCloseFrame reads a close frame with code (1005: without one), answers it and
// waits for the end of the stream.
func (c *wsClient) wantCloseFrame(code int) {
	c.t.Helper()
	op, p, err := c.frame()
	if err != nil || op != ws.OpClose {
		c.t.Fatalf("got frame %v %q %v, want close %d", op, p, err, code)
	}
	got := 1005
	if len(p) >= 2 {
		got = int(binary.BigEndian.Uint16(p))
	}
	if got != code {
		c.t.Fatalf("closed with %d, want %d", got, code)
	}
	c.nc.Write(clientFrame(0x88, p))
	c.wantEOF()
}

func (c *wsClient) wantEOF() {
	c.t.Helper()
	if op, p, err := c.frame(); err == nil {
		c.t.Fatalf("got frame %v %q, want the end", op, p)
	}
}

func (c *wsClient) close() { c.nc.Close() }
