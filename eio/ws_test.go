package eio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

func TestWebSocketHandshake(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		c := r.upgrade(wsPath, nil)
		c.want101()
		for name, want := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Extensions": "", "Set-Cookie": ""} {
			if got := c.header.Get(name); got != want {
				t.Errorf("header %s is %q, want %q", name, got, want)
			}
		}
		s := r.session()
		c.want(`0{"sid":"` + s.ID() + `","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
		if s.Transport() != WebSocket {
			t.Errorf("session is on %v", s.Transport())
		}
	})
}

func TestWebSocketEcho(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		c := r.websocket()
		c.send("4hello", "4", "4€")
		c.want("4hello", "4", "4€")
		c.write(clientFrame(0x82, []byte{1, 2, 3}))
		c.wantBinary(1, 2, 3)
		c.write(clientFrame(0x82, nil)) // an empty binary frame is an empty message
		c.wantBinary()
		c.send("bAQIDBA==") // base64 is accepted in a text frame
		c.wantBinary(1, 2, 3, 4)
		big := strings.Repeat("x", 100_000)
		c.send("4" + big)
		c.want("4" + big)
		r.wantSaid("hello", "", "€", "0x010203", "0x", "0x01020304", big)
		// OPEN, UPGRADE, NOOP, PONG are ignored; WebSocket's own PING is answered.
		c.send("0", "5", "6", "3")
		c.write(clientFrame(0x89, []byte("are you there")))
		if op, p, err := c.frame(); op != ws.OpPong || string(p) != "are you there" {
			t.Errorf("got %v %q %v, want a pong", op, p, err)
		}
		c.write(clientFrame(0x8a, []byte("unasked")))
		c.send("4end")
		c.want("4end")
	})
}

func TestWebSocketPipelined(t *testing.T) {
	// Frames sent along with the request are not lost, whole or in part.
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		frames := append(textFrame("4one"), textFrame("4two")...)
		for _, cut := range []int{len(frames), len(frames) - 3, 1} {
			c := r.upgrade(wsPath, frames[:cut])
			c.want101()
			c.text()
			c.write(frames[cut:])
			c.want("4one", "4two")
		}
	})
}

func TestWebSocketByteByByte(t *testing.T) {
	r := doors[2].open(t, Config{}, nil)
	c := r.websocket()
	for _, b := range append(textFrame("4slow"), clientFrame(0x82, bytes.Repeat([]byte("y"), 300))...) {
		c.write([]byte{b})
	}
	c.want("4slow")
	c.wantBinary(bytes.Repeat([]byte("y"), 300)...)
}

func TestWebSocketFragments(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		c := r.websocket()
		c.write(clientFrame(0x01, []byte("4he")))
		c.write(clientFrame(0x89, []byte("in between")))
		c.write(clientFrame(0x00, []byte("ll\xe2\x82"))) // a rune is cut in two
		c.write(clientFrame(0x00, nil))
		c.write(clientFrame(0x80, []byte("\xac!")))
		if op, p, err := c.frame(); op != ws.OpPong || string(p) != "in between" {
			t.Errorf("got %v %q %v, want a pong", op, p, err)
		}
		c.want("4hell€!")
		c.write(clientFrame(0x02, []byte{1}))
		c.write(clientFrame(0x80, []byte{2}))
		c.wantBinary(1, 2)
	})
}

func TestWebSocketBase64(t *testing.T) {
	// A connection with b64 in its query gets no binary frames.
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{InitialPacket: &InitialPacket{Data: []byte{9}, Binary: true}}, nil)
		c := r.websocket("&b64=1")
		c.want("bCQ==")
		c.write(clientFrame(0x82, []byte{1, 2, 3, 4}))
		c.want("bAQIDBA==")
		b := r.srv.Engine().NewBatch()
		r.session().Queue(codec.NewBinaryFrame([]byte{5}), b)
		b.Flush()
		c.want("bBQ==")
		c = r.websocket("&b64=")
		c.wantBinary(9)
	})
}

// TestWebSocketViolations holds what breaks RFC 6455 or the packet format, with the
// close code and reason that follow.
func TestWebSocketViolations(t *testing.T) {
	huge := func(n uint64) []byte {
		return binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, n)
	}
	tests := []struct {
		name   string
		bytes  []byte
		code   int
		reason Reason
		cause  error
	}{
		{"unknown packet", textFrame("9"), 1005, ParseError, codec.ErrPacket},
		{"empty text", textFrame(""), 1005, ParseError, codec.ErrPacket},
		{"PING from the client", textFrame("2"), 1005, TransportError, ErrHeartbeat},
		{"probe on an open session", textFrame("2probe"), 1005, TransportError, ErrHeartbeat},
		{"CLOSE from the client", textFrame("1"), 1005, TransportClose, nil},
		{"too big", clientFrame(0x82, make([]byte, 2001)), 1009, TransportError, ErrMessageTooBig},
		{"too big, header only", huge(5000), 1009, TransportError, ErrMessageTooBig},
		{"2^63-1 bytes", huge(1<<63 - 1), 1009, TransportError, ErrMessageTooBig},
		{"2^63 bytes", huge(1 << 63), 1002, TransportError, ErrWebSocketProtocol},
		{"2^64-1 bytes", huge(1<<64 - 1), 1002, TransportError, ErrWebSocketProtocol},
		{"too big over fragments", append(clientFrame(0x02, make([]byte, 1500)), 0x80, 0x80|126, 0x01, 0xf5), 1009, TransportError, ErrMessageTooBig},
		{"bad UTF-8", textFrame("4\xff"), 1007, TransportError, ErrWebSocketUTF8},
		{"bad UTF-8 in the first fragment", clientFrame(0x01, []byte("4\xc0\xaf")), 1007, TransportError, ErrWebSocketUTF8},
		{"rune cut at the end", append(clientFrame(0x01, []byte("4\xe2")), clientFrame(0x80, []byte("\x82"))...), 1007, TransportError, ErrWebSocketUTF8},
		{"not masked", []byte{0x81, 2, '4', 'x'}, 1002, TransportError, ErrWebSocketProtocol},
		{"RSV bit", clientFrame(0xc1, []byte("4x")), 1002, TransportError, ErrWebSocketProtocol},
		{"reserved opcode", clientFrame(0x83, nil), 1002, TransportError, ErrWebSocketProtocol},
		{"reserved control opcode", clientFrame(0x8b, nil), 1002, TransportError, ErrWebSocketProtocol},
		{"long PING", clientFrame(0x89, make([]byte, 126)), 1002, TransportError, ErrWebSocketProtocol},
		{"fragmented PING", clientFrame(0x09, nil), 1002, TransportError, ErrWebSocketProtocol},
		{"continuation of nothing", clientFrame(0x80, nil), 1002, TransportError, ErrWebSocketProtocol},
		{"message within a message", append(clientFrame(0x01, []byte("4")), textFrame("4")...), 1002, TransportError, ErrWebSocketProtocol},
		{"close with one byte", clientFrame(0x88, []byte{3}), 1002, TransportError, ErrWebSocketProtocol},
		{"close with a bad code", clientFrame(0x88, []byte{3, 237}), 1002, TransportError, ErrWebSocketProtocol},
		{"close with bad UTF-8", clientFrame(0x88, []byte{3, 232, 0xff}), 1007, TransportError, ErrWebSocketUTF8},
		{"close", clientFrame(0x88, nil), 1005, TransportClose, nil},
		{"close with a code", clientFrame(0x88, append([]byte{3, 232}, "bye"...)), 1000, TransportClose, nil},
		{"close with a private code", clientFrame(0x88, []byte{0x0f, 0xa0}), 4000, TransportClose, nil},
	}
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxPayload: 2000}, nil)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				r := *r
				r.t = t
				c := r.websocket()
				c.write(tt.bytes)
				c.wantCloseFrame(tt.code)
				if tt.cause != nil {
					r.wantClose(tt.reason, tt.cause)
				} else {
					r.wantClose(tt.reason)
				}
			})
		}
		if r.srv.Sessions() != 0 {
			t.Errorf("%d sessions left", r.srv.Sessions())
		}
	})
}

func TestWebSocketCloseError(t *testing.T) {
	r := doors[2].open(t, Config{}, nil)
	c := r.websocket()
	c.write(clientFrame(0x88, append([]byte{3, 233}, "going"...)))
	e := wait(t, r.app.closed, "Close")
	if ce, ok := errors.AsType[*CloseError](e.err); !ok || ce.Code != 1001 || ce.Text != "going" {
		t.Errorf("cause is %#v", e.err)
	}
}

func TestWebSocketExactlyMax(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxPayload: 2000}, &app{})
		c := r.websocket()
		text := strings.Repeat("x", 1999)
		c.send("4" + text)
		r.wantSaid(text)
		c.write(clientFrame(0x02, make([]byte, 1500)))
		c.write(clientFrame(0x80, make([]byte, 500)))
		r.wantSaid(fmt.Sprintf("0x%x", make([]byte, 2000)))
	})
}

func TestWebSocketPeerVanishes(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		c := r.websocket()
		c.write(clientFrame(0x02, []byte("unfinished"))) // its memory must come back
		c.close()
		r.wantClose(TransportClose)
	})
}

func TestWebSocketServerClose(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		c := r.websocket()
		s := r.session()
		s.SendMessage([]byte("last words"), false)
		s.Close("server shutting down")
		r.wantClose("server shutting down")
		c.send("4ignored", "1")
		c.want("4last words")
		c.wantCloseFrame(1005)
		if err := s.SendMessage([]byte("x"), false); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		if len(r.app.said) != 0 {
			t.Errorf("message after Close: %q", <-r.app.said)
		}

		// From inside Message; the rest of what has arrived is dropped.
		a := &app{}
		a.onMessage = func(s *Session, data []byte, _ bool) {
			s.Close(ForcedClose)
			a.said <- string(data)
		}
		r = d.open(t, Config{}, a)
		c = r.websocket()
		c.write(append(textFrame("4one"), textFrame("4two")...))
		c.wantCloseFrame(1005)
		r.wantSaid("one")
		r.wantClose(ForcedClose)
		if len(r.app.said) != 0 {
			t.Errorf("message after Close: %q", <-r.app.said)
		}
	})
}

func TestWebSocketPause(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		a := &app{}
		a.onMessage = func(s *Session, data []byte, _ bool) {
			if string(data) == "stop" {
				s.Pause()
			}
			a.said <- string(data)
		}
		r := d.open(t, Config{}, a)
		c := r.websocket()
		s := r.session()
		for range 50 {
			c.write(append(textFrame("4stop"), append(textFrame("4go"), textFrame("4on")...)...))
			r.wantSaid("stop")
			c.write(textFrame("4later"))
			if len(a.said) != 0 {
				t.Fatal("message while paused")
			}
			s.Resume()
			r.wantSaid("go", "on", "later")
		}
		// The end of a paused session: the peer's close frame is still heard.
		second := r.websocket()
		r.session().Pause()
		second.send("4never")
		r.srv.Session(second.open.SID).Close(ForcedClose)
		second.wantCloseFrame(1005)
		r.wantClose(ForcedClose)
		// Pause from outside takes effect before the next message.
		s.Pause()
		c.send("4held")
		s.Resume()
		r.wantSaid("held")
	})
}

func TestWebSocketBroadcast(t *testing.T) {
	// One frame, many receivers on different transports.
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		c := r.websocket()
		onWS := r.session()
		sid := r.poll()
		onPolling := r.session()
		f := pool.Copy([]byte("\x81\x0b451-[\"bin\"]\x82\x02\x07\x08")).Seal(0)
		f.Retain(2)
		b := r.srv.Engine().NewBatch()
		for _, s := range []*Session{onWS, onPolling} {
			if err := s.Queue(f, b); err != nil {
				t.Fatal(err)
			}
		}
		f.Release()
		b.Flush()
		c.want(`451-["bin"]`)
		c.wantBinary(7, 8)
		r.get(sid).want(200, `451-["bin"]`+"\x1ebBwg=")
	})
}

func TestWebSocketVolatile(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		c := r.websocket()
		s := r.session()
		// The OPEN packet may still be on its way when the client has it already.
		eventually(t, "taken by an idle connection", func() bool {
			return s.SendVolatile(codec.NewTextFrame(codec.Message, "now"))
		})
		c.want("4now")
	})
}

func TestWebSocketSendBuffer(t *testing.T) {
	r := doors[2].open(t, Config{SendBuffer: 64 << 10}, nil)
	r.websocket() // and never reads again
	s := r.session()
	chunk := make([]byte, 32<<10)
	var err error
	for range 10_000 {
		if err = s.SendMessage(chunk, true); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrBufferFull) {
		t.Fatalf("sending without end: %v", err)
	}
	if n := s.Buffered(); n == 0 || n > 64<<10 {
		t.Errorf("%d bytes buffered", n)
	}
	if s.SendVolatile(codec.NewBinaryFrame(chunk)) {
		t.Error("volatile packet taken by a connection that is full")
	}
}
