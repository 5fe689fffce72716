package codec

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// readV3 returns the packets of a reader in a readable form, joined by |, with
// "error" at the end of an invalid body, as the reference reports it.
func readV3(t *testing.T, r PayloadReader) string {
	t.Helper()
	var packets []string
	for {
		p, err := r.Next()
		switch {
		case err == io.EOF:
			return strings.Join(packets, "|")
		case errors.Is(err, ErrPacket):
			if _, err := r.Next(); err != io.EOF {
				t.Errorf("after an invalid packet: %v, want io.EOF", err)
			}
			return strings.Join(append(packets, "error"), "|")
		case err != nil:
			t.Fatal(err)
		}
		packets = append(packets, describeV3(p))
	}
}

func TestPayloadsV3(t *testing.T) {
	for _, v := range vectorsV3(t) {
		frame := v.frame(t)
		text, binary := AppendPayloadV3(nil, frame), AppendBinaryPayloadV3(nil, frame)
		if string(text) != v.TextPayload {
			t.Errorf("%s: %q, want %q", v.Name, text, v.TextPayload)
		}
		if want := unhex(t, v.BinaryPayload); !bytes.Equal(binary, want) {
			t.Errorf("%s: %x, want %x", v.Name, binary, want)
		}
		if bound := PayloadLenV3(frame); max(len(text), len(binary)) > bound {
			t.Errorf("%s: %d and %d bytes, more than the bound %d", v.Name, len(text), len(binary), bound)
		}
		var want []string
		for _, p := range v.Packets {
			data, isBinary := p.data(t)
			packet := Packet{Type: Message, Binary: true, Data: data}
			if !isBinary {
				packet = Packet{Type: PacketType(data[0]), Data: data[1:]}
			}
			want = append(want, describeV3(packet))
		}
		if got := readV3(t, NewPayloadReaderV3(text)); got != strings.Join(want, "|") {
			t.Errorf("%s as text came back as %s", v.Name, got)
		}
		if got := readV3(t, NewBinaryPayloadReaderV3(binary)); got != strings.Join(want, "|") {
			t.Errorf("%s as binary came back as %s", v.Name, got)
		}
	}
}

// What the reference (engine.io 6.6.11, parser-v3) makes of the same bodies.
// Differences: it takes anything that JavaScript's Number takes for a length.
func TestPayloadReaderV3(t *testing.T) {
	for body, want := range map[string]string{
		"6:4hello":                 "message:hello",
		"0:":                       "",
		"0:2:4a":                   "message:a",
		"2:4a0:":                   "message:a",
		"2:4a0:0:2:4b":             "message:a|message:b",
		"02:4a":                    "message:a",
		"10:b4AQIDBA==":            "message:0x01020304",
		"2:b1":                     "close:0x",
		"1:b2:4a":                  "none:0x|message:a",
		"":                         "error",
		":":                        "error",
		":4a":                      "error",
		"2:":                       "error",
		"2:4":                      "error",
		"3:4a":                     "error",
		"2:4a1":                    "message:a|error",
		"2:4a1:":                   "message:a|error",
		"2:4a:":                    "message:a|error",
		"2:4a1:71:2":               "message:a|error",
		"x:4a":                     "error",
		"-1:4a":                    "error",
		"NaN:4a":                   "error",
		"4":                        "error",
		"99999999999999999999:4a":  "error",
		"4294967298:4a":            "error", // 2 in 32 bits
		"18446744073709551618:4a":  "error", // 2 in 64 bits
		strings.Repeat("9", 1<<16): "error",
		" 2:4a":                    "error", // the reference accepts these
		"2.0:4a":                   "error",
		"0x2:4a":                   "error",
		"2:4€":                     "message:€",
		"3:4😀":                     "message:😀",
		"3:4😀2:4a":                 "message:😀|message:a",
		"2:4😀":                     "message:\ufffd|error", // a pair is cut in two
		"2:4😀1:2":                  "message:\ufffd|error",
		"4:4😀":                     "error",
		"4:4a\ufffdb":              "message:a\ufffdb",
		"4:4a\xffb":                "message:a\ufffdb", // each ill-formed part is one unit
		"6:4\xed\xa0\xbd\xed\xb8":  "message:\ufffd\ufffd\ufffd\ufffd\ufffd",
		"3:4\xf0\x9f\x982:4a":      "message:\ufffd2|error",
		"2:4\xf0\x9f\x982:4a":      "message:\ufffd|message:a",
	} {
		if got := readV3(t, NewPayloadReaderV3([]byte(body))); got != want {
			t.Errorf("%.40q: %.60s, want %s", body, got, want)
		}
	}
}

