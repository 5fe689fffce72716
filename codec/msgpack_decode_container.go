package codec

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

func (d *mpDecoder) structure(v reflect.Value, p *mpPlan, t *mpToken) error {
	if t.kind != mpMap {
		return mpMismatch(t, p.typ)
	}
	guess := 0
	for range t.n {
		key := d.next()
		var f *mpField
		if guess < len(p.fields) && key.kind == mpStr && p.fields[guess].name == string(key.data) {
			f = &p.fields[guess] // in the order of the source, as most are
		} else if f = p.field(&key); f == nil {
			d.skip()
			continue
		}
		guess++
		fv, err := d.fieldOf(v, f)
		if err == nil {
			if f.quoted {
				err = d.quoted(fv, f)
			} else {
				err = d.value(fv, f.plan)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// field finds the field for a key: of the same name, or else, as in
// encoding/json, of one that differs in case.
func (p *mpPlan) field(key *mpToken) *mpField {
	if key.kind != mpStr {
		key = &mpToken{kind: mpStr, data: mpNumberName(key)}
	}
	if i, ok := p.byName[string(key.data)]; ok {
		return &p.fields[i]
	}
	for i := range p.fields {
		if f := &p.fields[i]; strings.EqualFold(f.name, string(key.data)) {
			return f
		}
	}
	return nil
}

// fieldOf returns the field's place in the struct v, making embedded structs on
// the way.
func (d *mpDecoder) fieldOf(v reflect.Value, f *mpField) (reflect.Value, error) {
	for i, n := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v = settable(v)
				if err := d.take(1, uint64(v.Type().Elem().Size())); err != nil {
					return v, err
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v, nil
}

// quoted decodes a field with the option "string".
func (d *mpDecoder) quoted(v reflect.Value, f *mpField) error {
	t := d.next()
	switch {
	case t.null():
		if v.Kind() == reflect.Pointer {
			v.SetZero()
		}
		return nil
	case t.kind != mpStr:
		return mpMismatch(&t, f.typ)
	}
	return json.Unmarshal(t.data, v.Addr().Interface())
}

func (d *mpDecoder) list(v reflect.Value, p *mpPlan, t *mpToken) error {
	if p.bytes {
		if b, ok := t.bytes(); ok {
			v.SetBytes(append([]byte{}, b...))
			return nil
		}
		if t.kind == mpStr { // what JSON would have
			b, err := base64.StdEncoding.DecodeString(string(t.data))
			if err != nil {
				return err
			}
			v.SetBytes(b)
			return nil
		}
	}
	if t.kind != mpArray {
		return mpMismatch(t, p.typ)
	}
	if err := d.take(t.n, p.minSize); err != nil {
		return err
	}
	// A new array, because decoded values share no memory with earlier ones.
	list := reflect.MakeSlice(p.typ, int(t.n), int(t.n))
	for i := range int(t.n) {
		if err := d.value(list.Index(i), p.elem); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	v.Set(list)
	return nil
}

func (d *mpDecoder) array(v reflect.Value, p *mpPlan, t *mpToken) error {
	if b, ok := t.bytes(); ok && p.elem.kind == reflect.Uint8 {
		n := reflect.Copy(v, reflect.ValueOf(b[:min(len(b), v.Len())]).Convert(reflect.SliceOf(p.elem.typ)))
		clearFrom(v, n)
		return nil
	}
	if t.kind != mpArray {
		return mpMismatch(t, p.typ)
	}
	for i := range int(t.n) {
		if i >= v.Len() {
			d.skip() // as encoding/json
			continue
		}
		if err := d.value(v.Index(i), p.elem); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	clearFrom(v, min(int(t.n), v.Len()))
	return nil
}

func clearFrom(v reflect.Value, n int) {
	for ; n < v.Len(); n++ {
		v.Index(n).SetZero()
	}
}

func (d *mpDecoder) mapping(v reflect.Value, p *mpPlan, t *mpToken) error {
	if t.kind != mpMap {
		return mpMismatch(t, p.typ)
	}
	if err := d.take(t.n, p.minSize); err != nil {
		return err
	}
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(p.typ, int(t.n)))
	}
	key := reflect.New(p.typ.Key()).Elem()
	elem := reflect.New(p.typ.Elem()).Elem()
	for range t.n {
		k := d.next()
		key.SetZero()
		if err := mpSetKey(key, p, k.name()); err != nil {
			return err
		}
		elem.SetZero()
		if err := d.value(elem, p.elem); err != nil {
			return fmt.Errorf("%q: %w", k.name(), err)
		}
		v.SetMapIndex(key, elem)
	}
	return nil
}

// mpSetKey stores the key of a map.
func mpSetKey(v reflect.Value, p *mpPlan, name string) error {
	switch {
	case p.keyParses:
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(name))
	case v.Kind() == reflect.String:
		v.SetString(name)
		return nil
	case v.CanInt():
		n, err := strconv.ParseInt(name, 10, 64)
		if err != nil || v.OverflowInt(n) {
			return mpOverflow(v.Type())
		}
		v.SetInt(n)
		return nil
	case v.CanUint():
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil || v.OverflowUint(n) {
			return mpOverflow(v.Type())
		}
		v.SetUint(n)
		return nil
	}
	return fmt.Errorf("map with keys of type %v", v.Type())
}
