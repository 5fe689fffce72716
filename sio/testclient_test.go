package sio

import (
	"bufio"
	"compress/flate"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/internal/invariants"
)

// peer is the client's end of a connection, packet by packet. It speaks Engine.IO
// 4 over WebSocket or polling and answers PINGs whenever it reads; everything
// else is written out by the test. It belongs to one goroutine.
type peer struct {
	t    testing.TB
	r    *rig
	mute bool // leave PINGs unanswered

	// WebSocket
	nc       net.Conn
	br       *bufio.Reader
	deflated int // compressed messages so far

	// polling
	url   string
	inbox []packet
}

// packet is one Engine.IO packet: text with its type digit, or a binary message.
type packet struct {
	data   string
	binary bool
}

func (p packet) String() string {
	if p.binary {
		return fmt.Sprintf("binary %x", p.data)
	}
	return fmt.Sprintf("%q", p.data)
}

const upgradeRequest = "GET /socket.io/?EIO=4&transport=websocket%s HTTP/1.1\r\nHost: %s\r\n" +
	"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"

// websocket opens a connection that joins nothing yet.
func (r *rig) websocket() *peer {
	r.t.Helper()
	return r.websocketWith("", "")
}

// websocketWith is websocket with more query ("&a=b") and headers ("A: b\r\n").
func (r *rig) websocketWith(query, headers string) *peer {
	r.t.Helper()
	p, resp := r.knock(query, headers)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		r.t.Fatalf("upgrade answered with %s", resp.Status)
	}
	if got := p.next(); !strings.HasPrefix(got.data, `0{"sid":`) {
		r.t.Fatalf("got %v, want OPEN", got)
	}
	return p
}

// knock asks for a WebSocket and returns the answer, whatever it is.
func (r *rig) knock(query, headers string) (*peer, *http.Response) {
	r.t.Helper()
	for attempt := 1; ; attempt++ {
		nc, err := r.dial()
		if err != nil {
			r.t.Fatal(err)
		}
		p := &peer{t: r.t, r: r, nc: nc, br: bufio.NewReader(nc)}
		r.t.Cleanup(p.close)
		fmt.Fprintf(nc, upgradeRequest, query, r.addr, headers)
		resp, err := http.ReadResponse(p.br, nil)
		if err == nil {
			return p, resp
		}
		r.again(attempt, err)
	}
}

// again ends the test unless err may be the fault of a race build. There netpoll
// finds connections by their descriptors, so that a late event of a closed
// connection, "peer hung up", can hit a new one with the same number.
func (r *rig) again(attempt int, err error) {
	r.t.Helper()
	if r.addr == "memory" || !invariants.Enabled || attempt == 3 {
		r.t.Fatal(err)
	}
}

// polling opens a connection over polling that joins nothing yet.
func (r *rig) polling() *peer {
	r.t.Helper()
	p := &peer{t: r.t, r: r, url: "http://" + r.addr + "/socket.io/?EIO=4&transport=polling"}
	var open string
	for attempt := 1; open == ""; attempt++ {
		got, err := p.read(patience)
		if err != nil {
			r.again(attempt, err)
		}
		open = got.data
	}
	sid, _, _ := strings.Cut(strings.TrimPrefix(open, `0{"sid":"`), `"`)
	if sid == open {
		r.t.Fatalf("got %q, want OPEN", open)
	}
	p.url += "&sid=" + sid
	return p
}

// join opens a WebSocket and joins "/".
func (r *rig) join() (*peer, *Socket) {
	r.t.Helper()
	p := r.websocket()
	return p, p.join("/")
}

// clients opens n WebSockets that join "/".
func (r *rig) clients(n int) ([]*peer, []*Socket) {
	r.t.Helper()
	peers, sockets := make([]*peer, n), make([]*Socket, n)
	for i := range n {
		peers[i], sockets[i] = r.join()
	}
	return peers, sockets
}

// prefix is how packets of a namespace name it.
func prefix(nsp string) string {
	if nsp == "/" {
		return ""
	}
	return nsp + ","
}

// join joins a namespace, with an auth payload in JSON if given, and returns the
// server's end.
func (p *peer) join(nsp string, auth ...string) *Socket {
	p.t.Helper()
	p.send("40" + prefix(nsp) + strings.Join(auth, ""))
	sid := p.joined(nsp)
	name, _, _ := strings.Cut(nsp, "?")
	s := p.r.srv.namespace(name).Socket(sid)
	if s == nil {
		p.t.Fatalf("no socket %s in %s", sid, nsp)
	}
	return s
}

// namespace returns an existing namespace.
func (srv *Server) namespace(name string) *Namespace { return srv.Namespace(name) }

// joined waits for the answer to a CONNECT and returns the socket id in it.
func (p *peer) joined(nsp string) string {
	p.t.Helper()
	got := p.next().data
	sid, ok := strings.CutPrefix(got, "40"+prefix(nsp)+`{"sid":"`)
	sid, ok2 := strings.CutSuffix(sid, `"}`)
	if !ok || !ok2 || len(sid) != 20 {
		p.t.Fatalf("got %q, want CONNECT to %s", got, nsp)
	}
	return sid
}

// send sends packets, each in a WebSocket frame or POST of its own.
func (p *peer) send(packets ...string) {
	p.t.Helper()
	for _, s := range packets {
		if err := p.trySend(s); err != nil {
			p.t.Fatalf("send %q: %v", s, err)
		}
	}
}

