package eio

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/codec"
)

// fragmented cuts payload into frames of n bytes, the last of which is final. between
// is sent after each frame but the last.
func fragmented(opcode byte, payload string, n int, between ...byte) (b []byte) {
	for ; len(payload) > n; payload, opcode = payload[n:], 0 {
		b = append(append(b, frame(opcode, payload[:n])...), between...)
	}
	return append(b, frame(0x80|opcode, payload)...)
}

func TestFragmentation(t *testing.T) { // Autobahn 5, RFC 6455 section 5.4
	var good []exchange
	for n := 1; n <= 6; n++ {
		good = append(good,
			exchange{name: fmt.Sprintf("text by %d", n), send: fragmented(1, "4hello", n), hear: []string{"text 4hello"}},
			exchange{name: fmt.Sprintf("binary by %d", n), send: fragmented(2, "hello!", n), hear: []string{"binary 68656c6c6f21"}},
		)
	}
	good = append(good, []exchange{
		{name: "empty fragments", send: join(frame(1, ""), frame(0, ""), frame(0, "4a"), frame(0, ""), frame(0x80, "")), hear: []string{"text 4a"}},
		{name: "nothing in two fragments", send: join(frame(2, ""), frame(0x80, "")), hear: []string{"binary "}},
		{name: "ping inside", send: join(frame(1, "4a"), ping("p"), frame(0x80, "b")), hear: []string{"pong p", "text 4ab"}},
		{name: "pong inside", send: join(frame(1, "4a"), frame(0x8a, "p"), frame(0x80, "b")), hear: []string{"text 4ab"}},
		{name: "pings everywhere", send: fragmented(1, "4abc", 1, ping("p")...), hear: []string{"pong p", "pong p", "pong p", "text 4abc"}},
		{name: "one after another", send: join(fragmented(1, "4ab", 1), fragmented(2, "cd", 1), text("4e"), fragmented(1, "4f", 1)), hear: []string{"text 4ab", "binary 6364", "text 4e", "text 4f"}},
		{name: "close inside", send: join(frame(1, "4a"), closing(1000, "bye")), hear: []string{"close 1000 bye"}},
		{name: "close inside, and the rest", send: join(frame(1, "4a"), closing(1000, ""), frame(0x80, "b")), hear: []string{"close 1000"}},
	}...)
	run(t, Config{}, append(good, []exchange{
		violation("nothing but empty text", join(frame(1, ""), frame(0x80, "")), codec.ErrPacket),
		violation("ping in two fragments", join(frame(0x09, "p"), frame(0x80, "q")), ErrWebSocketProtocol),
		violation("pong in two fragments", join(frame(0x0a, "p"), frame(0x80, "q")), ErrWebSocketProtocol),
		violation("close in two fragments", join(frame(0x08, "\x03\xe8"), frame(0x80, "bye")), ErrWebSocketProtocol),
		violation("ping in two fragments inside", join(frame(1, "4a"), frame(0x09, "p"), frame(0x80, "b")), ErrWebSocketProtocol),
		violation("final continuation of nothing", join(frame(0x80, "x"), text("4a")), ErrWebSocketProtocol),
		violation("continuation of nothing", join(frame(0, "x"), text("4a")), ErrWebSocketProtocol),
		violation("empty continuation of nothing", frame(0x80, ""), ErrWebSocketProtocol),
		violation("continuation after a whole message", join(text("4a"), frame(0x80, "b")), ErrWebSocketProtocol, "text 4a"),
		violation("continuation after the last fragment", join(fragmented(1, "4ab", 1), frame(0, "c"), frame(0x80, "d")), ErrWebSocketProtocol, "text 4ab"),
		violation("text inside text", join(frame(1, "4a"), text("4b")), ErrWebSocketProtocol),
		violation("binary inside text", join(frame(1, "4a"), frame(0x82, "b")), ErrWebSocketProtocol),
		violation("first fragment twice", join(frame(1, "4a"), frame(1, "4b"), frame(0x80, "c")), ErrWebSocketProtocol),
		violation("text inside binary, behind a ping", join(frame(2, "a"), ping("p"), text("4b")), ErrWebSocketProtocol, "pong p"),
	}...))
}

func TestLimits(t *testing.T) { // Autobahn 9 and 10
	const max = 200_000
	whole := "4" + strings.Repeat("€", (max-1)/3) + "x"
	if len(whole) != max {
		t.Fatal(len(whole))
	}
	raw := strings.Repeat("\xfe", max)
	run(t, Config{MaxPayload: max}, []exchange{
		{name: "text of max", send: text(whole), hear: []string{"text " + whole}},
		{name: "binary of max", send: frame(0x82, raw), hear: []string{fmt.Sprintf("binary %x", raw)}},
		{name: "text of max by 64", send: fragmented(1, whole, 64), hear: []string{"text " + whole}},
		{name: "text of max by 1300", send: fragmented(1, whole, 1300), hear: []string{"text " + whole}},
		{name: "binary of max by 65536", send: fragmented(2, raw, 65536), hear: []string{fmt.Sprintf("binary %x", raw)}},
		{name: "max, and an empty fragment", send: join(frame(2, raw), frame(0x80, "")), hear: []string{fmt.Sprintf("binary %x", raw)}},
		violation("max and one", frame(0x82, raw+"x"), ErrMessageTooBig),
		violation("max and one by 1300", fragmented(1, whole+"x", 1300), ErrMessageTooBig),
		violation("max and one by its last header", append(frame(2, raw), 0x80, 0x81), ErrMessageTooBig),
		violation("max and one by its header", []byte{0x81, 0xff, 0, 0, 0, 0, 0, 3, 0x0d, 0x41}, ErrMessageTooBig),
	})
}

func TestMessageOfManyBytes(t *testing.T) {
	// One-byte fragments are the worst a message can be cut into; it must take linear time.
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, &app{})
		c := r.websocket()
		c.nc.SetDeadline(time.Now().Add(12 * patience))
		const n = 50_000
		c.write(fragmented(1, "4"+strings.Repeat("x", n), 1))
		r.wantSaid(strings.Repeat("x", n))
	})
}

func TestManyMessages(t *testing.T) {
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		c := r.websocket()
		c.nc.SetDeadline(time.Now().Add(2 * patience))
		var all []byte
		for i := range 1000 {
			all = append(all, text(fmt.Sprintf("4%d", i))...)
		}
		go c.nc.Write(all)
		for i := range 1000 {
			c.hear(t, fmt.Sprintf("text 4%d", i))
		}
	})
}
