package sio

import (
	"encoding/json"
	"reflect"

	"github.com/epio-go/epio/codec"
)

// convertArg stores a value that came through an adapter, in generic form, in what v points
// to, by the rules of encoding/json. i is its place among the arguments. The error is a
// *codec.DecodeError.
func convertArg(i int, arg, v any) error {
	dst := reflect.ValueOf(v)
	if dst.Kind() != reflect.Pointer || dst.IsNil() {
		return &codec.DecodeError{Arg: i, Type: reflect.TypeOf(v), Err: &json.InvalidUnmarshalError{Type: reflect.TypeOf(v)}}
	}
	dst = dst.Elem()
	// What has the type already stays what it is: binary above all, and numbers keep
	// their digits.
	if src := reflect.ValueOf(arg); src.IsValid() && src.Type().AssignableTo(dst.Type()) {
		dst.Set(src)
		return nil
	}
	raw, err := json.Marshal(arg)
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return &codec.DecodeError{Arg: i, Type: dst.Type(), Err: err}
	}
	return nil
}
