package codec

import (
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"github.com/tinylib/msgp/msgp"
)

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
// extensions, and reads floats only from floats of the same size.
func (d *mpDecoder) unmarshalMsg(v reflect.Value, p *mpPlan, raw []byte) error {
	if d.exts {
		raw = mpRewritten(raw, mpForMethods)
	}
	m := v.Addr().Interface().(msgp.Unmarshaler)
	rest, err := m.UnmarshalMsg(raw)
	if err != nil && p.floats && mpWantedFloat(err) {
		raw, _ = mpAppendFloats(nil, raw, 0, p)
		v.SetZero()
		rest, err = m.UnmarshalMsg(raw)
	}
	if err == nil && len(rest) > 0 {
		err = errUnmarshalMsg
	}
	return err
}

// mpWantedFloat reports whether generated code was given another number in place
// of a float. When that is the last value, it finds too few bytes.
func mpWantedFloat(err error) bool {
	err = msgp.Cause(err)
	if e, ok := errors.AsType[msgp.TypeError](err); ok {
		return e.Method == msgp.Float64Type || e.Method == msgp.Float32Type
	}
	return errors.Is(err, msgp.ErrShortBytes)
}

// mpAppendFloats copies the value at p[i] with every number that is meant for a
// float in the plan's type written as one of its size.
func mpAppendFloats(dst, p []byte, i int, plan *mpPlan) (out []byte, end int) {
	for plan.kind == reflect.Pointer {
		plan = plan.elem
	}
	t, next := mpNext(p, i)
	if f, ok := t.float(); ok {
		switch plan.kind {
		case reflect.Float64:
			return msgp.AppendFloat64(dst, f), next
		case reflect.Float32:
			return msgp.AppendFloat32(dst, float32(f)), next
		}
	}
	if !plan.floats || t.kind != mpArray && t.kind != mpMap {
		end = mpSkip(p, i)
		return append(dst, p[i:end]...), end
	}
	dst = append(dst, p[i:next]...) // the header
	for n := range t.n {
		inner := plan.elem
		if t.kind == mpMap {
			key, end := mpNext(p, next)
			dst, next = append(dst, p[next:end]...), end
			if plan.kind == reflect.Struct {
				inner = plan.member(&key)
			}
		} else if plan.kind == reflect.Struct {
			inner = plan.member(&mpToken{kind: mpUint, n: n}) // a tuple
		}
		if inner == nil {
			end = mpSkip(p, next)
			dst, next = append(dst, p[next:end]...), end
			continue
		}
		dst, next = mpAppendFloats(dst, p, next, inner)
	}
	return dst, next
}

// member returns the plan of a field, by the name that generated code has for it
// or by its position, or nil.
func (p *mpPlan) member(key *mpToken) *mpPlan {
	if key.kind == mpUint {
		if key.n < uint64(len(p.fields)) {
			return p.fields[key.n].plan
		}
		return nil
	}
	for i := range p.fields {
		if f := &p.fields[i]; f.generated == string(key.data) {
			return f.plan
		}
	}
	if f := p.field(key); f != nil {
		return f.plan
	}
	return nil
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
