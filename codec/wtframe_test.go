package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/epio-go/epio/pool"
)

// wtVectors are what createPacketEncoderStream of engine.io-parser 5.2.3 makes of packets.
var wtVectors = []struct {
	name   string
	data   string // type and content, or the binary message
	binary bool
	head   string // hex
}{
	{"open", "0", false, "01"},
	{"open with session", `0{"sid":"abc"}`, false, "0e"},
	{"probe", "2probe", false, "06"},
	{"text counts bytes", "41€", false, "05"},
	{"binary", "\x01\x02\x03\x04", true, "84"},
	{"longest short text", strings.Repeat("4", 125), false, "7d"},
	{"shortest with 16 bits", strings.Repeat("4", 126), false, "7e007e"},
	{"binary with 16 bits", strings.Repeat("\x00", 126), true, "fe007e"},
	{"longest with 16 bits", strings.Repeat("\x00", 65535), true, "feffff"},
	{"shortest with 64 bits", strings.Repeat("\x00", 65536), true, "ff0000000000010000"},
	{"text with 64 bits", strings.Repeat("4", 123457), false, "7f000000000001e241"},
}

// frameOf returns one packet as a WebSocket frame.
func frameOf(data string, isBinary bool) *pool.Frame {
	if isBinary {
		return NewBinaryFrame([]byte(data))
	}
	return NewTextFrame(PacketType(data[0]), data[1:])
}

// TestWTVectors encodes packets as the reference does, and cuts them again, however
// many of their bytes have come.
func TestWTVectors(t *testing.T) {
	for _, v := range wtVectors {
		head, err := hex.DecodeString(v.head)
		if err != nil {
			t.Fatal(err)
		}
		want := append(bytes.Clone(head), v.data...)
		if got := append(AppendWTHeader(nil, v.binary, len(v.data)), v.data...); !bytes.Equal(got, want) {
			t.Errorf("%s: header % x, want %s", v.name, got[:min(len(got), MaxWTHeader)], v.head)
		}
		ws := frameOf(v.data, v.binary)
		f := NewFrameIn(FormWebTransport, ws.Bytes())
		if !bytes.Equal(f.Bytes(), want) {
			t.Errorf("%s: a frame of %d bytes, want %d", v.name, f.Len(), len(want))
		}
		f.Release()
		ws.Release()

		for _, have := range []int{0, 1, len(head) - 1, len(head), len(want) - 1} {
			if p, n, err := NextWT(want[:have], len(v.data)); n != 0 || err != nil || p.Data != nil {
				t.Errorf("%s: %d of %d bytes: %d, %v", v.name, have, len(want), n, err)
			}
		}
		p, n, err := NextWT(append(bytes.Clone(want), "rest"...), len(v.data))
		if err != nil || n != len(want) || p.Binary != v.binary || string(p.Data) != v.data || p.Size != uint64(len(v.data)) {
			t.Errorf("%s: %d of %d bytes, %v, binary=%t", v.name, n, len(want), err, p.Binary)
		}
		if _, _, err := NextWT(head, len(v.data)-1); !errors.Is(err, ErrWTSize) {
			t.Errorf("%s: one byte over the limit: %v", v.name, err)
		}
	}
}

// TestWTDecode reads what no encoder of ours makes.
func TestWTDecode(t *testing.T) {
	for _, test := range []struct {
		in   string // hex
		want Packet
		err  error
	}{
		{"00", Packet{}, ErrPacket},
		{"7e0000", Packet{}, ErrPacket},
		{"80", Packet{Type: Message, Binary: true}, nil},
		{"7e000136", Packet{Type: Noop}, nil}, // not minimal
		{"7f0000000000000001" + "36", Packet{Type: Noop}, nil},
		{"0162", Packet{Type: Message, Binary: true}, nil}, // "b"
		{"056241514944", Packet{Type: Message, Binary: true, Data: []byte{1, 2, 3}}, nil},
		{"0234ff", Packet{Type: Message, Data: []byte("\ufffd")}, nil},
		{"01ff", Packet{}, ErrPacket},
		{"0137", Packet{}, ErrPacket},
		{"ff001fffffffffffff", Packet{}, ErrWTSize},
		{"ffffffffffffffffff", Packet{}, ErrWTSize},
		{"7f8000000000000000", Packet{}, ErrWTSize},
	} {
		in, err := hex.DecodeString(test.in)
		if err != nil {
			t.Fatal(err)
		}
		cut, n, err := NextWT(in, math.MaxInt32)
		var got Packet
		if err == nil {
			if n != len(in) {
				t.Errorf("%s: took %d bytes", test.in, n)
			}
			got, err = cut.Parse()
		}
		if !errors.Is(err, test.err) || got.Type != test.want.Type || got.Binary != test.want.Binary || !bytes.Equal(got.Data, test.want.Data) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", test.in, got, err, test.want, test.err)
		}
	}
}

// TestWTFrame rewrites a packet with attachments. One of them is empty, for which the
// official client has no binary form.
func TestWTFrame(t *testing.T) {
	text := frameOf(`452-["e",0,1]`, false)
	frame := bytes.Clone(text.Bytes())
	text.Release()
	for _, data := range []string{"\x01\x02", ""} {
		f := frameOf(data, true)
		frame = append(frame, f.Bytes()...)
		f.Release()
	}
	f := NewFrameIn(FormWebTransport, frame)
	defer f.Release()
	if want := "\x0d452-[\"e\",0,1]\x82\x01\x02\x01b"; string(f.Bytes()) != want {
		t.Errorf("got %q, want %q", f.Bytes(), want)
	}
}

func TestForms(t *testing.T) {
	seen := make(map[Form]bool)
	for _, base := range []Form{FormPlain, FormBase64, FormV3, FormV3Base64} {
		seen[base], seen[base|FormDeflated] = true, true
	}
	seen[FormWebTransport] = true
	if len(seen) != Forms {
		t.Errorf("%d forms, Forms is %d", len(seen), Forms)
	}
	if FormWebTransport.V3() || FormWebTransport.Base64() || !FormV3Base64.V3() || FormBase64.V3() {
		t.Error("a form is taken for another")
	}
}
