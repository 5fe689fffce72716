package codec

import (
	"testing"

	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/internal/invariants"
)

// Ceilings on allocations per packet, warm, beside those of JSON in
// TestAllocations.
func TestMsgpackAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("test builds allocate more, on purpose")
	}
	value := say{"lobby", "hello there", 7}
	code := generatedPlain{"lobby", "hello there", 7}
	simpleArgs := []any{"hello there", 7, true, 1.5, []byte("bytes"), nil}
	structArg, codeArg := []any{&value}, []any{&code}
	listArg := []any{[]say{value, value}}
	rawArg := []any{msgp.Raw("\x82\xa1a\x01\xa1b\xa5hello")}
	anyArg := []any{map[string]any{"a": 1, "b": []any{"x", 2.5}}}
	event := mpMapOf("type", 2, "nsp", "/chat", "id", 12, "data", array("say", value, "x", 3))
	connect := mpMapOf("type", 0, "nsp", "/", "data", undefined)
	d := Msgpack.NewDecoder(nil)

	decode := func(i int, v any) func() {
		return func() {
			in, err := d.Binary(event)
			if err != nil || i >= 0 && in.Decode(i, v) != nil {
				t.Fail()
			}
			in.Release()
		}
	}
	var s string
	var n int
	for _, tc := range []struct {
		name string
		max  float64
		f    func()
	}{
		{"encode simple values", 0, func() { must(Msgpack.EncodeEvent("/chat", 5, "say", simpleArgs)).Release() }},
		{"encode struct pointer", 0, func() { must(Msgpack.EncodeEvent("/", -1, "say", structArg)).Release() }},
		{"encode generated", 0, func() { must(Msgpack.EncodeEvent("/", -1, "say", codeArg)).Release() }},
		{"encode list of structs", 0, func() { must(Msgpack.EncodeEvent("/", -1, "say", listArg)).Release() }},
		{"encode raw", 0, func() { must(Msgpack.EncodeEvent("/", -1, "say", rawArg)).Release() }},
		{"encode map", 0, func() { must(Msgpack.EncodeEvent("/", -1, "say", anyArg)).Release() }},
		{"encode ack", 0, func() { must(Msgpack.EncodeAck("/", 12, structArg)).Release() }},
		{"encode connect", 0, func() { Msgpack.EncodeConnect("/", "oSO0OpakMV_3jnilAAAA", "").Release() }},
		{"encode disconnect", 0, func() { Msgpack.EncodeDisconnect("/").Release() }},
		{"decode connect", 0, func() {
			in, _ := d.Binary(connect)
			in.Release()
		}},
		{"decode event", 0, decode(-1, nil)},
		{"decode event and a string", 1, decode(1, &s)},
		{"decode event and a number", 0, decode(2, &n)},
		{"decode event and a struct", 2, decode(0, &value)},   // its strings
		{"decode event and a generated", 2, decode(0, &code)}, // its strings
		{"decode event and a raw", 1, decode(0, new(msgp.Raw))},
	} {
		tc.f()
		if got := testing.AllocsPerRun(200, tc.f); got > tc.max {
			t.Errorf("%s: %v allocations, at most %v", tc.name, got, tc.max)
		} else {
			t.Logf("%s: %v", tc.name, got)
		}
	}
}
