package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	"github.com/bytedance/sonic/decoder"
)

// jsonWire implements wire.
type jsonWire struct{}

func (jsonWire) decode(in *In, i int, v any) error {
	raw := in.raw(i)
	if len(in.refs) > 0 {
		if refs := in.refsOf(i); len(refs) > 0 {
			return in.decodeBinary(i, raw, refs, v)
		}
	}
	return decodeJSON(i, raw, v)
}

// decodeJSON stores a scanned JSON value in *v.
func decodeJSON(arg int, raw []byte, v any) error {
	if s, ok := v.(*string); ok && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		*s = string(raw[1 : len(raw)-1])
		return nil
	}
	d := decoders.Get().(*decoder.Decoder)
	// The view lasts for this call: strings are copied out of it (OptionCopyString)
	// and UnmarshalJSON methods must copy what they keep.
	d.Reset(unsafe.String(unsafe.SliceData(raw), len(raw)))
	err := d.Decode(v)
	if err != nil {
		err = decodeError(arg, v, err)
	}
	d.Reset("")
	decoders.Put(d)
	return err
}

// decoders owns the choice of how arguments are decoded: from an unsafe view of
// pooled memory, so strings must be copied, else they would change when the
// memory is reused. Copying the whole text first (what sonic.Unmarshal does) is
// as fast but lets one short string keep a whole message alive.
//
// OptionValidateString is off: what gets here was found to be well formed, valid
// UTF-8 and free of control characters when it arrived.
var decoders = sync.Pool{New: func() any {
	d := decoder.NewDecoder("")
	d.SetOptions(decoder.OptionCopyString)
	return d
}}

// decodeError makes the library's error safe to keep: its own errors refer to the
// text, which is pooled, and quote from it.
func decodeError(arg int, v any, err error) error {
	switch e := err.(type) {
	case *json.UnmarshalTypeError:
		c := *e
		c.Value, c.Field = strings.Clone(e.Value), strings.Clone(e.Field)
		err = &c
	case interface{ Description() string }:
		// By method instead of by type, because the types are others where sonic
		// falls back to encoding/json.
		if fromSonic(err) {
			text, _, _ := strings.Cut(e.Description(), "\n") // an excerpt follows
			err = errors.New(text)
		}
	}
	return &DecodeError{Arg: arg, Type: reflect.TypeOf(v).Elem(), Err: err}
}

// fromSonic tells the library's error types from the application's.
func fromSonic(err error) bool {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return strings.HasPrefix(t.PkgPath(), "github.com/bytedance/sonic/")
}
