package codec

import (
	"encoding/base64"
	"errors"
	"reflect"
	"slices"

	"github.com/epio-go/epio/pool"
)

var errBinaryString = errors.New("attachment in place of a string")

// refsOf returns the placeholders within argument i. There may be many thousands
// in as many arguments, so it does not walk them.
func (in *In) refsOf(i int) []placeholder {
	byArg := func(r placeholder, arg int) int { return int(r.arg) - arg }
	from, _ := slices.BinarySearchFunc(in.refs, i, byArg)
	n, _ := slices.BinarySearchFunc(in.refs[from:], i+1, byArg)
	return in.refs[from : from+n]
}

// decodeBinary decodes an argument that has placeholders.
//
// Each placeholder becomes a marker, which the JSON library stores like any
// base64 string; then the markers in the result are replaced by copies of the
// attachments. A type that decodes itself cannot be looked into. If markers are
// not accounted for, it may have got them, and the argument is decoded again
// with the real content in base64.
func (in *In) decodeBinary(arg int, raw []byte, refs []placeholder, v any) error {
	if len(refs) == 1 && int(refs[0].end-refs[0].off) == len(raw) {
		switch v := v.(type) {
		case *[]byte:
			*v = in.copyAttachment(refs[0])
			return nil
		case *any:
			*v = in.copyAttachment(refs[0])
			return nil
		}
	}
	out := reflect.ValueOf(v).Elem()
	p := decodePlan(out.Type())
	target := v
	if p.opaque {
		// The first attempt must leave no trace.
		target = reflect.New(out.Type()).Interface()
	}
	text := pool.Get(len(raw))
	in.substitute(text, raw, refs, func(i int) { text.B = appendMarker(text.B, i) }, quotedLen)
	err := decodeJSON(arg, text.B, target)
	text.Release()
	if err == nil {
		w := placer{in: in, refs: refs}
		if err = w.value(reflect.ValueOf(target).Elem(), p, 0); err != nil {
			return &DecodeError{Arg: arg, Type: out.Type(), Err: err}
		}
		if !p.opaque {
			return nil
		}
		if w.placed == len(refs) {
			out.Set(reflect.ValueOf(target).Elem())
			return nil
		}
	}
	if !p.opaque {
		return err
	}
	return in.decodeBase64(arg, raw, refs, v)
}

// decodeBase64 decodes an argument with the attachments in it as base64.
func (in *In) decodeBase64(arg int, raw []byte, refs []placeholder, v any) error {
	// Repetitions of one attachment are not shared here, so they count.
	size := 0
	for _, r := range refs {
		size += len(in.attachments[r.num].B)
	}
	if size > in.maxBytes {
		return &DecodeError{Arg: arg, Type: reflect.TypeOf(v).Elem(), Err: ErrAttachmentBytes}
	}
	text := pool.Get(len(raw) + base64.StdEncoding.EncodedLen(size))
	in.substitute(text, raw, refs, func(i int) { in.appendBase64(text, refs[i]) }, 0)
	err := decodeJSON(arg, text.B, v)
	text.Release()
	return err
}

// substitute writes raw to text with each placeholder replaced by what write
// appends for it.
func (in *In) substitute(text *pool.Buf, raw []byte, refs []placeholder, write func(i int), each int) {
	base := in.args[refs[0].arg].off
	from := uint32(0)
	for i, r := range refs {
		text.Grow(int(r.off-base-from) + each)
		text.B = append(text.B, raw[from:r.off-base]...)
		write(i)
		from = r.end - base
	}
	text.Grow(len(raw) - int(from))
	text.B = append(text.B, raw[from:]...)
}

func (in *In) appendBase64(text *pool.Buf, r placeholder) {
	p := in.attachments[r.num].B
	text.Grow(base64.StdEncoding.EncodedLen(len(p)) + 2)
	text.B = append(text.B, '"')
	text.B = base64.StdEncoding.AppendEncode(text.B, p)
	text.B = append(text.B, '"')
}

// copyAttachment returns the content of an attachment for the application, never nil.
func (in *In) copyAttachment(r placeholder) []byte {
	return append([]byte{}, in.attachments[r.num].B...)
}

