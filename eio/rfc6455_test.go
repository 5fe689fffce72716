package eio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/invariants"
)

// The tests in rfc6455*_test.go follow the categories of the Autobahn test-suite: 1
// framing, 2 pings and pongs, 3 reserved bits, 4 opcodes, 5 fragmentation, 6 UTF-8, 7
// close, 9 limits, 10 fragmentation by the sender. What is echoed are Engine.IO messages.

// strictDoors are both doors on every engine.
var strictDoors = append(slices.Clone(doors), door{name: "door=http,engine=netpoll", reactor: engine.Netpoll})

// eachStrictDoor runs f once per door; where everything takes several times as long each engine has one of its two.
func eachStrictDoor(t *testing.T, f func(t *testing.T, d door)) {
	for i, d := range strictDoors {
		if invariants.Enabled && i != 1 && i != 2 && i != 5 {
			continue
		}
		t.Run(d.name, func(t *testing.T) { f(t, d) })
	}
}

// exchange is what a client sends on a fresh WebSocket and what it hears: one string per
// frame, opcode and content, with the content in hex for binary ("binary 0102") and
// behind the status for close ("close 1002", "close 1000 bye", "close" without status).
// Unless the last frame heard is a close, the connection must go on.
type exchange struct {
	name  string
	send  []byte
	hear  []string
	cause error // with a close: of the session's end
}

// violation is an exchange that ends with the status of cause.
func violation(name string, send []byte, cause error, hearFirst ...string) exchange {
	status := map[error]string{ErrWebSocketProtocol: "close 1002", ErrWebSocketUTF8: "close 1007", ErrMessageTooBig: "close 1009", codec.ErrPacket: "close", ErrHeartbeat: "close"}
	return exchange{name, send, append(hearFirst, status[cause]), cause}
}

// run plays exchanges on one server per door, each in one write and in small ones.
func run(t *testing.T, cfg Config, exchanges []exchange) {
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, cfg, nil)
		for _, e := range exchanges {
			for _, piece := range []int{len(e.send), 1, 7} {
				if len(e.send)/piece > 2000 {
					piece = len(e.send)/100 | 1
				}
				t.Run(fmt.Sprintf("%s/piece=%d", e.name, piece), func(t *testing.T) { r.play(t, e, piece) })
			}
		}
	})
}

func (r *rig) play(t *testing.T, e exchange, piece int) {
	sub := *r
	sub.t = t
	for len(r.app.said) > 0 {
		<-r.app.said
	}
	c := sub.websocket()
	c.nc.SetDeadline(time.Now().Add(patience))
	for rest := e.send; len(rest) > 0; {
		n := min(piece, len(rest))
		if _, err := c.nc.Write(rest[:n]); err != nil {
			break // the server may be done with us already
		}
		rest = rest[n:]
	}
	c.hear(t, e.hear...)
	if last := e.hear[max(len(e.hear)-1, 0):]; len(last) == 1 && strings.HasPrefix(last[0], "close") {
		c.nc.Write(clientFrame(0x88, nil))
		c.wantEOF()
		end := wait(t, r.app.closed, "Close")
		switch {
		case e.cause == nil:
			if end.reason != TransportClose {
				t.Errorf("closed with %q (%v)", end.reason, end.err)
			}
		case errors.Is(e.cause, codec.ErrPacket):
			if end.reason != ParseError || !errors.Is(end.err, e.cause) {
				t.Errorf("closed with %q (%v)", end.reason, end.err)
			}
		case end.reason != TransportError || !errors.Is(end.err, e.cause):
			t.Errorf("closed with %q (%v), want %v", end.reason, end.err, e.cause)
		}
		return
	}
	c.send("4the end")
	c.hear(t, "text 4the end")
	c.close()
	wait(t, r.app.closed, "Close")
}

// heard reads a frame and describes it in the notation of exchange.
func (c *wsClient) heard(t *testing.T) string {
	t.Helper()
	head, err := c.br.Peek(2)
	if err != nil {
		return err.Error()
	}
	form := int(head[1])
	op, p, err := c.frame()
	if err != nil {
		return err.Error()
	}
	if (form < 126) != (len(p) < 126) || (form < 127) != (len(p) <= 0xffff) {
		t.Errorf("frame of %d bytes with the length form %d", len(p), form)
	}
	switch op {
	case ws.OpBinary:
		return fmt.Sprintf("binary %x", p)
	case ws.OpClose:
		if len(p) == 0 {
			return "close"
		}
		return strings.TrimSpace(fmt.Sprintf("close %d %s", binary.BigEndian.Uint16(p), p[2:]))
	}
	return map[ws.OpCode]string{ws.OpText: "text", ws.OpPing: "ping", ws.OpPong: "pong"}[op] + " " + string(p)
}

// hear reads frames and compares them with want.
func (c *wsClient) hear(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := c.heard(t); got != w {
			t.Fatalf("got frame %.80q, want %.80q", got, w)
		}
	}
}

