package codec

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/tinylib/msgp/msgp"
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

// method decodes the next value by a method of v's type.
func (d *mpDecoder) method(v reflect.Value, p *mpPlan) error {
	from := d.i
	d.skip()
	raw := d.p[from:d.i]
	t, _ := mpNext(raw, 0)
	switch p.dec {
	case mpByRaw:
		v.SetBytes(append([]byte{}, raw...))
		return nil
	case mpByMsgp:
		if t.null() {
			return nil
		}
		return d.unmarshalMsg(v, p, raw)
	case mpByTime:
		return mpSetTime(v, p, &t)
	case mpByJSON:
		text, _ := mpAppendJSON(nil, raw, 0)
		return v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(text)
	default:
		if t.null() {
			return nil
		}
		if t.kind != mpStr {
			return mpMismatch(&t, p.typ)
		}
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(append([]byte{}, t.data...))
	}
}

// unmarshalMsg has generated code decode raw. It knows nothing of JavaScript's
// extensions, and reads floats only from floats: a type that has floats, and that
// it could not read, is decoded like one without methods.
func (d *mpDecoder) unmarshalMsg(v reflect.Value, p *mpPlan, raw []byte) error {
	known := raw
	if d.exts {
		known = mpRewritten(raw, mpForMethods)
	}
	rest, err := v.Addr().Interface().(msgp.Unmarshaler).UnmarshalMsg(known)
	if err == nil && len(rest) > 0 {
		err = errUnmarshalMsg
	}
	if err == nil || !p.floats {
		return err
	}
	byKind := *p
	byKind.dec = mpByKind
	d.i -= len(raw)
	v.SetZero()
	return d.value(v, &byKind)
}

// mpSetTime stores a time from a Date, or from a string as JSON has it.
func mpSetTime(v reflect.Value, p *mpPlan, t *mpToken) error {
	if t.null() {
		return nil
	}
	at, ok := t.time()
	if !ok {
		if t.kind != mpStr {
			return mpMismatch(t, p.typ)
		}
		var err error
		if at, err = time.Parse(time.RFC3339, string(t.data)); err != nil {
			return err
		}
	}
	v.Set(reflect.ValueOf(at))
	return nil
}
