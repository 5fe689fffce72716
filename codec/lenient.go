package codec

import "unicode/utf8"

// base64Values maps the characters of both base64 alphabets to their six bits,
// and everything else to 0xff.
var base64Values = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	t['+'], t['-'] = 62, 62
	t['/'], t['_'] = 63, 63
	return t
}()

// decodeBase64 decodes p in place the way Node's Buffer does: both alphabets,
// padding optional, characters outside of them skipped, the first '=' ends it.
// It returns a prefix of p.
//
// encoding/base64 is not used because it refuses what has to be accepted, and
// does not promise that its source and destination may overlap.
func decodeBase64(p []byte) []byte {
	out := 0
	i := 0
	for len(p)-i >= 4 {
		q := p[i : i+4 : i+4]
		a, b, c, d := base64Values[q[0]], base64Values[q[1]], base64Values[q[2]], base64Values[q[3]]
		if (a|b|c|d)&0x80 != 0 {
			break
		}
		t := p[out : out+3 : out+3]
		t[0], t[1], t[2] = a<<2|b>>4, b<<4|c>>2, c<<6|d
		out += 3
		i += 4
	}
	var acc uint32 // the bits not yet written
	var bits uint
	for ; i < len(p) && p[i] != '='; i++ {
		v := base64Values[p[i]]
		if v == 0xff {
			continue
		}
		acc = acc<<6 | uint32(v)
		bits += 6
		if bits >= 8 {
			bits -= 8
			p[out] = byte(acc >> bits)
			out++
		}
	}
	return p[:out]
}

// toValidUTF8 returns a copy of p in which every maximal part of an ill-formed
// sequence is replaced by U+FFFD, as a browser and Node decode it. The standard
// library replaces either whole runs (bytes.ToValidUTF8) or single bytes
// (conversion by range); both differ from that for truncated characters.
//
// Source: Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts".
func toValidUTF8(p []byte) []byte {
	out := make([]byte, 0, len(p)+8)
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError && n == 1 {
			n = illFormedLen(p)
		}
		out = utf8.AppendRune(out, r)
		p = p[n:]
	}
	return out
}

// illFormedLen returns the length of the maximal subpart of the ill-formed
// sequence that p begins with: the bytes that could have been the beginning of a
// character, or 1.
func illFormedLen(p []byte) int {
	lo, hi, need := byte(0x80), byte(0xbf), 0
	switch c := p[0]; {
	case c >= 0xc2 && c <= 0xdf:
		need = 1
	case c >= 0xe0 && c <= 0xef:
		need = 2
		switch c {
		case 0xe0:
			lo = 0xa0
		case 0xed:
			hi = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		need = 3
		switch c {
		case 0xf0:
			lo = 0x90
		case 0xf4:
			hi = 0x8f
		}
	}
	n := 1
	for n <= need && n < len(p) && p[n] >= lo && p[n] <= hi {
		lo, hi = 0x80, 0xbf
		n++
	}
	return n
}
