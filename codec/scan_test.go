package codec

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// scanTop runs the scanner over one whole value.
func scanTop(text string, depth int) error {
	s := scanner{p: []byte(text), depth: depth}
	_, err := s.top(0)
	return err
}

var jsonSeeds = []string{
	``, ` `, `null`, `true`, `false`, `nul`, `nulll`, `tru`, `True`, `fals`,
	`0`, `-0`, `01`, `-`, `--1`, `+1`, `1.`, `.1`, `1.0`, `1.0e`, `1e5`, `1E+5`, `1e-05`, `1e+`, `-1.5e300`, `1_0`, `0x1`, `Infinity`, `NaN`,
	`""`, `"a"`, `"`, `"a`, `"\"`, `"\""`, `"\\"`, `"\u00e9"`, `"\u00g0"`, `"\u12"`, `"\x"`, `"\ud83d\ude00"`, `"\ud83d"`, `"é€😀"`, "\"\x1f\"", "\"\x7f\"", "\"a\nb\"", "\"\xff\"",
	`"12345678"`, `"1234567\n"`, "\"1234567\x00\"", `"12345678\t12345678"`, `"!!!!!!!!!!!!!!!!\"` + `"`, `'a'`,
	`[]`, `[ ]`, `[1]`, `[1,]`, `[,1]`, `[1 2]`, `[1,2`, `[[[]]]`, `[}`, `]`, `[1]]`, "[\t1\r\n,2 ]",
	`{}`, `{ }`, `{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{1:1}`, `{"a":1 "b":2}`, `{"a":1,"b":{"c":[null]}}`, `{"a":1`, `{"a" : 1 , "b" : 2 }`, `{"a":1}}`,
	` 1 `, "\v1", "1\x00", `1 2`, `/*c*/1`, "\ufeff1",
	`["` + strings.Repeat("x", 100) + `"]`, strings.Repeat("[", 50) + strings.Repeat("]", 50),
}

// encoding/json is the oracle: both accept the same texts.
func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range jsonSeeds {
		got, want := scanTop(text, 1000) == nil, json.Valid([]byte(text))
		if got != want {
			t.Errorf("%q: accepted %v, encoding/json %v", text, got, want)
		}
	}
}

func TestScannerDepth(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	if err := scanTop(nest(10), 10); err != nil {
		t.Errorf("10 levels of 10: %v", err)
	}
	if err := scanTop(nest(11), 10); !errors.Is(err, ErrDepth) {
		t.Errorf("11 levels of 10: %v, want ErrDepth", err)
	}
	if err := scanTop(strings.Repeat(`{"a":`, 11), 10); !errors.Is(err, ErrDepth) {
		t.Errorf("11 objects of 10: %v, want ErrDepth", err)
	}
	// Siblings do not add up.
	if err := scanTop("["+strings.Repeat("[[]],{},", 100)+"1]", 3); err != nil {
		t.Errorf("siblings: %v", err)
	}
	if err := scanTop(strings.Repeat("[", 1<<20), 128); !errors.Is(err, ErrDepth) {
		t.Errorf("a megabyte of brackets: %v, want ErrDepth", err)
	}
}

func TestScannerSlicesArguments(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                           ``,
		` [ ] `:                        ``,
		`["a"]`:                        `"a"`,
		`[ "a" , 1 ,{"b":[1,2]}, [] ]`: `"a"|1|{"b":[1,2]}|[]`,
		`["]",",","[\"x"]`:             `"]"|","|"[\"x"`,
	} {
		s := scanner{p: []byte(text), depth: 10}
		if err := s.topArray(0); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, a := range s.args {
			got = append(got, text[a.off:a.end])
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{``, `{}`, `"a"`, `1`, `[`, `[1`, `[1,`, `[1,]`, `[1]x`, `[1] ]`, `[,]`} {
		s := scanner{p: []byte(text), depth: 10}
		if err := s.topArray(0); !errors.Is(err, ErrPayload) {
			t.Errorf("%s: %v, want ErrPayload", text, err)
		}
	}
	s := scanner{p: []byte(`[[]]`), depth: 1}
	if err := s.topArray(0); !errors.Is(err, ErrDepth) {
		t.Errorf("the arguments are the first level: %v", err)
	}
}

func FuzzScanner(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, want := scanTop(text, 9000) == nil, json.Valid([]byte(text))
		if got != want {
			t.Fatalf("%q: accepted %v, encoding/json %v", text, got, want)
		}
		s := scanner{p: []byte(text), depth: 9000, binary: true, nums: 3}
		if err := s.topArray(0); err == nil != (want && strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "[")) {
			t.Fatalf("%q as arguments: %v", text, err)
		} else if err != nil {
			return
		}
		var args []json.RawMessage
		if err := json.Unmarshal([]byte(text), &args); err != nil {
			t.Fatal(err)
		}
		if len(args) != len(s.args) {
			t.Fatalf("%q: %d arguments, want %d", text, len(s.args), len(args))
		}
		for i, a := range s.args {
			if utf8.ValidString(text) && text[a.off:a.end] != string(args[i]) {
				t.Fatalf("%q: argument %d is %q, want %q", text, i, text[a.off:a.end], args[i])
			}
		}
		for _, r := range s.refs {
			if r.off >= r.end || int(r.end) > len(text) || r.num < 0 || r.num >= 3 || int(r.arg) >= len(s.args) {
				t.Fatalf("%q: placeholder %+v", text, r)
			}
		}
	})
}
