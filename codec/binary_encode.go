package codec

import (
	"reflect"
	"slices"
	"strconv"
)

// maxValueDepth bounds how deep the application's values are followed, counting
// every pointer, struct, slice, map and interface. Only a value that refers to
// itself gets there.
const maxValueDepth = 1000

// binaryValue writes an argument in which binary values can be.
//
// JSON libraries know one form for []byte, base64. So they are shown a copy of
// the value (only of the parts that lead to binary values) with a marker in
// place of each; afterwards the markers in their output become placeholders,
// numbered as they appear. A binary value that was not written (its field is
// shadowed by another, say) is not sent either.
func (e *jsonEncoder) binaryValue(v any) error {
	if !e.containsAny(v, 0) {
		if e.deep {
			return ErrValueTooDeep
		}
		return e.library(v)
	}
	e.found = e.found[:0]
	c := e.copyAny(v, 0)
	if e.deep {
		return ErrValueTooDeep
	}
	from := len(e.text)
	if err := e.library(c); err != nil {
		return err
	}
	e.placeholders(from)
	return nil
}

// containsAny reports whether there is a binary value in v. At maxValueDepth it
// sets e.deep and gives up.
func (e *jsonEncoder) containsAny(v any, depth int) bool {
	switch v := v.(type) {
	case nil, string, bool, float64, int:
		return false
	case []byte:
		return v != nil
	case map[string]any:
		if e.tooDeep(depth) {
			return false
		}
		for _, x := range v {
			if e.containsAny(x, depth+1) {
				return true
			}
		}
		return false
	case []any:
		if e.tooDeep(depth) {
			return false
		}
		for _, x := range v {
			if e.containsAny(x, depth+1) {
				return true
			}
		}
		return false
	}
	p := encodePlan(reflect.TypeOf(v))
	return p.kind != planNone && e.contains(reflect.ValueOf(v), p, depth)
}

func (e *jsonEncoder) tooDeep(depth int) bool {
	e.deep = e.deep || depth > maxValueDepth
	return e.deep
}

func (e *jsonEncoder) contains(v reflect.Value, p *plan, depth int) bool {
	if p.kind == planNone || e.tooDeep(depth) {
		return false
	}
	depth++
	switch p.kind {
	case planBytes:
		return !v.IsNil()
	case planInterface:
		if v.IsNil() {
			return false
		}
		v = v.Elem()
		return e.contains(v, encodePlan(v.Type()), depth)
	case planPointer:
		return !v.IsNil() && e.contains(v.Elem(), p.elem, depth)
	case planStruct:
		for _, f := range p.fields {
			fv := v.Field(f.index)
			if !f.omits(fv) && e.contains(fv, f.plan, depth) {
				return true
			}
		}
	case planSlice, planArray:
		for i := range v.Len() {
			if e.contains(v.Index(i), p.elem, depth) {
				return true
			}
		}
	case planMap:
		for it := v.MapRange(); it.Next(); {
			if e.contains(it.Value(), p.elem, depth) {
				return true
			}
		}
	}
	return false
}

// omits reports whether an empty binary value in this field is left out, which a
// marker in its place would prevent.
func (f *fieldPlan) omits(v reflect.Value) bool {
	return f.omitEmpty && f.plan.kind == planBytes && v.Len() == 0
}

// marker remembers a binary value and returns its marker.
func (e *jsonEncoder) marker(v []byte) []byte {
	e.found = append(e.found, v)
	return newMarker(len(e.found) - 1)
}

// copyAny returns v with markers. Only called on values in which containsAny
// found something; parts without anything are shared with v.
func (e *jsonEncoder) copyAny(v any, depth int) any {
	if e.tooDeep(depth) {
		return nil
	}
	switch v := v.(type) {
	case nil, string, bool, float64, int:
		return v
	case []byte:
		if v == nil {
			return v // not the nil interface, which omitempty would leave out
		}
		return e.marker(v)
	case map[string]any:
		if v == nil {
			return v
		}
		c := make(map[string]any, len(v))
		for k, x := range v {
			c[k] = e.copyAny(x, depth+1)
		}
		return c
	case []any:
		if v == nil {
			return v
		}
		c := make([]any, len(v))
		for i, x := range v {
			c[i] = e.copyAny(x, depth+1)
		}
		return c
	}
	t := reflect.TypeOf(v)
	p := encodePlan(t)
	if p.kind == planNone {
		return v
	}
	c := reflect.New(t).Elem()
	e.copyInto(c, reflect.ValueOf(v), p, depth)
	return c.Interface()
}

