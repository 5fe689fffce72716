package codec

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// readPayload returns the packets of a body in a readable form, for example
// "message:hello" or "binary:0102", and the final error.
func readPayload(body string) (packets []string, err error) {
	r := NewPayloadReader([]byte(body))
	for {
		p, err := r.Next()
		if err != nil {
			return packets, err
		}
		name := p.Type.String()
		if p.Binary {
			name = "binary"
		}
		packets = append(packets, name+":"+string(p.Data))
	}
}

func TestPayloadReader(t *testing.T) {
	for _, tc := range []struct {
		body string
		want string // joined by |
		err  error
	}{
		{"4hello", "message:hello", io.EOF},
		{"4hello\x1e2\x1e4world", "message:hello|ping:|message:world", io.EOF},
		{"4€\x1ebAQID\x1e4", "message:€|binary:\x01\x02\x03|message:", io.EOF},
		{"", "", ErrPacket},
		{"4a\x1e", "message:a", ErrPacket},
		{"4a\x1e\x1e4b", "message:a", ErrPacket},
		{"4a\x1exyz\x1e4b", "message:a", ErrPacket},
		{"\x1e4a", "", ErrPacket},
		// Lenient base64: padding optional, both alphabets, garbage skipped.
		{"bAQ==\x1ebAQ\x1eb-_8=\x1eb+/8=", "binary:\x01|binary:\x01|binary:\xfb\xff|binary:\xfb\xff", io.EOF},
		{"b!!!!\x1eb\x1ebA", "binary:|binary:|binary:", io.EOF},
		// The end of one packet also ends a truncated character.
		{"4a\xff\x1e4\xe2\x82\x1e4b", "message:a\ufffd|message:\ufffd|message:b", io.EOF},
	} {
		got, err := readPayload(tc.body)
		if strings.Join(got, "|") != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%q:\n got %q, %v\nwant %q, %v", tc.body, got, err, tc.want, tc.err)
		}
	}
}

func TestPayloadReaderStaysAtItsEnd(t *testing.T) {
	r := NewPayloadReader([]byte("4a\x1ex\x1e4b"))
	r.Next()
	if _, err := r.Next(); !errors.Is(err, ErrPacket) {
		t.Fatalf("error %v, want ErrPacket", err)
	}
	for range 2 {
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("after an invalid packet: %v, want io.EOF", err)
		}
	}
	var zero PayloadReader
	if _, err := zero.Next(); err != io.EOF {
		t.Errorf("zero value: %v, want io.EOF", err)
	}
}

func TestAppendPayload(t *testing.T) {
	text := NewTextFrame(Message, "hé")
	defer text.Release()
	bin := NewBinaryFrame([]byte{1, 2, 3, 4})
	defer bin.Release()
	both := append(bytes.Clone(text.Bytes()), bin.Bytes()...)

	var got []byte
	got = AppendPayload(got, both)
	if len(got) != PayloadLen(both) {
		t.Errorf("PayloadLen = %d, want %d", PayloadLen(both), len(got))
	}
	got = AppendPayload(got, text.Bytes())
	if want := "4hé\x1ebAQIDBA==\x1e4hé"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	if PayloadLen(nil) != 0 {
		t.Errorf("PayloadLen(nil) = %d", PayloadLen(nil))
	}
}

// A payload we write is read back as the packets that went in.
func FuzzPayloadRoundTrip(f *testing.F) {
	f.Add("hello", []byte{1, 2, 3})
	f.Add("", []byte{})
	f.Add("€\x00", bytes.Repeat([]byte{0xff}, 200))
	f.Fuzz(func(t *testing.T, s string, data []byte) {
		if !utf8.ValidString(s) || strings.ContainsRune(s, Separator) {
			t.Skip("not a text message of polling")
		}
		text := NewTextFrame(Message, s)
		defer text.Release()
		bin := NewBinaryFrame(data)
		defer bin.Release()
		body := AppendPayload(AppendPayload(nil, text.Bytes()), bin.Bytes())
		if want := PayloadLen(text.Bytes()) + 1 + PayloadLen(bin.Bytes()); len(body) != want {
			t.Fatalf("%d bytes, computed %d", len(body), want)
		}
		r := NewPayloadReader(body)
		if p, err := r.Next(); err != nil || p.Binary || string(p.Data) != s {
			t.Fatalf("text %q came back as %v, %v", s, p, err)
		}
		if p, err := r.Next(); err != nil || !p.Binary || !bytes.Equal(p.Data, data) {
			t.Fatalf("binary % x came back as %v, %v", data, p, err)
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("at the end: %v", err)
		}
	})
}

// Whatever a peer sends, reading it ends, stays within the body's size and
// yields valid UTF-8.
func FuzzPayloadReader(f *testing.F) {
	f.Add([]byte("4hello\x1ebAQID\x1e2"))
	f.Add([]byte("4\xff\xe2\x82\x1eb!=A"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := NewPayloadReader(bytes.Clone(body))
		total := 0
		for n := 0; ; n++ {
			p, err := r.Next()
			if err != nil {
				break
			}
			if n > len(body) {
				t.Fatal("more packets than bytes")
			}
			if !p.Binary && !utf8.Valid(p.Data) {
				t.Fatalf("ill-formed text %q", p.Data)
			}
			total += len(p.Data)
		}
		if total > 3*len(body) {
			t.Fatalf("%d bytes out of %d", total, len(body))
		}
	})
}
