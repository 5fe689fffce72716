package codec

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape decodes the inside of a scanned JSON string in place and returns its
// new length, which is never more. A surrogate without its other half becomes
// U+FFFD. p must be valid UTF-8.
func unescape(p []byte) int {
	out := bytes.IndexByte(p, '\\')
	if out < 0 {
		return len(p)
	}
	for i := out; i < len(p); {
		if p[i] != '\\' {
			p[out] = p[i]
			out++
			i++
			continue
		}
		c := p[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(p[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if len(p)-i >= 6 && p[i] == '\\' && p[i+1] == 'u' {
					low = hex4(p[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			out += utf8.EncodeRune(p[out:], r)
			continue
		}
		p[out] = c
		out++
	}
	return out
}

// hex4 decodes four hexadecimal digits, already checked.
func hex4(p []byte) rune {
	var r rune
	for _, c := range p[:4] {
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c | 0x20 - 'a' + 10
		}
		r = r<<4 | rune(c)
	}
	return r
}

// jsNumber returns a JSON number in the spelling JavaScript gives it when it
// becomes a property name: 1e3 is "1000" and 1.0 is "1".
func jsNumber(raw []byte) []byte {
	if len(raw) <= 15 && scanDigits(raw, 0) == len(raw) {
		return raw
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil && f > 0:
		return []byte("Infinity")
	case err != nil:
		return []byte("-Infinity")
	case f == 0:
		return []byte("0") // also -0
	}
	format := byte('f')
	if a := max(f, -f); a < 1e-6 || a >= 1e21 {
		format = 'e'
	}
	s := strconv.AppendFloat(nil, f, format, -1, 64)
	// Go writes at least two digits of exponent.
	if n := len(s); format == 'e' && s[n-4] == 'e' && s[n-2] == '0' {
		s = append(s[:n-2], s[n-1])
	}
	return s
}
