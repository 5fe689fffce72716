package codec

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
)

// vectorV3 is what the npm package engine.io-parser 2.2.1 makes of some packets.
type vectorV3 struct {
	Name          string
	Packets       []partV3 // text with its type, binary without
	WebSocket     []partV3 // each packet as it is sent on a WebSocket
	Base64        []string // the same with the query b64
	TextPayload   string
	BinaryPayload string // in hex
}

type partV3 struct {
	Text   *string
	Binary *string // in hex
}

func (p partV3) data(t *testing.T) (data []byte, isBinary bool) {
	t.Helper()
	if p.Text != nil {
		return []byte(*p.Text), false
	}
	return unhex(t, *p.Binary), true
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vectorsV3(t *testing.T) (all []vectorV3) {
	t.Helper()
	b, err := os.ReadFile("testdata/eio3.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// frame returns the packets of v as one plain frame.
func (v *vectorV3) frame(t *testing.T) (frame []byte) {
	t.Helper()
	for _, p := range v.Packets {
		data, isBinary := p.data(t)
		f := NewBinaryFrame(data)
		if !isBinary {
			f.Release()
			f = NewTextFrame(PacketType(data[0]), data[1:])
		}
		frame = append(frame, f.Bytes()...)
		f.Release()
	}
	return frame
}

func TestFormsV3(t *testing.T) {
	leakCheck(t)
	for _, v := range vectorsV3(t) {
		plain := v.frame(t)
		check := func(f Form, want func(i int) (string, bool)) {
			t.Helper()
			frame := NewFrameIn(f, plain)
			defer frame.Release()
			i := 0
			for isBinary, data := range Parts(frame.Bytes()) {
				if w, wantBinary := want(i); string(data) != w || isBinary != wantBinary {
					t.Errorf("%s, form %d, packet %d: %q %v, want %q %v", v.Name, f, i, data, isBinary, w, wantBinary)
				}
				i++
			}
			if i != len(v.Packets) {
				t.Errorf("%s, form %d: %d packets, want %d", v.Name, f, i, len(v.Packets))
			}
		}
		check(FormPlain, func(i int) (string, bool) {
			data, isBinary := v.Packets[i].data(t)
			return string(data), isBinary
		})
		check(FormV3, func(i int) (string, bool) {
			data, isBinary := v.WebSocket[i].data(t)
			return string(data), isBinary
		})
		check(FormV3Base64, func(i int) (string, bool) { return v.Base64[i], false })
	}
}

func TestHasBinary(t *testing.T) {
	for frame, want := range map[string]bool{
		"":                            false,
		"\x81\x02hi":                  false,
		"\x81\x02hi\x81\x00":          false,
		"\x82\x00":                    true,
		"\x81\x02hi\x82\x01x":         true,
		"\x82\x01x\x81\x02hi\x81\x00": true,
	} {
		if got := HasBinary([]byte(frame)); got != want {
			t.Errorf("%q: %v", frame, got)
		}
	}
}

func describeV3(p Packet) string {
	name := "none"
	if p.Type != 0 {
		name = p.Type.String()
	}
	if p.Binary {
		return fmt.Sprintf("%s:0x%x", name, p.Data)
	}
	return name + ":" + string(p.Data)
}

func TestParseTextV3(t *testing.T) {
	for in, want := range map[string]string{
		"4":             "message:",
		"4€":            "message:€",
		"2probe":        "ping:probe",
		"5":             "upgrade:",
		"b4AQIDBA==":    "message:0x01020304",
		"b4AQIDBA":      "message:0x01020304",
		"b4":            "message:0x",
		"b4!!!":         "message:0x",
		"b44AAA":        "message:0xe00000",
		"b1":            "close:0x",
		"b2cHJvYmU=":    "ping:0x70726f6265",
		"b":             "none:0x",
		"b7AQID":        "none:0x010203",
		"b/AQID":        "none:0x010203",
		"b\x00\x00\x00": "none:0x",
	} {
		p, err := ParseTextV3([]byte(in))
		if got := describeV3(p); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "7", "/", " 4", "x", "\x00"} {
		if _, err := ParseTextV3([]byte(in)); !errors.Is(err, ErrPacket) {
			t.Errorf("%q: error %v, want ErrPacket", in, err)
		}
	}
}

func TestParseBinaryV3(t *testing.T) {
	for in, want := range map[string]string{
		"\x04\x01\x02": "message:0x0102",
		"\x04":         "message:0x",
		"\x02probe":    "ping:0x70726f6265",
		"\x01":         "close:0x",
		"":             "none:0x",
		"4a":           "none:0x61", // the digit is not the number
		"\x07a":        "none:0x61",
		"\xff":         "none:0x",
	} {
		if got := describeV3(ParseBinaryV3([]byte(in))); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
