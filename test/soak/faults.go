package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"time"
)

// garbage sends what no server can accept, and expects the connection to end.
func (a *actor) garbage() {
	h := a.how()
	switch a.rnd.IntN(3) {
	case 0:
		a.did("garbage: bytes")
		b := make([]byte, 1+a.rnd.IntN(2000))
		for i := range b {
			b[i] = byte(a.rnd.Uint32())
		}
		a.rawly(h, append(b, "\r\n\r\n"...))
	case 1:
		a.did("garbage: requests")
		all := []string{
			"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 7\r\nSec-WebSocket-Key: x\r\n",
			"GET /socket.io/?EIO=4&transport=pigeons HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
			"GET /socket.io/?EIO=4&transport=polling&sid=nobody HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
			"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n",
			"GET /elsewhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
			"GET / HTTP/1.1\r\nHost x\r\n",
		}
		a.rawly(h, []byte(all[a.rnd.IntN(len(all))]+"\r\n"))
	default:
		a.garbageInSession(h)
	}
}

// rawly sends bytes on a new connection and reads until the server ends it, or the run does.
func (a *actor) rawly(h how, b []byte) {
	nc, err := net.DialTimeout("tcp", h.addr(), dialTime)
	if err != nil {
		if !a.run.draining(h.node.ID) {
			a.failf(h, "dial: %v", err)
		}
		return
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(a.run.o.endTime()))
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-a.stop:
			nc.Close()
		case <-done:
		}
	}()
	nc.Write(b)
	if _, err := io.Copy(io.Discard, nc); isTimeout(err) {
		a.failf(h, "the server keeps a connection that has sent %.80q", b)
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// garbageInSession breaks the protocol in an open session.
func (a *actor) garbageInSession(h how) {
	c := a.connect(h)
	if c == nil {
		return
	}
	defer c.sess.shut(false)
	if a.rnd.IntN(2) == 0 {
		if _, err := c.join("/"); err != nil {
			if !c.excused() {
				a.failf(h, "CONNECT: %v", err)
			}
			return
		}
	}
	a.did("garbage: in a session")
	text := func(s string) message { return message{false, []byte(s)} }
	n := a.rnd.IntN(9)
	if ws := c.sess.ws; ws != nil && n < 5 {
		ws.write([][]byte{
			{0x81, 0x01, '2'},                                // not masked
			{0xb1, 0x81, 0, 0, 0, 0, '3'},                    // reserved bits
			{0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4}, // 4 GiB
			appendFrame(nil, 0x81, []byte("4\xff\xfe")),      // not UTF-8
			appendFrame(nil, 0x83, []byte("x")),              // no such opcode
		}[n])
		a.ended(c, fmt.Sprintf("frame %d", n))
		return
	}
	parsers := []message{text("9"), text("4"), text("49"), text("42{\"not\":"), text("42[\"msg\",")}
	if h.node.Parser == "msgpack" {
		parsers = []message{text("9"), {true, []byte{0xc1}}, {true, []byte{0x81, 0xa4, 't', 'y', 'p', 'e', 99}}, text("40")}
		if n == 0 {
			parsers = []message{{true, bytes.Repeat([]byte{0x91}, 10_000)}}
		}
	}
	m := parsers[n%len(parsers)]
	if m.binary && h.v3 {
		return
	}
	c.sess.raw(m)
	a.ended(c, fmt.Sprintf("packet %.20q", m.data))
}

// unfinished begins things and does not go on.
func (a *actor) unfinished() {
	h := a.how()
	switch a.rnd.IntN(4) {
	case 0:
		a.did("unfinished: nothing sent")
		a.rawly(h, nil)
	case 1:
		a.did("unfinished: half a request")
		a.rawly(h, []byte("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgr"))
	case 2:
		a.did("unfinished: polling handshake and no more")
		p := newPoller(h.addr(), "EIO=4")
		defer p.close()
		if _, err := p.get(); err != nil && !a.run.draining(h.node.ID) {
			a.failf(h, "handshake: %v", err)
		}
	default:
		h.v3 = false
		if h.node.Parser != "json" {
			return
		}
		c := a.connect(h)
		if c == nil {
			return
		}
		if _, err := c.join("/"); err != nil {
			if !c.excused() {
				a.failf(h, "CONNECT: %v", err)
			}
			c.sess.shut(false)
			return
		}
		a.did("unfinished: attachments that do not come")
		c.sess.send(message{false, []byte(`52-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)}, message{true, []byte("one")})
		a.ended(c, "an attachment is missing")
	}
}