// As above. Differences: the reference cuts a packet short whose length is beyond
// the body, and reads digits greater than 9.
func TestBinaryPayloadReaderV3(t *testing.T) {
	for body, want := range map[string]string{
		"":                                "",
		"0006ff3468656c6c6f":              "message:hello",
		"0105ff0401020304":                "message:0x01020304",
		"0101ff04":                        "message:0x",
		"0100ff":                          "none:0x",
		"0101ff07":                        "none:0x",
		"0201ff04":                        "message:0x", // any mark but 0 means binary
		"0003ff623441":                    "message:0x",
		"0004ff34e282ac":                  "message:€",
		"0004ff34eda080":                  "message:\ufffd", // an encoded surrogate
		"0007ff34eda0bdedb880":            "message:\ufffd\ufffd",
		"0001ff320105ff04ff00ff00":        "ping:|message:0xff00ff00",
		"01000000000001ff04":              "message:0x",
		"00":                              "error",
		"0001":                            "error",
		"00ff":                            "error",
		"0000ff":                          "error",
		"01ff":                            "error",
		"000aff34":                        "error",
		"0005ff3468":                      "error", // the reference: message:h
		"0101ff":                          "error",
		"0002ff34ff":                      "error",
		"0002ff34c3":                      "error",
		"0003ff34eda0":                    "error",
		"0001ff37":                        "error",
		"0002ff3461ff":                    "message:a|error", // the reference delivers nothing
		"0001ff320001ff370001ff32":        "ping:|error",
		"01" + strings.Repeat("09", 4096): "error",
		"0104020904090607020908ff04":      "error", // 4294967298
	} {
		if got := readV3(t, NewBinaryPayloadReaderV3(unhex(t, body))); got != want {
			t.Errorf("%.40s: %.60s, want %s", body, got, want)
		}
	}
}

// A payload of v3 that we write is read back as the packets that went in.
func FuzzPayloadRoundTripV3(f *testing.F) {
	f.Add("hello", []byte{1, 2, 3})
	f.Add("", []byte{})
	f.Add("1:€\x00😀\ufffd", bytes.Repeat([]byte{0xff}, 200))
	f.Fuzz(func(t *testing.T, s string, data []byte) {
		if !utf8.ValidString(s) {
			t.Skip("not a text message")
		}
		text := NewTextFrame(Message, s)
		defer text.Release()
		bin := NewBinaryFrame(data)
		defer bin.Release()
		both := append(bytes.Clone(text.Bytes()), bin.Bytes()...)
		for _, r := range []PayloadReader{
			NewPayloadReaderV3(AppendPayloadV3(nil, both)),
			NewBinaryPayloadReaderV3(AppendBinaryPayloadV3(nil, both)),
		} {
			if p, err := r.Next(); err != nil || p.Binary || p.Type != Message || string(p.Data) != s {
				t.Fatalf("text %q came back as %v, %v", s, p, err)
			}
			if p, err := r.Next(); err != nil || !p.Binary || p.Type != Message || !bytes.Equal(p.Data, data) {
				t.Fatalf("binary % x came back as %v, %v", data, p, err)
			}
			if _, err := r.Next(); err != io.EOF {
				t.Fatalf("at the end: %v", err)
			}
		}
	})
}