func text(s string) []byte              { return clientFrame(0x81, []byte(s)) }
func ping(s string) []byte              { return clientFrame(0x89, []byte(s)) }
func frame(first byte, s string) []byte { return clientFrame(first, []byte(s)) }
func join(frames ...[]byte) []byte      { return slices.Concat(frames...) }
func closing(code int, why string) []byte {
	return frame(0x88, string([]byte{byte(code >> 8), byte(code)})+why)
}

func TestFraming(t *testing.T) { // Autobahn 1
	var all []exchange
	for _, n := range []int{0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536} {
		s := strings.Repeat("*", n)
		if n > 0 {
			packet := "4" + s[1:]
			all = append(all, exchange{name: fmt.Sprintf("text of %d", n), send: text(packet), hear: []string{"text " + packet}})
		}
		all = append(all, exchange{name: fmt.Sprintf("binary of %d", n), send: frame(0x82, s), hear: []string{fmt.Sprintf("binary %x", s)}})
	}
	all = append(all,
		exchange{name: "many in one", send: bytes.Repeat(join(text("4a"), frame(0x82, "b")), 50), hear: slices.Repeat([]string{"text 4a", "binary 62"}, 50)},
		violation("empty text is no packet", text(""), codec.ErrPacket),
	)
	run(t, Config{}, all)
}

// longForm frames payload with the length form 126 or 127, needed or not.
func longForm(first byte, form byte, payload string) []byte {
	b := clientFrame(first, []byte(payload))
	b = b[len(b)-len(payload)-4:] // mask and payload
	if form == 126 {
		return append(binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(len(payload))), b...)
	}
	return append(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(len(payload))), b...)
}

func TestLengths(t *testing.T) { // RFC 6455 section 5.2
	huge := func(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, n) }
	long := strings.Repeat("x", 65535)
	run(t, Config{MaxPayload: 70_000}, []exchange{
		// Longer forms than needed are not to be sent, but the reference takes them.
		{name: "0 in 16 bits", send: longForm(0x82, 126, ""), hear: []string{"binary "}},
		{name: "5 in 16 bits", send: longForm(0x81, 126, "4abcd"), hear: []string{"text 4abcd"}},
		{name: "5 in 64 bits", send: longForm(0x81, 127, "4abcd"), hear: []string{"text 4abcd"}},
		{name: "65535 in 64 bits", send: longForm(0x82, 127, long), hear: []string{fmt.Sprintf("binary %x", long)}},
		violation("PING in 16 bits", longForm(0x89, 126, "x"), ErrWebSocketProtocol),
		violation("PING in 64 bits", longForm(0x89, 127, "x"), ErrWebSocketProtocol),
		violation("PONG in 16 bits", longForm(0x8a, 126, ""), ErrWebSocketProtocol),
		violation("close in 16 bits", longForm(0x88, 126, "\x03\xe8"), ErrWebSocketProtocol),
		violation("the top bit", huge(1<<63), ErrWebSocketProtocol),
		violation("all bits", huge(1<<64-1), ErrWebSocketProtocol),
		violation("2^63-1", huge(1<<63-1), ErrMessageTooBig),
		violation("2^53", huge(1<<53), ErrMessageTooBig),
		violation("2^32", huge(1<<32), ErrMessageTooBig),
	})
	// The form says nothing about the size, however small the limit.
	run(t, Config{MaxPayload: 10}, []exchange{
		{name: "small limit, 16 bits", send: longForm(0x82, 126, "abc"), hear: []string{"binary 616263"}},
		{name: "small limit, 64 bits", send: longForm(0x82, 127, "abc"), hear: []string{"binary 616263"}},
	})
}

func TestMasking(t *testing.T) { // RFC 6455 section 5.3
	masked := func(mask [4]byte, payload []byte) []byte {
		b := append([]byte{0x82, 0x80 | byte(len(payload))}, mask[:]...)
		for i, c := range payload {
			b = append(b, c^mask[i%4])
		}
		return b
	}
	var send []byte
	var hear []string
	payload := []byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	for n := range payload { // each starts at another alignment than the one before
		for _, mask := range [][4]byte{{}, {0xff, 0xff, 0xff, 0xff}, {1, 2, 3, 4}, {0x80, 0, 0, 0}, {0, 0, 0, 0x80}} {
			send = append(send, masked(mask, payload[:n])...)
			hear = append(hear, fmt.Sprintf("binary %x", payload[:n]))
		}
	}
	run(t, Config{}, []exchange{
		{name: "every alignment", send: send, hear: hear},
		violation("text not masked", []byte{0x81, 2, '4', 'x'}, ErrWebSocketProtocol),
		violation("binary not masked", join(text("4a"), []byte{0x82, 0}), ErrWebSocketProtocol, "text 4a"),
		violation("PING not masked", []byte{0x89, 0}, ErrWebSocketProtocol),
		violation("close not masked", []byte{0x88, 0}, ErrWebSocketProtocol),
		violation("continuation not masked", join(frame(0x01, "4"), []byte{0x80, 1, 'x'}), ErrWebSocketProtocol),
	})
}

