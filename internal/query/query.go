// Package query reads the query of a URL as URLSearchParams of JavaScript does, so
// that nothing makes it fail: what cannot be unescaped stays as it is. Of a
// parameter given twice the last one counts in the reference, which makes an object
// of them.
//
// Source: https://url.spec.whatwg.org/#urlencoded-parsing
package query

import (
	"strings"
	"unicode/utf8"
)

// Next returns the first parameter of raw, unescaped, and what comes behind it:
//
//	a=1&b=%20x+y   a, 1 and b=%20x+y
//
// It allocates only for what has to be unescaped. ok is false when there is none left.
func Next(raw string) (name, value, rest string, ok bool) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ = strings.Cut(pair, "=")
		return unescape(name), unescape(value), raw, true
	}
	return "", "", "", false
}

// unescape decodes %41 and +. Bytes that are not UTF-8 then become U+FFFD.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && hex(s[i+1]) >= 0 && hex(s[i+2]) >= 0:
			b = append(b, byte(hex(s[i+1])<<4|hex(s[i+2])))
			i += 2
		default:
			b = append(b, c)
		}
	}
	if !utf8.Valid(b) {
		return string([]rune(string(b)))
	}
	return string(b)
}

// hex returns the value of a hexadecimal digit, -1 for any other byte.
func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
