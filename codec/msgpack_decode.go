package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
)

// msgpackWire implements wire.
type msgpackWire struct{}

func (msgpackWire) decode(in *In, i int, v any) error {
	d := mpDecoder{p: in.raw(i), exts: in.exts}
	d.room = mpRoom(len(d.p))
	if err := d.top(v); err != nil {
		return &DecodeError{Arg: i, Type: reflect.TypeOf(v).Elem(), Err: err}
	}
	return nil
}

// mpDecoder decodes one value, which the walker has accepted, so that reading
// tokens cannot fail and the counts of arrays and maps are true.
type mpDecoder struct {
	p    []byte
	i    int  // the next token
	exts bool // there may be extensions
	room int  // bytes of memory that slices, maps and pointers may still take
}

// mpRoom returns how much memory a value of n bytes may be decoded into. A nil is
// one byte and may be an element of a list of large structs. What is decoded into
// interfaces is bounded without that: by some 110 bytes for each one.
func mpRoom(n int) int { return 1<<20 + 256*n }

var (
	errDecodedSize  = errors.New("decoded value would be much larger than what was received")
	errUnmarshalMsg = errors.New("UnmarshalMsg has left something of the value")
)

// mpMismatch says that a value does not fit.
func mpMismatch(t *mpToken, into reflect.Type) error {
	return fmt.Errorf("%v in place of %v", t.kind, into)
}

func mpOverflow(into reflect.Type) error { return fmt.Errorf("number out of the range of %v", into) }

// top decodes into what v points to. The most frequent types do without
// reflection.
func (d *mpDecoder) top(v any) error {
	switch v := v.(type) {
	case *string:
		if t, _ := mpNext(d.p, 0); t.kind == mpStr {
			*v = string(t.data)
			return nil
		}
	case *[]byte:
		t, _ := mpNext(d.p, 0)
		if p, ok := t.bytes(); ok {
			*v = append([]byte{}, p...)
			return nil
		}
	case *int:
		t, _ := mpNext(d.p, 0)
		if n, ok := t.int(); ok && int64(int(n)) == n {
			*v = int(n)
			return nil
		}
	case *float64:
		t, _ := mpNext(d.p, 0)
		if f, ok := t.float(); ok {
			*v = f
			return nil
		}
	case *any:
		if p := reflect.ValueOf(*v); p.Kind() != reflect.Pointer || p.IsNil() {
			*v = d.any()
			return nil
		}
	case *map[string]any:
		if *v == nil {
			if t, _ := mpNext(d.p, 0); t.kind == mpMap {
				*v = d.any().(map[string]any)
				return nil
			}
		}
	}
	rv := reflect.ValueOf(v).Elem()
	return d.value(rv, mpPlanOf(rv.Type()))
}

// next takes a token.
func (d *mpDecoder) next() (t mpToken) {
	t, d.i = mpNext(d.p, d.i)
	return t
}

// skip passes over the next value.
func (d *mpDecoder) skip() { d.i = mpSkip(d.p, d.i) }

// mpSkip returns the position behind the value at p[i], which was walked over.
func mpSkip(p []byte, i int) int {
	for left := uint64(1); left > 0; left-- {
		var t mpToken
		t, i = mpNext(p, i)
		switch t.kind {
		case mpArray:
			left += t.n
		case mpMap:
			left += 2 * t.n
		}
	}
	return i
}

// take spends memory.
func (d *mpDecoder) take(n, size uint64) error {
	if size > 0 && n > uint64(d.room)/size {
		return errDecodedSize
	}
	d.room -= int(n * size)
	return nil
}

// noElements is what every empty array becomes in an interface; appending to it
// makes a new one.
var noElements any = []any{}

// any decodes the next value into the types of encoding/json, and binary into
// []byte, a Date into time.Time. An extension of unknown type becomes what
// JavaScript makes of it, [type, content].
func (d *mpDecoder) any() any {
	t := d.next()
	switch t.kind {
	case mpBool:
		return t.n == 1
	case mpUint, mpInt, mpFloat:
		f, _ := t.float()
		return f
	case mpStr:
		return string(t.data)
	case mpBin, mpExt:
		return mpAnyData(&t)
	case mpArray:
		if t.n == 0 {
			return noElements
		}
		list := make([]any, t.n)
		for i := range list {
			list[i] = d.any()
		}
		return list
	case mpMap:
		object := make(map[string]any, t.n)
		for range t.n {
			key := d.next()
			object[key.name()] = d.any()
		}
		return object
	}
	return nil
}

