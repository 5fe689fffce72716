package codec

import (
	"bytes"
	"encoding/base64"
	"testing"
	"unicode/utf8"
)

func TestDecodeBase64(t *testing.T) {
	for n := range 70 {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i*37 + n)
		}
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if got := decodeBase64([]byte(enc.EncodeToString(data))); !bytes.Equal(got, data) {
				t.Fatalf("%d bytes came back as % x", n, got)
			}
		}
	}
	for in, want := range map[string]string{
		"aGVs bG8=":      "hello",
		"aGVs\r\nbG8":    "hello",
		"aG.Vs*bG8=":     "hello",
		"=aGVsbG8":       "",
		"aGVsbG8=aGVs":   "hello",
		"\xff\xfeaGVsbG": "hell",
	} {
		if got := decodeBase64([]byte(in)); string(got) != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// The examples of Unicode 15, tables 3-8 to 3-11, and what browsers make of
// single bytes.
func TestToValidUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                "plain",
		"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41": "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdA",
		"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41": "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdA",
		"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42": "\ufffd\ufffd\ufffd\ufffd\ufffdA\ufffd\ufffdB",
		"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41": "\ufffd\ufffd\ufffd\ufffdA",
		"a\xe2\x82":                            "a\ufffd",
		"\ufffd\xc2":                           "\ufffd\ufffd",
		"\xf0\x9f\x98\x80\xf0\x9f\x98":         "😀\ufffd",
	} {
		if got := string(toValidUTF8([]byte(in))); got != want {
			t.Errorf("% x: %q, want %q", in, got, want)
		}
	}
}

func FuzzToValidUTF8(f *testing.F) {
	f.Add([]byte("a\xe2\x82b\xff"))
	f.Fuzz(func(t *testing.T, p []byte) {
		got := toValidUTF8(p)
		if !utf8.Valid(got) {
			t.Fatalf("% x became % x", p, got)
		}
		if utf8.Valid(p) && !bytes.Equal(got, p) {
			t.Fatalf("% x changed to % x", p, got)
		}
		if len(got) > 3*len(p) {
			t.Fatalf("%d bytes became %d", len(p), len(got))
		}
		// ASCII ends whatever was begun, so what is around it does not depend on it.
		if i := bytes.IndexByte(p, 'a'); i >= 0 {
			if parts := append(toValidUTF8(p[:i]), toValidUTF8(p[i:])...); !bytes.Equal(parts, got) {
				t.Fatalf("% x became % x, in two parts % x", p, got, parts)
			}
		}
	})
}
