package codec

import (
	"encoding"
	"encoding/json"
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