func mpAnyData(t *mpToken) any {
	if t.undefined() {
		return nil
	}
	if p, ok := t.bytes(); ok {
		return append([]byte{}, p...)
	}
	if at, ok := t.time(); ok {
		return at
	}
	return []any{float64(t.ext), append([]byte{}, t.data...)}
}

// value decodes the next value into v, which is settable.
func (d *mpDecoder) value(v reflect.Value, p *mpPlan) error {
	if p.dec != mpByKind {
		return d.method(v, p)
	}
	from := d.i
	t := d.next()
	if t.null() {
		switch p.kind {
		case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
			v.SetZero()
		}
		return nil // as encoding/json, which leaves other things alone
	}
	switch p.kind {
	case reflect.Pointer:
		d.i = from
		if v.IsNil() {
			if err := d.take(1, p.minSize); err != nil {
				return err
			}
			v.Set(reflect.New(p.typ.Elem()))
		}
		return d.value(v.Elem(), p.elem)
	case reflect.Interface:
		d.i = from
		return d.iface(v, p)
	case reflect.Struct:
		return d.structure(v, p, &t)
	case reflect.Map:
		return d.mapping(v, p, &t)
	case reflect.Slice:
		return d.list(v, p, &t)
	case reflect.Array:
		return d.array(v, p, &t)
	}
	return mpSetScalar(v, p, &t)
}

// mpSetScalar stores a boolean, a number or a string.
func mpSetScalar(v reflect.Value, p *mpPlan, t *mpToken) error {
	switch p.kind {
	case reflect.Bool:
		if t.kind == mpBool {
			v.SetBool(t.n == 1)
			return nil
		}
	case reflect.String:
		if t.kind == mpStr && !p.number {
			v.SetString(string(t.data))
			return nil
		}
		if p.number {
			return mpSetNumber(v, p, t)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, ok := t.int()
		if ok && !v.OverflowInt(n) {
			v.SetInt(n)
			return nil
		}
		if _, number := t.uint(); ok || number {
			return mpOverflow(p.typ)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n, ok := t.uint()
		if ok && !v.OverflowUint(n) {
			v.SetUint(n)
			return nil
		}
		if _, number := t.int(); ok || number {
			return mpOverflow(p.typ)
		}
	case reflect.Float32, reflect.Float64:
		if f, ok := t.float(); ok {
			if v.OverflowFloat(f) {
				return mpOverflow(p.typ)
			}
			v.SetFloat(f)
			return nil
		}
	}
	return mpMismatch(t, p.typ)
}

// mpSetNumber stores a json.Number, from a number or a string that spells one.
func mpSetNumber(v reflect.Value, p *mpPlan, t *mpToken) error {
	switch t.kind {
	case mpUint, mpInt, mpFloat:
		v.SetString(string(mpNumberText(t)))
		return nil
	case mpStr:
		if len(t.data) > 0 && scanNumber(t.data, 0) == len(t.data) {
			v.SetString(string(t.data))
			return nil
		}
	}
	return mpMismatch(t, p.typ)
}

func mpNumberText(t *mpToken) []byte {
	switch t.kind {
	case mpUint:
		return strconv.AppendUint(nil, t.n, 10)
	case mpInt:
		return strconv.AppendInt(nil, int64(t.n), 10)
	}
	f, _ := t.float()
	return strconv.AppendFloat(nil, f, 'g', -1, 64)
}

func (d *mpDecoder) iface(v reflect.Value, p *mpPlan) error {
	if e := v.Elem(); e.Kind() == reflect.Pointer && !e.IsNil() {
		// The application put a pointer there to be decoded into.
		return d.value(e.Elem(), mpPlanOf(e.Type().Elem()))
	}
	if p.typ.NumMethod() > 0 {
		t, _ := mpNext(d.p, d.i)
		return mpMismatch(&t, p.typ)
	}
	v.Set(reflect.ValueOf(d.any()))
	return nil
}
