package eio

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
)

const (
	pollingPathV3 = "/engine.io/?EIO=3&transport=polling"
	wsPathV3      = "/engine.io/?EIO=3&transport=websocket"
)

var allowV3 = Config{AllowEIO3: true}

// openV3 opens a session on polling; more is added to the query.
func (r *rig) openV3(more string) string {
	r.t.Helper()
	p := r.do("GET", pollingPathV3+more, "")
	_, packet, ok := strings.Cut(p.body, ":")
	if p.err != nil || p.status != 200 || !ok {
		r.t.Fatalf("handshake: %v %d %q", p.err, p.status, p.body)
	}
	return parseOpen(r.t, packet).SID
}

func (r *rig) getV3(sid string) reply { return r.do("GET", pollingPathV3+"&sid="+sid, "") }

func (r *rig) postV3(sid, body string) reply {
	return r.do("POST", pollingPathV3+"&sid="+sid, body, "Content-Type", "text/plain;charset=UTF-8")
}

func (r *rig) postBinaryV3(sid, body string) reply {
	return r.do("POST", pollingPathV3+"&sid="+sid, body, "Content-Type", "application/octet-stream")
}

func TestHandshakeV3(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, allowV3, nil)
		// Whatever is not exactly 4 means 3.
		for _, revision := range []string{"EIO=3&", "", "EIO=&", "EIO=5&", "EIO=abc&", "EIO=44&"} {
			p := r.do("GET", "/engine.io/?"+revision+"transport=polling", "")
			_, packet, _ := strings.Cut(p.body, ":")
			sid := parseOpen(t, packet).SID
			open := `0{"sid":"` + sid + `","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
			p.want(200, fmt.Sprintf("%d:%s", len(open), open))
			p.wantHeader("Content-Type", "text/plain; charset=UTF-8").wantHeader("Cache-Control", "no-store")
			if s := r.session(); s.Protocol() != 3 || s.ID() != sid {
				t.Errorf("%q: session %s speaks %d", revision, s.ID(), s.Protocol())
			}
			c := r.upgrade("/engine.io/?"+revision+"transport=websocket", nil)
			c.want101()
			if o := parseOpen(t, c.text()); len(o.Upgrades) != 0 || r.session().Protocol() != 3 {
				t.Errorf("%q: %+v", revision, o)
			}
		}

		// A session has one revision.
		old, modern := r.openV3(""), r.poll()
		r.get(old).wantCode(CodeBadRequest)
		r.getV3(modern).wantCode(CodeBadRequest)
		if c := r.upgrade(wsPath+"&sid="+old, nil); c.status != 400 || c.body != "Bad request" {
			t.Errorf("got %d %q", c.status, c.body)
		}
		r.wantAlive(modern)
		r.postV3(old, "2:4a").want(200, "ok")
		r.getV3(old).want(200, "2:4a")
	})
}

func TestPollingV3(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, allowV3, nil)
		sid := r.openV3("")
		p := r.postV3(sid, "6:4hello2:4€3:4😀10:b4AQIDBA==").want(200, "ok")
		p.wantHeader("Content-Type", "text/html").wantHeader("Cache-Control", "no-store")
		r.wantSaid("hello", "€", "😀", "0x01020304")
		// One binary message makes the whole payload binary.
		p = r.getV3(sid).want(200, "\x00\x06\xff4hello\x00\x04\xff4€\x00\x05\xff4😀\x01\x05\xff\x04\x01\x02\x03\x04")
		p.wantHeader("Content-Type", "application/octet-stream").wantHeader("Cache-Control", "no-store")

		r.postBinaryV3(sid, "\x00\x05\xff4😀\x01\x03\xff\x04\xff\x00").want(200, "ok")
		r.wantSaid("😀", "0xff00")
		r.getV3(sid)
		r.postV3(sid, "2:4a3:4bc").want(200, "ok")
		r.wantSaid("a", "bc")
		r.getV3(sid).want(200, "2:4a3:4bc").wantHeader("Content-Type", "text/plain; charset=UTF-8")

		// The client pings; what it writes behind the 2 does not come back.
		r.postV3(sid, "6:2probe1:2").want(200, "ok")
		r.getV3(sid).want(200, "1:31:3")

		// Told not to send raw binary.
		sid = r.openV3("&b64=1")
		r.postBinaryV3(sid, "\x01\x05\xff\x04\x01\x02\x03\x04").want(200, "ok")
		r.wantSaid("0x01020304")
		r.getV3(sid).want(200, "10:b4AQIDBA==").wantHeader("Content-Type", "text/plain; charset=UTF-8")
	})
}

func TestPollingCloseV3(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		for _, tt := range []struct {
			name, body string
			binary     bool
			reason     Reason
			parked     string
		}{
			{"the client closes", "1:12:4a", false, TransportClose, "1:6"},
			{"wrong direction", "1:3", false, TransportError, "1:1"},
			{"no length", "hello", false, ParseError, "1:1"},
			{"too long", "7:4hello", false, ParseError, "1:1"},
			{"empty", "", false, ParseError, "1:1"},
			{"unknown type", "1:7", false, ParseError, "1:1"},
			{"binary, no end of the length", "\x00\x06", true, ParseError, "1:1"},
			{"binary, too long", "\x00\x09\xff4hello", true, ParseError, "1:1"},
			{"binary, ill-formed text", "\x00\x02\xff4\xff", true, ParseError, "1:1"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				r := d.open(t, allowV3, &app{})
				sid := r.openV3("")
				parked := make(chan reply, 1)
				go func() { parked <- r.getV3(sid) }()
				r.untilParked(sid)
				post := r.postV3
				if tt.binary {
					post = r.postBinaryV3
				}
				post(sid, tt.body).want(200, "ok")
				wait(t, parked, "the parked GET").want(200, tt.parked)
				r.wantClose(tt.reason)
				r.getV3(sid).wantCode(CodeUnknownSession)
				if len(r.app.said) != 0 {
					t.Errorf("message %q was delivered", <-r.app.said)
				}
				r.stop()
			})
		}

		// Closed by the server while no poll is there.
		r := d.open(t, allowV3, nil)
		sid := r.openV3("")
		r.session().Close(ForcedClose)
		r.getV3(sid).want(200, "1:61:1")

		// Harmless: nothing, and packets that mean nothing.
		sid = r.openV3("")
		r.postV3(sid, "0:").want(200, "ok")
		r.postBinaryV3(sid, "").want(200, "ok")
		r.postV3(sid, "1:b2:b91:01:51:6").want(200, "ok")
		r.postV3(sid, "6:4there").want(200, "ok")
		r.getV3(sid).want(200, "6:4there")
	})
}

func TestPostLimitV3(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{AllowEIO3: true, MaxPayload: 100}, nil)
		sid := r.openV3("")
		r.postBinaryV3(sid, strings.Repeat("x", 101)).want(413, "")
		full := "\x01\x09\x06\xff\x04" + strings.Repeat("x", 95)
		r.postBinaryV3(sid, full).want(200, "ok")
		r.getV3(sid).want(200, full)
	})
}

func TestWebSocketV3(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, allowV3, nil)
		for query, want := range map[string]func(*wsClient){
			"":       func(c *wsClient) { c.wantBinary(4, 1, 2) },
			"&b64=1": func(c *wsClient) { c.want("b4AQI=") },
		} {
			c := r.upgrade(wsPathV3+query, nil)
			c.want101()
			parseOpen(t, c.text())
			c.write(clientFrame(0x82, []byte{4, 1, 2}))
			want(c)
			c.send("b4AQI=")
			want(c)
			c.send("4€", "2", "2probe")
			c.want("4€", "3", "3")
			// Packets that mean nothing.
			c.write(clientFrame(0x82, nil))
			c.write(clientFrame(0x82, []byte("4a")))
			c.send("0", "5", "6", "b", "b9", "4on")
			c.want("4on")
			c.send("3")
			c.wantCloseFrame(1005)
			r.wantSaid("0x0102", "0x0102", "€", "on")
			r.wantClose(TransportError, ErrHeartbeat)
		}
		for _, bad := range []string{"7", "x", ""} {
			c := r.upgrade(wsPathV3, nil)
			c.want101()
			c.text()
			c.send(bad)
			c.wantCloseFrame(1005)
			r.wantClose(ParseError)
		}
	})
}

func TestUpgradeV3(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, allowV3, nil)
		for query, binary := range map[string]func(*wsClient){
			"":       func(c *wsClient) { c.wantBinary(4, 1, 2, 3) },
			"&b64=1": func(c *wsClient) { c.want("b4AQID") },
		} {
			sid := r.openV3("")
			s := r.session()
			parked := make(chan reply, 1)
			go func() { parked <- r.getV3(sid) }()
			r.untilParked(sid)
			c := r.upgrade(wsPathV3+"&sid="+sid+query, nil)
			c.want101()
			c.send("2probe")
			c.want("3probe")
			wait(t, parked, "the parked GET").want(200, "1:6")
			s.SendMessage([]byte{1, 2, 3}, true)
			s.SendMessage([]byte("text"), false)
			c.send("5", "4first")
			binary(c)
			c.want("4text", "4first")
			s.SendMessage([]byte{1, 2, 3}, true)
			binary(c)
			r.wantSaid("first")
			r.getV3(sid).wantCode(CodeBadRequest)
			c.close()
			r.wantClose(TransportClose)
		}

		// The probe is text.
		sid := r.openV3("")
		for _, frame := range [][]byte{clientFrame(0x82, []byte("\x02probe")), textFrame("b2cHJvYmU="), clientFrame(0x82, []byte{4})} {
			c := r.upgrade(wsPathV3+"&sid="+sid, nil)
			c.want101()
			c.write(frame)
			c.wantCloseFrame(1005)
		}
		r.postV3(sid, "6:4there").want(200, "ok")
		r.getV3(sid).want(200, "6:4there")
	})
}

func TestInitialPacketV3(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{AllowEIO3: true, InitialPacket: &InitialPacket{Data: []byte{1, 2}, Binary: true}}, nil)
		p := r.do("GET", pollingPathV3, "").wantHeader("Content-Type", "application/octet-stream")
		if !strings.HasPrefix(p.body, "\x00\x01") || !strings.HasSuffix(p.body, "\x01\x03\xff\x04\x01\x02") {
			t.Errorf("first response is %q", p.body)
		}
		if p := r.do("GET", pollingPathV3+"&b64=1", ""); !strings.HasSuffix(p.body, "}6:b4AQI=") {
			t.Errorf("first response is %q", p.body)
		}
		c := r.upgrade(wsPathV3, nil)
		c.want101()
		c.text()
		c.wantBinary(4, 1, 2)
	})
}

func TestHeartbeatV3(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, allowV3, nil)
		within := func(start time.Time, least time.Duration) {
			t.Helper()
			if e := time.Since(start); e < least || e > least+least/50 {
				t.Errorf("ended after %v, want %v", e, least)
			}
		}
		c := r.upgrade(wsPathV3, nil)
		c.want101()
		c.text()
		for range 4 {
			time.Sleep(44 * time.Second)
			c.send("2")
			c.want("3")
		}
		start := time.Now()
		c.wantCloseFrame(1005)
		within(start, 45*time.Second)
		r.wantClose(PingTimeout)

		// On polling; the parked GET learns of it.
		sid := r.openV3("")
		time.Sleep(20 * time.Second)
		r.postV3(sid, "1:2").want(200, "ok")
		r.getV3(sid).want(200, "1:3")
		start = time.Now()
		r.getV3(sid).want(200, "1:1")
		within(start, 45*time.Second)
		r.wantClose(PingTimeout)

		// After an upgrade.
		start = time.Now()
		sid = r.openV3("")
		c = r.upgrade(wsPathV3+"&sid="+sid, nil)
		c.send("2probe", "5")
		c.want("3probe")
		c.wantCloseFrame(1005)
		within(start, 45*time.Second)
		r.wantClose(PingTimeout)
	})
}

// A broadcast makes a frame once in each form, and text is the same in all.
func TestForms(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, allowV3, &app{})
		for path, want := range map[string]struct {
			form codec.Form
			op   ws.OpCode
			data string
		}{
			wsPath:               {codec.FormPlain, ws.OpBinary, "\x01\x02"},
			wsPath + "&b64=1":    {codec.FormBase64, ws.OpText, "bAQI="},
			wsPathV3:             {codec.FormV3, ws.OpBinary, "\x04\x01\x02"},
			wsPathV3 + "&b64=1":  {codec.FormV3Base64, ws.OpText, "b4AQI="},
			wsPathV3 + "&b64=&j": {codec.FormV3, ws.OpBinary, "\x04\x01\x02"},
		} {
			c := r.upgrade(path, nil)
			c.want101()
			c.text()
			s := r.session()
			// A hijacked connection is the session's a moment after its OPEN.
			eventually(t, "the form is known", func() bool { return s.conn.Load() != nil })
			if got := s.Form(); got != want.form {
				t.Fatalf("%s: form %d, want %d", path, got, want.form)
			}
			b := r.srv.Engine().NewBatch()
			text := codec.NewTextFrame(codec.Message, "text")
			text.Retain(1)
			if err := s.Queue(text, b); err != nil {
				t.Fatal(err)
			}
			if err := s.Queue(codec.NewBinaryFrame([]byte{1, 2}), b); err != nil {
				t.Fatal(err)
			}
			b.Flush()
			c.want("4text")
			if op, data, err := c.frame(); err != nil || op != want.op || string(data) != want.data {
				t.Errorf("%s: %v %q %v, want %v %q", path, op, data, err, want.op, want.data)
			}
			if want.form != codec.FormPlain {
				ready := codec.NewFrameIn(want.form, plainBinary)
				ready.Retain(1)
				b = r.srv.Engine().NewBatch()
				if err := s.QueueForm(ready, b); err != nil {
					t.Fatal(err)
				}
				b.Flush()
				if op, data, err := c.frame(); err != nil || op != want.op || string(data) != want.data {
					t.Errorf("%s: %v %q %v, want %v %q", path, op, data, err, want.op, want.data)
				}
				eventually(t, "the connection is writable", func() bool { return s.Buffered() == 0 })
				b = r.srv.Engine().NewBatch()
				if !s.QueueFormVolatile(ready, b) {
					t.Errorf("%s: dropped", path)
				}
				b.Flush()
				if op, data, err := c.frame(); err != nil || op != want.op || string(data) != want.data {
					t.Errorf("%s: %v %q %v, want %v %q", path, op, data, err, want.op, want.data)
				}
			}
			text.Release()
		}
		r.poll()
		if s := r.session(); s.Form() != codec.FormPlain {
			t.Errorf("polling has the form %d", s.Form())
		}
	})
}

// plainBinary is a binary message of 1 and 2 as a frame.
var plainBinary = []byte{0x82, 2, 1, 2}
