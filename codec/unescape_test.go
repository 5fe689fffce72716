package codec

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		``:                   ``,
		`plain`:              `plain`,
		`a\"b\\c\/d`:         `a"b\c/d`,
		`\b\f\n\r\t`:         "\b\f\n\r\t",
		`\u0041\u00e9\u20AC`: "Aé€",
		`\ud83d\ude00!`:      "😀!",
		`\ud83d`:             "\ufffd",
		`\ud83dx`:            "\ufffdx",
		`\ud83d\n`:           "\ufffd\n",
		`\ud83d\u0041`:       "\ufffdA",
		`\ud83d\ud83d\ude00`: "\ufffd😀",
		`\ude00\ud83d`:       "\ufffd\ufffd",
		`é\u0000`:            "é\x00",
	} {
		p := []byte(in)
		if got := string(p[:unescape(p)]); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func FuzzUnescape(f *testing.F) {
	f.Add(`a\"b\ud83d\ude00\ud83d`)
	f.Fuzz(func(t *testing.T, s string) {
		quoted := []byte(`"` + s + `"`)
		if !utf8.ValidString(s) || scanString(quoted, 0) != len(quoted) {
			t.Skip("not the inside of one JSON string")
		}
		var want string
		if err := json.Unmarshal(quoted, &want); err != nil {
			t.Fatal(err)
		}
		p := []byte(s)
		if got := string(p[:unescape(p)]); got != want {
			t.Fatalf("%s: %q, want %q", s, got, want)
		}
	})
}

// Expected values are what String(x) gives in JavaScript.
func TestJSNumber(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "0.0": "0", "1": "1", "-1": "-1", "1.0": "1", "1.50": "1.5", "1e3": "1000", "1E+2": "100",
		"123456789012345": "123456789012345", "9007199254740993": "9007199254740992", "12345678901234567890": "12345678901234567000",
		"1e20": "100000000000000000000", "1e21": "1e+21", "1.5e300": "1.5e+300", "0.000001": "0.000001", "0.0000001": "1e-7", "-1.25e-9": "-1.25e-9", "1e-10": "1e-10",
		"1e999": "Infinity", "-1e999": "-Infinity", "1e-999": "0",
	} {
		if got := string(jsNumber([]byte(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