// copyInto copies what JSON sees of src into dst, a zero value of the same type
// that nobody else knows. Unexported fields stay zero: nothing reads them, and
// copying them could race with their owner (a mutex, a counter).
func (e *jsonEncoder) copyInto(dst, src reflect.Value, p *plan, depth int) {
	if p.kind == planNone {
		share(dst, src)
		return
	}
	if e.tooDeep(depth) {
		return
	}
	depth++
	switch p.kind {
	case planBytes:
		if !src.IsNil() {
			dst.SetBytes(e.marker(src.Bytes()))
		}
	case planInterface:
		if !src.IsNil() {
			if c := e.copyAny(src.Elem().Interface(), depth); c != nil {
				dst.Set(reflect.ValueOf(c))
			}
		}
	case planPointer:
		if !src.IsNil() {
			c := reflect.New(src.Type().Elem())
			e.copyInto(c.Elem(), src.Elem(), p.elem, depth)
			settable(dst).Set(c.Convert(src.Type()))
		}
	case planStruct:
		for i := range p.fields {
			f := &p.fields[i]
			if from := src.Field(f.index); !f.omits(from) {
				e.copyInto(dst.Field(f.index), from, f.plan, depth)
			}
		}
	case planSlice:
		if !src.IsNil() {
			dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
			e.copyElems(dst, src, p.elem, depth)
		}
	case planArray:
		e.copyElems(dst, src, p.elem, depth)
	case planMap:
		if !src.IsNil() {
			dst.Set(reflect.MakeMapWithSize(src.Type(), src.Len()))
			for it := src.MapRange(); it.Next(); {
				c := reflect.New(src.Type().Elem()).Elem()
				e.copyInto(c, it.Value(), p.elem, depth)
				dst.SetMapIndex(it.Key(), c)
			}
		}
	}
}

func (e *jsonEncoder) copyElems(dst, src reflect.Value, elem *plan, depth int) {
	for i := range src.Len() {
		e.copyInto(dst.Index(i), src.Index(i), elem, depth)
	}
}

// share makes dst what src is. Only an embedded struct of an unexported type, or
// a pointer to one, takes more than Set: reflect refuses it, but JSON does see
// its exported fields.
func share(dst, src reflect.Value) {
	switch {
	case src.CanInterface():
		dst.Set(src)
	case src.Kind() == reflect.Pointer:
		settable(dst).Set(reflect.NewAt(src.Type().Elem(), src.UnsafePointer()))
	default:
		for i := range src.NumField() {
			if f := src.Type().Field(i); f.IsExported() || embeddedStruct(f) {
				share(dst.Field(i), src.Field(i))
			}
		}
	}
}

// settable returns v without the mark of an embedded pointer to an unexported
// type. v is part of our own copy.
func settable(v reflect.Value) reflect.Value {
	if v.CanSet() {
		return v
	}
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

// hit is a marker found in the output.
type hit struct{ pos, num int }

// placeholders replaces the markers in e.text from the given position on, and
// appends their values to the attachments.
func (e *jsonEncoder) placeholders(from int) {
	e.hits = e.hits[:0]
	grow := 0
	for at := from; ; {
		k, i := findMarker(e.text[at:], len(e.found))
		if k < 0 {
			break
		}
		num := len(e.attachments)
		e.attachments = append(e.attachments, e.found[i])
		e.hits = append(e.hits, hit{at + k, num})
		grow += placeholderLen(num) - quotedLen
		at += k + quotedLen
	}
	// A placeholder is longer than a marker, so the text moves apart from its end.
	r := len(e.text)
	e.text = slices.Grow(e.text, grow)[:r+grow]
	w := len(e.text)
	for _, h := range slices.Backward(e.hits) {
		tail := h.pos + quotedLen
		w -= copy(e.text[w-(r-tail):w], e.text[tail:r])
		w -= placeholderLen(h.num)
		appendPlaceholder(e.text[w:w], h.num)
		r = h.pos
	}
}

// placeholderLen returns the length of what appendPlaceholder appends.
func placeholderLen(num int) int {
	return len(`{"_placeholder":true,"num":}`) + len(strconv.Itoa(num))
}
