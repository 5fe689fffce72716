package codec

import (
	"errors"
	"testing"

	"github.com/epio-go/epio/pool"
)

func TestStaticFrames(t *testing.T) {
	for _, tc := range []struct {
		frame *pool.Frame
		want  string
	}{
		{CloseFrame, "\x81\x011"},
		{PingFrame, "\x81\x012"},
		{PongFrame, "\x81\x013"},
		{ProbeFrame, "\x81\x063probe"},
		{NoopFrame, "\x81\x016"},
	} {
		if got := string(tc.frame.Bytes()); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
		tc.frame.Release() // harmless
	}
}

func TestNewFrames(t *testing.T) {
	leakCheck(t)
	for _, tc := range []struct {
		frame *pool.Frame
		want  string
	}{
		{NewTextFrame(Message, "hello"), "\x81\x064hello"},
		{NewTextFrame(Open, []byte(`{}`)), "\x81\x030{}"},
		{NewTextFrame(Message, ""), "\x81\x014"},
		{NewBinaryFrame([]byte{1, 2}), "\x82\x02\x01\x02"},
		{NewBinaryFrame(nil), "\x82\x00"},
		{NewFrameIn(FormBase64, []byte("\x81\x02hi\x82\x03\x01\x02\x03\x82\x00")), "\x81\x02hi\x81\x05bAQID\x81\x01b"},
	} {
		if got := string(tc.frame.Bytes()); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
		tc.frame.Release()
	}
}

func TestParseText(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Packet
		bad  bool
	}{
		{in: "0", want: Packet{Type: Open}},
		{in: "1", want: Packet{Type: Close}},
		{in: "2probe", want: Packet{Type: Ping, Data: []byte("probe")}},
		{in: "3", want: Packet{Type: Pong}},
		{in: "4", want: Packet{Type: Message}},
		{in: "4€", want: Packet{Type: Message, Data: []byte("€")}},
		{in: "5", want: Packet{Type: Upgrade}},
		{in: "6", want: Packet{Type: Noop}},
		{in: "bAQID", want: Packet{Type: Message, Binary: true, Data: []byte{1, 2, 3}}},
		{in: "b4AAA", want: Packet{Type: Message, Binary: true, Data: []byte{0xe0, 0, 0}}}, // base64, not a type
		{in: "b", want: Packet{Type: Message, Binary: true}},
		{in: "", bad: true},
		{in: "7", bad: true},
		{in: "/", bad: true},
		{in: " 4", bad: true},
		{in: "x", bad: true},
		{in: "\x1e", bad: true},
	} {
		got, err := ParseText([]byte(tc.in))
		if tc.bad {
			if !errors.Is(err, ErrPacket) {
				t.Errorf("%q: error %v, want ErrPacket", tc.in, err)
			}
			continue
		}
		if err != nil || got.Type != tc.want.Type || got.Binary != tc.want.Binary || string(got.Data) != string(tc.want.Data) {
			t.Errorf("%q: %v %v, want %v", tc.in, got, err, tc.want)
		}
	}
}

func TestPacketTypeString(t *testing.T) {
	want := []string{"open", "close", "ping", "pong", "message", "upgrade", "noop", "unknown"}
	for i, w := range want {
		if got := PacketType('0' + i).String(); got != w {
			t.Errorf("%d: %q, want %q", i, got, w)
		}
	}
}
