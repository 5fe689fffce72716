package codec

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// json writes JSON text, which a MarshalJSON method has returned, as msgpack.
func (e *mpEncoder) json(text []byte) error {
	if !utf8.Valid(text) {
		text = toValidUTF8(text)
	}
	s := scanner{p: text, depth: maxValueDepth}
	if _, err := s.top(0); err != nil {
		if err == ErrDepth {
			return ErrValueTooDeep
		}
		return errNotJSON
	}
	c := jsonConverter{p: text, out: e.b}
	c.value()
	e.b = c.out
	return nil
}

// jsonConverter turns scanned JSON text into msgpack.
type jsonConverter struct {
	p   []byte
	i   int // the next character
	out []byte
}

// next skips whitespace and returns the next character without taking it.
func (c *jsonConverter) next() byte {
	for c.p[c.i] <= ' ' {
		c.i++
	}
	return c.p[c.i]
}

func (c *jsonConverter) value() {
	switch c.next() {
	case '{':
		c.container(0x80, true)
	case '[':
		c.container(0x90, false)
	case '"':
		c.str()
	case 't':
		c.i += len("true")
		c.out = append(c.out, 0xc3)
	case 'f':
		c.i += len("false")
		c.out = append(c.out, 0xc2)
	case 'n':
		c.i += len("null")
		c.out = append(c.out, 0xc0)
	default:
		end := scanNumber(c.p, c.i)
		c.out = mpAppendNumber(c.out, string(c.p[c.i:end]))
		c.i = end
	}
}

// container converts an object or an array. The header is as large as the count
// asks for, which is known at the end.
func (c *jsonConverter) container(fix byte, object bool) {
	at, n := len(c.out), 0
	c.out = append(c.out, fix)
	c.i++
	for {
		switch c.next() {
		case '}', ']':
			c.i++
			c.count(at, n, object)
			return
		case ',':
			c.i++
		}
		if object {
			c.next()
			c.str()
			c.next()
			c.i++ // the colon
		}
		c.value()
		n++
	}
}

func (c *jsonConverter) count(at, n int, object bool) {
	if n < 16 {
		c.out[at] |= byte(n)
		return
	}
	var tmp [8]byte
	head := msgp.AppendArrayHeader(tmp[:0], uint32(n))
	if object {
		head = msgp.AppendMapHeader(tmp[:0], uint32(n))
	}
	c.out = slices.Replace(c.out, at, at+1, head...)
}

func (c *jsonConverter) str() {
	end := scanString(c.p, c.i)
	text := slices.Clone(c.p[c.i+1 : end-1])
	c.out = mpAppendString(c.out, text[:unescape(text)])
	c.i = end
}

// msgpack writes msgpack, which is one argument, as JSON. Binary becomes base64.
func (e *jsonEncoder) msgpack(p msgp.Raw) error {
	if len(p) == 0 {
		e.text = append(e.text, "null"...)
		return nil
	}
	var w mpWalker
	if err := w.own(p); err != nil {
		return err
	}
	e.text, _ = mpAppendJSON(e.text, p, 0)
	return nil
}

// mpAppendJSON appends the value at p[i], which was walked over, as JSON text and
// returns the position behind it. Binary becomes base64, a Date what its toJSON
// gives, and a number that JSON does not have null.
func mpAppendJSON(dst, p []byte, i int) ([]byte, int) {
	t, i := mpNext(p, i)
	switch t.kind {
	case mpBool:
		dst = strconv.AppendBool(dst, t.n == 1)
	case mpUint:
		dst = strconv.AppendUint(dst, t.n, 10)
	case mpInt:
		dst = strconv.AppendInt(dst, int64(t.n), 10)
	case mpFloat:
		dst = mpAppendJSONFloat(dst, math.Float64frombits(t.n))
	case mpStr:
		dst = appendString(dst, string(t.data))
	case mpBin, mpExt:
		dst = mpAppendJSONData(dst, &t)
	case mpArray:
		dst = append(dst, '[')
		for k := range t.n {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst, i = mpAppendJSON(dst, p, i)
		}
		dst = append(dst, ']')
	case mpMap:
		dst = append(dst, '{')
		for k := range t.n {
			if k > 0 {
				dst = append(dst, ',')
			}
			var key mpToken
			key, i = mpNext(p, i)
			dst = append(appendString(dst, key.name()), ':')
			dst, i = mpAppendJSON(dst, p, i)
		}
		dst = append(dst, '}')
	default:
		dst = append(dst, "null"...)
	}
	return dst, i
}

func mpAppendJSONFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// mpAppendJSONData appends binary or an extension. One of unknown type is what
// JavaScript makes of it, [type, content].
func mpAppendJSONData(dst []byte, t *mpToken) []byte {
	if t.undefined() {
		return append(dst, "null"...)
	}
	if at, ok := t.time(); ok {
		return append(at.AppendFormat(append(dst, '"'), "2006-01-02T15:04:05.999999999Z07:00"), '"')
	}
	p, known := t.bytes()
	if !known {
		dst = append(dst, '[')
		dst = strconv.AppendInt(dst, int64(t.ext), 10)
		dst = append(dst, ',')
		p = t.data
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, p)
	dst = append(dst, '"')
	if !known {
		dst = append(dst, ']')
	}
	return dst
}

// name returns the key of a map as a property name.
func (t *mpToken) name() string {
	if t.kind == mpStr {
		return string(t.data)
	}
	return string(mpNumberName(t))
}
