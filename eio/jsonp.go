package eio

import (
	"bytes"
	"encoding/hex"

	"github.com/epio-go/epio/pool"
)

// Polling without XMLHttpRequest, for browsers of another age: the page asks with script
// elements and sends with forms. The query names the function to call:
//
//	GET ?EIO=3&transport=polling&j=0         ___eio[0]("97:0{\"sid\":…}");
//	POST ?EIO=3&transport=polling&j=0&sid=…  d=6%3A4hello
//
// Everything else is as on ordinary polling. The reference offers it in both revisions,
// and the transport's name stays "polling".
//
// Source: https://github.com/socketio/engine.io-protocol/tree/v3#jsonp

// scriptHead returns what stands in front of a payload. callback is made of digits only:
// nothing that a client sends gets into a script, except as a string.
func scriptHead(callback string) string { return "___eio[" + callback + "](" }

// newScript returns the payload text, which it takes, as a script.
func newScript(head string, text *pool.Buf) *pool.Buf {
	b := pool.Get(len(head) + len(text.B) + len(text.B)/8 + 4)
	b.B = append(b.B, head...)
	b.B = appendJSString(b.B, text.B)
	b.B = append(b.B, ");"...)
	text.Release()
	return b
}

// appendJSString appends p as JSON.stringify does, with the two characters escaped that
// JSON allows inside a string and JavaScript did not.
func appendJSString(dst, p []byte) []byte {
	dst = append(dst, '"')
	for i, c := range p {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
			if c&^1 == 0xa8 && i >= 2 && p[i-1] == 0x80 && p[i-2] == 0xe2 {
				dst = append(dst[:len(dst)-3], `\u202`...)
				dst = append(dst, '8'+c&1)
			}
		default:
			if short := shortEscapes[c]; short != 0 {
				dst = append(dst, '\\', short)
			} else {
				dst = hex.AppendEncode(append(dst, `\u00`...), []byte{c})
			}
		}
	}
	return append(dst, '"')
}

var shortEscapes = [' ']byte{'\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}

// formData returns the field d of a form, decoded in place: p is borrowed for
// writing and the result aliases it. ok is false when the field is missing or there
// are several of them.
func formData(p []byte) (d []byte, ok bool) {
	for pair := range bytes.SplitSeq(p, []byte{'&'}) {
		key, value, _ := bytes.Cut(pair, []byte{'='})
		if string(unescapeForm(key)) != "d" {
			continue
		}
		if ok {
			return nil, false
		}
		d, ok = value, true
	}
	return unescapeNewlines(unescapeForm(d)), ok
}

// unescapeForm decodes p in place. An incomplete escape stays as it is.
func unescapeForm(p []byte) []byte {
	out := p[:0]
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(p):
			var b [1]byte
			if _, err := hex.Decode(b[:], p[i+1:i+3]); err == nil {
				c = b[0]
				i += 2
			}
		}
		out = append(out, c)
	}
	return out
}

// unescapeNewlines undoes, in place, what the client does because browsers change line
// breaks in forms: backslash n is a line break, and a second backslash in front
// makes it two ordinary characters.
func unescapeNewlines(p []byte) []byte {
	out := p[:0]
	slashes := 0 // in front of p[i]
	for _, c := range p {
		if c == 'n' && slashes > 0 {
			out = out[:len(out)-1]
			if slashes == 1 {
				c = '\n'
			}
		}
		if c == '\\' {
			slashes++
		} else {
			slashes = 0
		}
		out = append(out, c)
	}
	return out
}
