package codec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// mpEncoder writes values into scratch memory.
type mpEncoder struct {
	b []byte
	w mpWalker // over what the application's methods have written
}

var mpEncoders = sync.Pool{New: func() any { return new(mpEncoder) }}

// free returns e to its pool.
func (e *mpEncoder) free() {
	e.b, e.w = e.b[:0], mpWalker{}
	if cap(e.b) > maxScratchText {
		e.b = nil
	}
	mpEncoders.Put(e)
}

var (
	errNotMsgpack = errors.New("codec: value is not msgpack")
	errNotJSON    = errors.New("codec: MarshalJSON has not returned JSON")
	errTooBig     = errors.New("codec: value too large for msgpack")
)

// value writes v. The most frequent types do without reflection. depth counts
// every pointer, struct, slice, map and interface on the way.
func (e *mpEncoder) value(v any, depth int) error {
	if depth > maxValueDepth {
		return ErrValueTooDeep
	}
	switch v := v.(type) {
	case nil:
		e.b = append(e.b, 0xc0)
	case string:
		e.b = mpAppendString(e.b, v)
	case bool:
		e.b = msgp.AppendBool(e.b, v)
	case int:
		e.b = mpAppendInt(e.b, int64(v))
	case int64:
		e.b = mpAppendInt(e.b, v)
	case float64:
		e.b = mpAppendFloat(e.b, v)
	case []byte:
		return e.binary(v)
	case time.Time:
		e.b = mpAppendDate(e.b, v)
	case msgp.Raw:
		return e.raw(v)
	case []any:
		return e.slice(v, depth)
	case map[string]any:
		return e.object(v, depth)
	default:
		rv := reflect.ValueOf(v)
		return e.reflected(rv, mpPlanOf(rv.Type()), depth)
	}
	return nil
}

func (e *mpEncoder) binary(p []byte) error {
	if p == nil {
		e.b = append(e.b, 0xc0)
		return nil
	}
	if len(p) > math.MaxUint32 {
		return errTooBig
	}
	e.b = msgp.AppendBytes(e.b, p)
	return nil
}

