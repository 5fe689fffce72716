package codec

import (
	"reflect"

	"github.com/bytedance/sonic"
)

// JSON is the default parser, compatible with socket.io-parser 4.2: JSON text,
// with binary values as separate attachments.
//
//	<type>[<attachments>-][<namespace>,][<id>][<json>]
//	2["hello",1]
//	51-/chat,12["upload",{"_placeholder":true,"num":0}]
//
// Values are encoded as encoding/json does, with the differences that make it
// JSON.stringify's output: nothing is escaped for HTML, map keys are unsorted,
// and a []byte is an attachment wherever it is found (see binary_encode.go).
//
// Source: https://socket.io/docs/v4/socket-io-protocol/#packet-encoding
var JSON Parser = jsonParser{}

type jsonParser struct{}

// Name implements Parser.
func (jsonParser) Name() string { return "json" }

// NewDecoder implements Parser.
func (jsonParser) NewDecoder(l *Limits) Decoder { return &jsonDecoder{limits: l} }

// Pretouch prepares everything that is worked out once per type, so that the
// first packet does not pay for it (milliseconds): call it when a handler for
// the type is registered. It is safe for concurrent use. The error is for types
// that have no JSON form, such as channels.
func Pretouch(t reflect.Type) error {
	if t == nil || t.Kind() == reflect.Interface {
		return nil
	}
	encodePlan(t)
	decodePlan(t)
	return sonic.Pretouch(t)
}
