package eio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestClosing(t *testing.T) { // Autobahn 7, RFC 6455 sections 5.5.1 and 7
	all := []exchange{
		{name: "empty", send: frame(0x88, ""), hear: []string{"close"}},
		{name: "with a text", send: closing(1000, "bye"), hear: []string{"close 1000 bye"}},
		{name: "with a long text", send: closing(1000, strings.Repeat("*", 123)), hear: []string{"close 1000 " + strings.Repeat("*", 123)}},
		{name: "with runes", send: closing(3333, "tschüß, €"), hear: []string{"close 3333 tschüß, €"}},
		{name: "behind a message", send: join(text("4a"), closing(1000, "")), hear: []string{"text 4a", "close 1000"}},
		{name: "two", send: join(closing(1000, ""), closing(1001, "")), hear: []string{"close 1000"}},
		{name: "then a ping", send: join(closing(1000, ""), ping("p")), hear: []string{"close 1000"}},
		{name: "then a message", send: join(closing(1000, ""), text("4never")), hear: []string{"close 1000"}},
		{name: "then nonsense", send: join(closing(1000, ""), []byte{0xff, 0xff, 0xff}), hear: []string{"close 1000"}},
		{name: "then half a frame", send: join(closing(1000, ""), text("4never")[:5]), hear: []string{"close 1000"}},
		{name: "then a big message", send: join(closing(1000, ""), frame(0x82, strings.Repeat("x", 256<<10))), hear: []string{"close 1000"}},
		violation("one byte", frame(0x88, "\x03"), ErrWebSocketProtocol),
		violation("too long", closing(1000, strings.Repeat("*", 124)), ErrWebSocketProtocol),
		violation("text that is no UTF-8", closing(1000, "\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), ErrWebSocketUTF8),
		violation("text cut in a rune", closing(1000, "\xe2\x82"), ErrWebSocketUTF8),
		violation("bad status and bad text", closing(1005, "\xff"), ErrWebSocketProtocol),
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		all = append(all, exchange{name: fmt.Sprint(code), send: closing(code, ""), hear: []string{fmt.Sprintf("close %d", code)}})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		all = append(all, violation(fmt.Sprint(code), closing(code, ""), ErrWebSocketProtocol))
	}
	run(t, Config{}, all)
}

func TestCloseCodes(t *testing.T) {
	// Every status there is, against the list of the IANA registry.
	valid := map[int]bool{}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014} {
		valid[code] = true
	}
	for code := 3000; code < 5000; code++ {
		valid[code] = true
	}
	for code := range 1 << 16 {
		ce, err := parseClose([]byte{byte(code >> 8), byte(code), 'x'})
		switch {
		case valid[code] && (err != nil || int(ce.Code) != code || ce.Text != "x"):
			t.Errorf("%d: got %v, %v", code, ce, err)
		case !valid[code] && !errors.Is(err, ErrWebSocketProtocol):
			t.Errorf("%d: got %v, %v", code, ce, err)
		}
	}
}

func TestServerCloses(t *testing.T) {
	// The server's close frame is the last it sends, and it waits for the client's.
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for name, answer := range map[string][]byte{
			"empty":             frame(0x88, ""),
			"another status":    closing(1001, "so be it"),
			"behind messages":   join(text("4never"), ping("p"), frame(0x82, strings.Repeat("x", 70_000)), frame(0x88, "")),
			"within a message":  join(frame(1, "4never"), frame(0x88, "")),
			"behind a bad one":  join(text("9"), frame(0x88, "")),
			"broken":            frame(0x88, "\x03"),
			"in pieces of long": frame(0x88, "\x03\xe8"+strings.Repeat("x", 123)),
		} {
			t.Run(name, func(t *testing.T) {
				c := r.websocket()
				c.nc.SetDeadline(time.Now().Add(patience))
				s := wait(t, r.app.opened, "Open")
				s.SendMessage([]byte("last"), false)
				s.Close(ForcedClose)
				c.hear(t, "text 4last", "close")
				for _, b := range answer[:min(len(answer), 3)] {
					c.write([]byte{b})
				}
				c.write(answer[min(len(answer), 3):])
				if got := c.heard(t); got != io.EOF.Error() {
					t.Errorf("got %.80q behind the close frame", got)
				}
				if e := wait(t, r.app.closed, "Close"); e.reason != ForcedClose || e.err != nil {
					t.Errorf("closed with %q (%v)", e.reason, e.err)
				}
			})
		}
		if len(r.app.said) != 0 {
			t.Errorf("message after Close: %.80q", <-r.app.said)
		}
	})
}

func TestUnansweredClose(t *testing.T) {
	// The sending half is closed behind the close frame. A client that does not close its
	// own is cut off, also when it keeps talking.
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for how, send := range map[string][]byte{
			"silent": nil, "talking": text("4x"), "nonsense": []byte("\xff\xff\xff"), "a frame without end": {0x82, 0xff, 0, 0, 0, 0xff, 0, 0, 0, 0},
		} {
			for _, violation := range []bool{false, true} {
				c := r.websocket()
				s := r.session()
				start := time.Now()
				if violation {
					c.write([]byte{0xff, 0xff})
					c.hear(t, "close 1002", "EOF")
				} else {
					s.Close(ForcedClose)
					c.hear(t, "close", "EOF")
				}
				for r.srv.engine.Conns() > 0 {
					c.nc.Write(send)
					time.Sleep(100 * time.Millisecond) // fake time
				}
				if took := time.Since(start); took < 2*time.Second || took > 2500*time.Millisecond {
					t.Errorf("%s: cut off after %v", how, took)
				}
			}
		}
	})
}

func TestCloseLosesNothing(t *testing.T) {
	// What was sent before Close arrives, with the close frame behind it, even when the
	// client's own close frame crosses it.
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		big := strings.Repeat("x", 3<<20)
		c := r.websocket()
		c.nc.SetDeadline(time.Now().Add(patience))
		s := r.session()
		s.SendMessage([]byte(big), false)
		s.Close(ForcedClose)
		c.write(closing(1000, ""))
		c.hear(t, "text 4"+big, "close", "EOF")
	})
}

// TestFarewell looks at what ends a connection whose close frame is out.
func TestFarewell(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		conns := func(want int) {
			t.Helper()
			synctest.Wait()
			if got := r.srv.engine.Conns(); got != want {
				t.Fatalf("%d connections, want %d", got, want)
			}
		}

		// A close frame does, but not bytes of a message that look like one.
		c := r.websocket()
		r.session().Close(ForcedClose)
		c.hear(t, "close", "EOF")
		c.write([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}) // 64 KiB with an empty mask
		synctest.Wait()
		for range 64 {
			c.write(bytes.Repeat([]byte{0x88, 0x80, 0, 0, 0, 0, 0x88, 0x80}, 128))
		}
		conns(1)
		c.write(frame(0x88, ""))
		conns(0)

		// After a violation nothing the client says is processed (RFC 6455 section 7.1.7).
		for _, begin := range []func() *wsClient{
			func() *wsClient { return r.websocket() },
			func() *wsClient { return r.candidate(r.poll()) },
		} {
			c := begin()
			c.write(frame(0xc1, "4x"))
			c.hear(t, "close 1002", "EOF")
			c.write(join(frame(0x88, ""), ping("p")))
			conns(1)
			c.close()
			conns(0)
		}
	})
}