// placer puts attachments in the place of markers, in one decoded argument.
type placer struct {
	in     *In
	refs   []placeholder // markers are indexes into it
	copies [][]byte      // by attachment, made on first use
	placed int
	raws   int // bytes of attachments in base64, which are not shared
}

// content returns the copy of the attachment that marker i stands for.
func (w *placer) content(i int) []byte {
	w.placed++
	num := w.refs[i].num
	if w.copies == nil {
		w.copies = make([][]byte, len(w.in.attachments))
	}
	if w.copies[num] == nil {
		w.copies[num] = w.in.copyAttachment(w.refs[i])
	}
	return w.copies[num]
}

// value replaces the markers in v, which is settable.
func (w *placer) value(v reflect.Value, p *plan, depth int) error {
	if depth > maxValueDepth {
		return ErrValueTooDeep // a cycle that was in the target before
	}
	depth++
	switch p.kind {
	case planBytes:
		if i, ok := markerIndex(v.Bytes(), len(w.refs)); ok {
			v.SetBytes(w.content(i))
		}
	case planString:
		if _, ok := markerTextIndex(v.String(), len(w.refs)); ok {
			return errBinaryString
		}
	case planRaw:
		return w.raw(v)
	case planInterface:
		return w.iface(v, depth)
	case planPointer:
		if !v.IsNil() {
			return w.value(v.Elem(), p.elem, depth)
		}
	case planStruct:
		for _, f := range p.fields {
			if err := w.value(v.Field(f.index), f.plan, depth); err != nil {
				return err
			}
		}
	case planSlice, planArray:
		for i := range v.Len() {
			if err := w.value(v.Index(i), p.elem, depth); err != nil {
				return err
			}
		}
	case planMap:
		for it := v.MapRange(); it.Next(); {
			c := reflect.New(v.Type().Elem()).Elem()
			c.Set(it.Value())
			before := w.placed
			if err := w.value(c, p.elem, depth); err != nil {
				return err
			}
			if w.placed != before {
				v.SetMapIndex(it.Key(), c)
			}
		}
	}
	return nil
}

// iface replaces the markers in an interface value.
func (w *placer) iface(v reflect.Value, depth int) error {
	if v.IsNil() {
		return nil
	}
	e := v.Elem()
	if e.Kind() == reflect.Pointer {
		// The application put a pointer there to be decoded into.
		return w.value(e, decodePlan(e.Type()), depth)
	}
	if !e.CanInterface() {
		return nil
	}
	if c, changed := w.any(e.Interface()); changed {
		v.Set(reflect.ValueOf(c))
	}
	return nil
}

// any replaces the markers in what the JSON library makes for an interface. Maps
// and slices change in place; a changed value of another kind is returned. Their
// depth is that of the text.
func (w *placer) any(v any) (c any, changed bool) {
	switch v := v.(type) {
	case string:
		if i, ok := markerTextIndex(v, len(w.refs)); ok {
			return w.content(i), true
		}
	case map[string]any:
		for k, x := range v {
			if c, changed := w.any(x); changed {
				v[k] = c
			}
		}
	case []any:
		for i, x := range v {
			if c, changed := w.any(x); changed {
				v[i] = c
			}
		}
	}
	return v, false
}

// raw replaces the markers in a json.RawMessage by base64, what it would hold
// if there were no attachments.
func (w *placer) raw(v reflect.Value) error {
	text := v.Bytes()
	var out []byte
	for {
		pos, i := findMarker(text, len(w.refs))
		if pos < 0 {
			break
		}
		content := w.in.attachments[w.refs[i].num].B
		if w.raws += len(content); w.raws > w.in.maxBytes {
			return ErrAttachmentBytes
		}
		w.placed++
		out = append(append(out, text[:pos]...), '"')
		out = base64.StdEncoding.AppendEncode(out, content)
		out = append(out, '"')
		text = text[pos+quotedLen:]
	}
	if out != nil {
		v.SetBytes(append(out, text...))
	}
	return nil
}
