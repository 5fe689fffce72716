package eio

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"unicode/utf8"
)

// Texts of Autobahn's category 6, and RFC 3629 sections 3 and 4.
var (
	validTexts = []string{
		"", "\x00", "\x7f", "κόσμε", "Hello-µ@ßöäüàá-UTF-8!!",
		"\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff", "\ufeff",
		"\U00010000", "\U0001fffe", "\U0008ffff", "\U0010ffff", "\U0010fffe", "日本語", "a\U0001f600b",
	}
	invalidTexts = []string{
		"\x80", "\xbf", "\x80\xbf", "a\x80b", // continuation of nothing
		"\xc2", "\xdf ", "\xe0\xa0", "\xe2\x82", "\xef\xbf ", "\xf0\x90\x80", "\xf4\x8f\xbf", "\xe2\x82\xe2\x82\xac", // cut short
		"\xfe", "\xff", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", // bytes that never occur
		"\xc0\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", // overlong
		"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", // surrogates
		"\xf4\x90\x80\x80", "\xf7\xbf\xbf\xbf", // beyond U+10FFFF
		"κόσμε\xed\xa0\x80edited", "κόσμε\xf4\x90\x80\x80edited",
	}
)

func TestUTF8(t *testing.T) {
	var all []exchange
	for _, s := range validTexts {
		packet := "4" + s
		all = append(all,
			exchange{name: fmt.Sprintf("%q", s), send: text(packet), hear: []string{"text " + packet}},
			exchange{name: fmt.Sprintf("%q by 1", s), send: fragmented(1, packet, 1), hear: []string{"text " + packet}},
		)
	}
	for _, s := range invalidTexts {
		all = append(all,
			violation(fmt.Sprintf("%q", s), text("4"+s), ErrWebSocketUTF8),
			violation(fmt.Sprintf("%q by 1", s), fragmented(1, "4"+s, 1), ErrWebSocketUTF8),
			violation(fmt.Sprintf("%q behind a message", s), join(text("4a"), frame(1, "4"), fragmented(0, s, 1)), ErrWebSocketUTF8, "text 4a"),
			exchange{name: fmt.Sprintf("%q as binary", s), send: frame(0x82, s), hear: []string{fmt.Sprintf("binary %x", s)}},
			exchange{name: fmt.Sprintf("%q in a ping", s), send: ping(s), hear: []string{"pong " + s}},
		)
	}
	run(t, Config{}, all)
}

func TestUTF8CutAnywhere(t *testing.T) {
	// Every text in up to three fragments, every way, must be judged as a whole.
	for _, s := range append(validTexts, invalidTexts...) {
		for i := range len(s) + 1 {
			for j := i; j <= len(s); j++ {
				stream := join(frame(1, s[:i]), frame(0, s[i:j]), frame(0x80, s[j:]))
				out, err := readAll(stream, 1000)
				switch {
				case utf8.ValidString(s) && (err != nil || len(out) != 1 || out[0] != fmt.Sprintf("1 %x", s)):
					t.Errorf("%q cut at %d and %d: got %q, %v", s, i, j, out, err)
				case !utf8.ValidString(s) && !errors.Is(err, ErrWebSocketUTF8):
					t.Errorf("%q cut at %d and %d: got %q, %v", s, i, j, out, err)
				}
			}
		}
	}
}

func TestUTF8FailsFast(t *testing.T) {
	// A fragment that no continuation can save ends the message; one that may become
	// valid does not.
	for _, s := range invalidTexts {
		for n := range len(s) + 1 {
			_, err := readAll(frame(1, s[:n]), 1000)
			dead := true // for every way to go on
			for _, tail := range []string{"", "\x80", "\x80\x80", "\x80\x80\x80", "\xbf", "\xbf\xbf", "\xbf\xbf\xbf", "\xa0\x80", "\x90\x80\x80"} {
				dead = dead && !utf8.ValidString(s[:n]+tail)
			}
			if errors.Is(err, ErrWebSocketUTF8) != dead {
				t.Errorf("%q: got %v", s[:n], err)
			}
		}
	}
}

func TestUTF8EveryRune(t *testing.T) {
	// All runes, each cut in two by fragments.
	var all []byte
	for c := rune(0); c <= utf8.MaxRune; c += 29 {
		if c >= 0xd800 && c <= 0xdfff {
			continue
		}
		all = utf8.AppendRune(all, c)
	}
	for _, n := range []int{1, 2, 3, 5, 1021} {
		out, err := readAll(fragmented(1, string(all), n), len(all), 1000)
		if err != nil || len(out) != 1 || out[0] != fmt.Sprintf("1 %x", all) {
			t.Errorf("by %d: %d messages, %v", n, len(out), err)
		}
		bad := bytes.Replace(all, []byte("\ufffd"), []byte("\xff\xff\xff"), 1)
		bad = append(bad, 0xe2)
		if _, err := readAll(fragmented(1, string(bad), n), len(bad), 1000); !errors.Is(err, ErrWebSocketUTF8) {
			t.Errorf("by %d, with an end missing: %v", n, err)
		}
	}
}