// together sends packets in one write or POST.
func (p *peer) together(packets ...string) {
	p.t.Helper()
	if p.nc == nil {
		p.send(strings.Join(packets, "\x1e"))
		return
	}
	if _, err := p.nc.Write(frames(packets...)); err != nil {
		p.t.Fatal(err)
	}
}

// frames puts packets into WebSocket frames.
func frames(packets ...string) []byte {
	var b []byte
	for _, s := range packets {
		b = append(b, clientFrame(ws.OpText, s)...)
	}
	return b
}

func (p *peer) trySend(s string) error {
	if p.nc != nil {
		_, err := p.nc.Write(clientFrame(ws.OpText, s))
		return err
	}
	return p.post(s)
}

func (p *peer) sendBinary(data string) {
	p.t.Helper()
	if p.nc == nil {
		p.send("b" + base64.StdEncoding.EncodeToString([]byte(data)))
		return
	}
	if _, err := p.nc.Write(clientFrame(ws.OpBinary, data)); err != nil {
		p.t.Fatal(err)
	}
}

// clientFrame builds a masked WebSocket frame.
func clientFrame(op ws.OpCode, data string) []byte {
	b := []byte{0x80 | byte(op)}
	switch n := len(data); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, mask[:]...)
	at := len(b)
	b = append(b, data...)
	ws.Cipher(b[at:], mask, 0)
	return b
}

func (p *peer) post(body string) error {
	resp, err := p.r.http.Post(p.url, "text/plain;charset=UTF-8", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "ok" {
		return fmt.Errorf("%s %q %v", resp.Status, b, err)
	}
	return nil
}

// next returns the next packet; PINGs are answered on the way.
func (p *peer) next() packet {
	p.t.Helper()
	for {
		got, err := p.read(patience)
		if err != nil {
			p.t.Fatalf("read: %v", err)
		}
		if got.data != "2" || got.binary || p.mute {
			return got
		}
		p.send("3")
	}
}

// read returns the next packet within the given time.
func (p *peer) read(wait time.Duration) (packet, error) {
	if p.nc == nil {
		return p.poll(wait)
	}
	p.nc.SetReadDeadline(time.Now().Add(wait))
	h, err := ws.ReadHeader(p.br)
	if err != nil {
		return packet{}, err
	}
	payload := make([]byte, h.Length)
	if _, err := io.ReadFull(p.br, payload); err != nil {
		return packet{}, err
	}
	if h.Rsv1() {
		const tail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
		payload, err = io.ReadAll(flate.NewReader(strings.NewReader(string(payload) + tail)))
		if err != nil {
			return packet{}, err
		}
		p.deflated++
	}
	switch h.OpCode {
	case ws.OpText:
		return packet{data: string(payload)}, nil
	case ws.OpBinary:
		return packet{data: string(payload), binary: true}, nil
	}
	return packet{}, fmt.Errorf("frame %v %q: %w", h.OpCode, payload, io.EOF)
}

func (p *peer) poll(wait time.Duration) (packet, error) {
	for len(p.inbox) == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
		if err != nil {
			return packet{}, err
		}
		resp, err := p.r.http.Do(req)
		if err != nil {
			return packet{}, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return packet{}, err
		}
		if resp.StatusCode != http.StatusOK {
			return packet{}, fmt.Errorf("poll answered with %s %q: %w", resp.Status, body, io.EOF)
		}
		for s := range strings.SplitSeq(string(body), "\x1e") {
			switch s[0] {
			case '6': // NOOP
				continue
			case 'b':
				raw, err := base64.StdEncoding.DecodeString(s[1:])
				if err != nil {
					return packet{}, err
				}
				p.inbox = append(p.inbox, packet{string(raw), true})
				continue
			}
			p.inbox = append(p.inbox, packet{data: s})
		}
	}
	got := p.inbox[0]
	if got.data == "1" && !got.binary {
		return packet{}, fmt.Errorf("CLOSE: %w", io.EOF)
	}
	p.inbox = p.inbox[1:]
	return got, nil
}

// want checks the next packets.
func (p *peer) want(packets ...string) {
	p.t.Helper()
	for _, w := range packets {
		if got := p.next(); got != (packet{data: w}) {
			p.t.Fatalf("got %v, want %q", got, w)
		}
	}
}

// wantBinary checks that the next packet is a binary message.
func (p *peer) wantBinary(data string) {
	p.t.Helper()
	if got := p.next(); got != (packet{data, true}) {
		p.t.Fatalf("got %v, want binary %x", got, data)
	}
}

// wantNothing checks, in a bubble and over WebSocket, that the server has sent
// nothing more.
func (p *peer) wantNothing() {
	p.t.Helper()
	synctest.Wait()
	p.nc.SetReadDeadline(time.Now())
	if b, err := p.br.Peek(1); err == nil {
		got, err := p.read(0)
		p.t.Fatalf("got %v (%v, %x), want nothing", got, err, b)
	}
}

// wantEnd checks that the server closes the connection and sends nothing before.
func (p *peer) wantEnd() {
	p.t.Helper()
	got, err := p.read(patience)
	if err == nil {
		p.t.Fatalf("got %v, want the end", got)
	}
	if e, ok := err.(net.Error); ok && e.Timeout() {
		p.t.Fatal("the connection stays open")
	}
}

// close hangs up.
func (p *peer) close() {
	if p.nc != nil {
		p.nc.Close()
	}
}