func TestPingPong(t *testing.T) { // Autobahn 2
	s125 := strings.Repeat("\xfe", 125)
	many := func(n int) (send []byte, hear []string) {
		for i := range n {
			send = append(send, ping(fmt.Sprint(i))...)
			hear = append(hear, fmt.Sprintf("pong %d", i))
		}
		return send, hear
	}
	ten, tenPongs := many(10)
	run(t, Config{}, []exchange{
		{name: "empty", send: ping(""), hear: []string{"pong "}},
		{name: "text", send: ping("Hello, world!"), hear: []string{"pong Hello, world!"}},
		{name: "binary", send: ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), hear: []string{"pong \x00\xff\xfe\xfd\xfc\xfb\x00\xff"}},
		{name: "125", send: ping(s125), hear: []string{"pong " + s125}},
		violation("126", ping(s125+"x"), ErrWebSocketProtocol),
		{name: "unsolicited pong", send: frame(0x8a, "")},
		{name: "unsolicited pong with content", send: frame(0x8a, "unasked")},
		{name: "unsolicited pong of 125", send: frame(0x8a, s125)},
		violation("pong of 126", frame(0x8a, s125+"x"), ErrWebSocketProtocol),
		{name: "unsolicited pong, then a ping", send: join(frame(0x8a, "unasked"), ping("a")), hear: []string{"pong a"}},
		{name: "ten", send: ten, hear: tenPongs},
		{name: "between messages", send: join(text("4a"), ping("p"), text("4b")), hear: []string{"text 4a", "pong p", "text 4b"}},
	})
}

// A thousand PINGs at once may share PONGs: the first ones have theirs and the last one has, and none comes twice or out
// of order.
func TestManyPings(t *testing.T) {
	const n = 1000
	var all []byte
	for i := range n {
		all = append(all, ping(fmt.Sprint(i))...)
	}
	eachStrictDoor(t, func(t *testing.T, d door) {
		c := d.open(t, Config{}, nil).websocket()
		c.nc.SetDeadline(time.Now().Add(patience))
		c.write(all)
		for last := -1; last < n-1; {
			got := -1
			heard := c.heard(t)
			if _, err := fmt.Sscanf(heard, "pong %d", &got); err != nil || got <= last || last < manyPings-1 && got != last+1 {
				t.Fatalf("got %q behind the PONG for %d", heard, last)
			}
			last = got
		}
		c.close()
	})
}

func TestReservedBits(t *testing.T) { // Autobahn 3
	var all []exchange
	for rsv := byte(1); rsv < 8; rsv++ {
		for what, first := range map[string]byte{"text": 0x81, "binary": 0x82, "first fragment": 0x01, "ping": 0x89, "pong": 0x8a, "close": 0x88} {
			payload := "4x"
			if first == 0x88 {
				payload = "\x03\xe8"
			}
			bad := frame(first|rsv<<4, payload)
			all = append(all, violation(fmt.Sprintf("%s with %03b", what, rsv), join(text("4a"), bad, ping("never answered")), ErrWebSocketProtocol, "text 4a"))
		}
		all = append(all, violation(fmt.Sprintf("last fragment with %03b", rsv), join(frame(0x01, "4"), frame(0x80|rsv<<4, "x")), ErrWebSocketProtocol))
	}
	run(t, Config{}, all)
}

func TestReservedOpcodes(t *testing.T) { // Autobahn 4
	var all []exchange
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		all = append(all,
			violation(fmt.Sprintf("%d alone", op), frame(0x80|op, ""), ErrWebSocketProtocol),
			violation(fmt.Sprintf("%d with content", op), join(frame(0x80|op, "4x"), ping("never answered")), ErrWebSocketProtocol),
			violation(fmt.Sprintf("%d behind a message", op), join(text("4a"), frame(0x80|op, "")), ErrWebSocketProtocol, "text 4a"),
			violation(fmt.Sprintf("%d within a message", op), join(frame(0x01, "4a"), frame(0x80|op, ""), frame(0x80, "b")), ErrWebSocketProtocol),
			violation(fmt.Sprintf("%d as a fragment", op), frame(op, "4x"), ErrWebSocketProtocol),
		)
	}
	run(t, Config{}, all)
}

// TestVanishedPeers holds connections that end without a closing handshake, which is
// status 1006 in the words of RFC 6455 section 7.1.5.
func TestVanishedPeers(t *testing.T) {
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for name, before := range map[string][]byte{
			"nothing": nil, "a message": text("4a"), "half a header": {0x81}, "half a frame": text("4abc")[:7],
			"half a message": frame(0x01, "4abc"), "half a length": {0x82, 0xff, 0, 0},
		} {
			for _, how := range []string{"FIN", "half-close", "RST"} {
				c := r.websocket()
				c.write(before)
				tcp := c.nc.(*net.TCPConn)
				switch how {
				case "half-close":
					tcp.CloseWrite()
				case "RST":
					tcp.SetLinger(0)
					tcp.Close()
				default:
					tcp.Close()
				}
				end := wait(t, r.app.closed, "Close")
				if end.reason != TransportClose {
					t.Errorf("%s, then %s: closed with %q (%v)", name, how, end.reason, end.err)
				}
			}
		}
	})
}