func (e *mpEncoder) slice(v []any, depth int) error {
	if v == nil {
		e.b = append(e.b, 0xc0)
		return nil
	}
	e.b = msgp.AppendArrayHeader(e.b, uint32(len(v)))
	for _, x := range v {
		if err := e.value(x, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (e *mpEncoder) object(v map[string]any, depth int) error {
	if v == nil {
		e.b = append(e.b, 0xc0)
		return nil
	}
	e.b = msgp.AppendMapHeader(e.b, uint32(len(v)))
	for k, x := range v {
		e.b = mpAppendString(e.b, k)
		if err := e.value(x, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// raw writes bytes that are msgpack already. Whoever passes on what a peer has
// sent must not be able to break the packet with it, so they are checked, which
// allocates nothing.
func (e *mpEncoder) raw(p []byte) error {
	from := len(e.b)
	if len(p) == 0 {
		e.b = append(e.b, 0xc0)
		return nil
	}
	e.b = append(e.b, p...)
	return e.settle(from)
}

// settle checks what was written from the given position on, which must be one
// value, and replaces what other clients could not read.
func (e *mpEncoder) settle(from int) error {
	if err := e.w.own(e.b[from:]); err != nil {
		return err
	}
	if e.w.illFormed || e.w.times {
		e.b = append(e.b[:from], mpRewritten(e.b[from:], mpForPeers)...)
	}
	return nil
}

// reflected writes a value of any type.
func (e *mpEncoder) reflected(v reflect.Value, p *mpPlan, depth int) error {
	if depth > maxValueDepth {
		return ErrValueTooDeep
	}
	switch p.kind {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		if v.IsNil() && p.enc != mpByRaw {
			e.b = append(e.b, 0xc0)
			return nil
		}
	}
	if p.enc != mpByKind {
		done, err := e.method(v, p)
		if done {
			return err
		}
	}
	switch p.kind {
	case reflect.Bool:
		e.b = msgp.AppendBool(e.b, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.b = mpAppendInt(e.b, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		e.b = msgp.AppendUint64(e.b, v.Uint())
	case reflect.Float32:
		e.b = mpAppendFloat(e.b, mpShortest(v.Float()))
	case reflect.Float64:
		e.b = mpAppendFloat(e.b, v.Float())
	case reflect.String:
		return e.text(v.String(), p)
	case reflect.Interface:
		v = v.Elem()
		return e.reflected(v, mpPlanOf(v.Type()), depth+1)
	case reflect.Pointer:
		return e.reflected(v.Elem(), p.elem, depth+1)
	case reflect.Struct:
		return e.structure(v, p, depth+1)
	case reflect.Slice:
		if p.bytes {
			return e.binary(v.Bytes())
		}
		return e.list(v, p, depth+1)
	case reflect.Array:
		return e.list(v, p, depth+1)
	case reflect.Map:
		return e.mapping(v, p, depth+1)
	default:
		return fmt.Errorf("codec: values of type %v have no msgpack form", p.typ)
	}
	return nil
}

// text writes a string, or a json.Number as the number it spells.
func (e *mpEncoder) text(s string, p *mpPlan) error {
	if !p.number {
		e.b = mpAppendString(e.b, s)
		return nil
	}
	if s == "" {
		s = "0" // as encoding/json
	}
	if scanNumber([]byte(s), 0) != len(s) {
		return fmt.Errorf("codec: %q is no number", s)
	}
	e.b = mpAppendNumber(e.b, s)
	return nil
}

func (e *mpEncoder) list(v reflect.Value, p *mpPlan, depth int) error {
	e.b = msgp.AppendArrayHeader(e.b, uint32(v.Len()))
	for i := range v.Len() {
		if err := e.reflected(v.Index(i), p.elem, depth); err != nil {
			return err
		}
	}
	return nil
}

func (e *mpEncoder) mapping(v reflect.Value, p *mpPlan, depth int) error {
	e.b = msgp.AppendMapHeader(e.b, uint32(v.Len()))
	for it := v.MapRange(); it.Next(); {
		if err := e.mapKey(it.Key(), p); err != nil {
			return err
		}
		if err := e.reflected(it.Value(), p.elem, depth); err != nil {
			return err
		}
	}
	return nil
}

// mapKey writes the key of a map as the string it is in JSON.
func (e *mpEncoder) mapKey(k reflect.Value, p *mpPlan) error {
	switch {
	case k.Kind() == reflect.String:
		e.b = mpAppendString(e.b, k.String())
	case p.keyText:
		if k.Kind() == reflect.Pointer && k.IsNil() {
			e.b = mpAppendString(e.b, "")
			return nil
		}
		text, err := k.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return err
		}
		e.b = mpAppendString(e.b, text)
	case k.CanInt():
		e.b = mpAppendString(e.b, strconv.FormatInt(k.Int(), 10))
	case k.CanUint():
		e.b = mpAppendString(e.b, strconv.FormatUint(k.Uint(), 10))
	default:
		return fmt.Errorf("codec: values of type %v have no msgpack form", p.typ)
	}
	return nil
}

func (e *mpEncoder) structure(v reflect.Value, p *mpPlan, depth int) error {
	n := len(p.fields)
	if p.wide {
		n = 0
		for i := range p.fields {
			if _, ok := p.fields[i].of(v); ok {
				n++
			}
		}
	}
	e.b = msgp.AppendMapHeader(e.b, uint32(n))
	for i := range p.fields {
		f := &p.fields[i]
		fv, ok := f.of(v)
		if !ok {
			continue
		}
		e.b = append(e.b, f.key...)
		var err error
		if f.quoted {
			err = e.quotedValue(fv)
		} else {
			err = e.reflected(fv, f.plan, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// of returns the field's value in the struct v; ok is false when it is left out.
func (f *mpField) of(v reflect.Value) (fv reflect.Value, ok bool) {
	if len(f.index) == 1 {
		fv = v.Field(f.index[0])
	} else {
		fv = v
		for i, n := range f.index {
			if i > 0 && fv.Kind() == reflect.Pointer {
				if fv.IsNil() {
					return fv, false
				}
				fv = fv.Elem()
			}
			fv = fv.Field(n)
		}
	}
	if (f.omitEmpty || f.omitZero) && f.omitted(fv) {
		return fv, false
	}
	return fv, true
}

// quotedValue writes a field with the option "string".
func (e *mpEncoder) quotedValue(v reflect.Value) error {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			e.b = append(e.b, 0xc0)
			return nil
		}
		v = v.Elem()
	}
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return err
	}
	e.b = mpAppendString(e.b, text)
	return nil
}

// method writes v through its own method. done is false when there is none for
// this value after all: as in encoding/json, a method of the pointer needs a value
// that has an address.
func (e *mpEncoder) method(v reflect.Value, p *mpPlan) (done bool, err error) {
	from := len(e.b)
	switch p.enc {
	case mpByRaw:
		return true, e.raw(v.Bytes())
	case mpByTime:
		e.b = mpAppendDate(e.b, v.Interface().(time.Time))
		return true, nil
	case mpByMsgp:
		m, ok := methodOf[msgp.Marshaler](v)
		if !ok {
			// The names must not depend on it, so generated code gets a copy.
			c := reflect.New(p.typ)
			c.Elem().Set(v)
			m = c.Interface().(msgp.Marshaler)
		}
		out, err := m.MarshalMsg(e.b)
		if err != nil {
			return true, err
		}
		if len(out) < from || from > 0 && &out[0] != &e.b[0] && !bytes.Equal(out[:from], e.b) {
			return true, errNotMsgpack // it has not appended
		}
		e.b = out
		return true, e.settle(from)
	case mpByJSON:
		m, ok := methodOf[json.Marshaler](v)
		if !ok {
			return false, nil
		}
		text, err := m.MarshalJSON()
		if err != nil {
			return true, err
		}
		return true, e.json(text)
	default:
		m, ok := methodOf[encoding.TextMarshaler](v)
		if !ok {
			return false, nil
		}
		text, err := m.MarshalText()
		if err != nil {
			return true, err
		}
		e.b = mpAppendString(e.b, text)
		return true, nil
	}
}

// methodOf returns v, or else a pointer to it, as an M.
func methodOf[M any](v reflect.Value) (m M, ok bool) {
	if v.CanAddr() {
		// No copy is made of it this way. Its methods include those of the value.
		m, ok = v.Addr().Interface().(M)
		return m, ok
	}
	m, ok = v.Interface().(M)
	return m, ok
}

// mpAppendString appends a string, with what is ill-formed in it replaced.
func mpAppendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	n := len(s)
	switch {
	case n < 32:
		dst = append(dst, 0xa0|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, 0xd9, byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, 0xda, byte(n>>8), byte(n))
	default:
		dst = append(dst, 0xdb, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	dst = append(dst, s...)
	if p := dst[len(dst)-n:]; !utf8.Valid(p) {
		fixed := toValidUTF8(p)
		dst = dst[:len(dst)-n-mpStringHeader(n)]
		return mpAppendString(dst, fixed)
	}
	return dst
}

// mpStringHeader returns the size of what precedes a string of n bytes.
func mpStringHeader(n int) int {
	switch {
	case n < 32:
		return 1
	case n <= math.MaxUint8:
		return 2
	case n <= math.MaxUint16:
		return 3
	}
	return 5
}

// mpAppendInt appends an integer in the smallest form; JavaScript uses the
// unsigned ones from 0 up.
func mpAppendInt(dst []byte, n int64) []byte {
	if n >= 0 {
		return msgp.AppendUint64(dst, uint64(n))
	}
	return msgp.AppendInt64(dst, n)
}

// mpAppendFloat appends a number as JavaScript does, which has only one kind: a
// whole one as an integer. Those beyond 64 bits stay floats; the reference writes
// some other number in their place.
func mpAppendFloat(dst []byte, f float64) []byte {
	switch {
	case f != math.Trunc(f):
	case f >= 0 && f < 1<<64:
		return msgp.AppendUint64(dst, uint64(f))
	case f < 0 && f >= -1<<63:
		return msgp.AppendInt64(dst, int64(f))
	}
	return msgp.AppendFloat64(dst, f)
}

// mpShortest returns the float64 that a float32 is in JSON: 0.1 and not
// 0.10000000149011612.
func mpShortest(f float64) float64 {
	var tmp [32]byte
	g, _ := strconv.ParseFloat(string(strconv.AppendFloat(tmp[:0], f, 'g', -1, 32)), 64) // it is a number
	return g
}

// mpAppendNumber appends a number that is spelled as in JSON.
func mpAppendNumber(dst []byte, s string) []byte {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return mpAppendInt(dst, n)
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return msgp.AppendUint64(dst, n)
	}
	f, _ := strconv.ParseFloat(s, 64) // beyond float64 it is infinite, as in JavaScript
	return mpAppendFloat(dst, f)
}
