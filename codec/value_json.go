package codec

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// The functions of this file read JSON text that the scanner has accepted.

// jsonText decodes a string with its quotes.
func jsonText(p []byte) string {
	p = p[1 : len(p)-1]
	if bytes.IndexByte(p, '\\') < 0 {
		return string(p)
	}
	own := bytes.Clone(p)
	return string(own[:unescape(own)])
}

// maxExact is the number up to which float64 holds every whole one.
const maxExact = 1 << 53

// jsonInt returns a number that is whole and fits.
func jsonInt(p []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(p), 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(string(p), 64)
	if err != nil || f != math.Trunc(f) || f < -1<<63 || f >= 1<<63 {
		return 0, false
	}
	return int64(f), true
}

// jsonAnyNumber decodes a number as Value.Any does.
func jsonAnyNumber(p []byte) any {
	if len(p) < 16 { // cannot be beyond maxExact
		f, err := strconv.ParseFloat(string(p), 64)
		if err != nil {
			return nil // as below
		}
		return f
	}
	text := string(p)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return wholeNumber(n)
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil // beyond float64 it is infinite, as in JavaScript
	}
	if !bytes.ContainsAny(p, ".eE") && strconv.FormatFloat(f, 'f', -1, 64) != text {
		return json.Number(text)
	}
	return f
}

// wholeNumber returns n as float64 where that can hold it.
func wholeNumber(n int64) any {
	if n >= -maxExact && n <= maxExact {
		return float64(n)
	}
	return n
}

// skipJSON returns the position of the next character that is not space.
func skipJSON(p []byte, i int) int {
	for i < len(p) && p[i] <= ' ' {
		i++
	}
	return i
}

func jsonMembers(p []byte, yield func(string, Value) bool) {
	s := scanner{p: p, depth: math.MaxInt}
	for i := skipJSON(p, 1); p[i] != '}'; {
		end := scanString(p, i)
		name := jsonText(p[i:end])
		from := skipJSON(p, skipJSON(p, end)+1) // behind the colon
		end = s.value(from)
		if !yield(name, Value{p: p[from:end:end], text: true}) {
			return
		}
		if i = skipJSON(p, end); p[i] == ',' {
			i = skipJSON(p, i+1)
		}
	}
}

func jsonElements(p []byte, yield func(Value) bool) {
	s := scanner{p: p, depth: math.MaxInt}
	for i := skipJSON(p, 1); p[i] != ']'; {
		end := s.value(i)
		if !yield(Value{p: p[i:end:end], text: true}) {
			return
		}
		if i = skipJSON(p, end); p[i] == ',' {
			i = skipJSON(p, i+1)
		}
	}
}

// jsonAnyDecoder implements Value.Any. The library is not used because it would make
// every number a float64 or every number a json.Number.
type jsonAnyDecoder struct {
	p    []byte
	i    int // the next character
	left int // values that may still be decoded; negative when there were too many
}

func (d *jsonAnyDecoder) value() any {
	if d.left--; d.left < 0 {
		return nil
	}
	d.i = skipJSON(d.p, d.i)
	switch d.p[d.i] {
	case '{':
		return d.object()
	case '[':
		return d.list()
	case '"':
		return d.text()
	case 't':
		d.i += len("true")
		return true
	case 'f':
		d.i += len("false")
		return false
	case 'n':
		d.i += len("null")
		return nil
	}
	end := scanNumber(d.p, d.i)
	n := jsonAnyNumber(d.p[d.i:end])
	d.i = end
	return n
}

func (d *jsonAnyDecoder) text() string {
	end := scanString(d.p, d.i)
	s := jsonText(d.p[d.i:end])
	d.i = end
	return s
}

// more steps over the comma in front of the next element, or over the end.
func (d *jsonAnyDecoder) more(end byte) bool {
	if d.left < 0 {
		return false
	}
	d.i = skipJSON(d.p, d.i)
	switch d.p[d.i] {
	case end:
		d.i++
		return false
	case ',':
		d.i++
	}
	return true
}

func (d *jsonAnyDecoder) list() any {
	d.i++
	list := []any{}
	for d.more(']') {
		list = append(list, d.value())
	}
	return list
}

func (d *jsonAnyDecoder) object() any {
	d.i++
	object := map[string]any{}
	for d.more('}') {
		d.i = skipJSON(d.p, d.i)
		name := d.text()
		d.i = skipJSON(d.p, d.i) + 1 // the colon
		object[name] = d.value()
	}
	return object
}
