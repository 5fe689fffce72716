package codec

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/bytedance/sonic"
)

// sonic turns into encoding/json without an error where it does not know the
// platform or the Go version.
func TestFastPathIsOn(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("sonic has no native code for", runtime.GOARCH)
	}
	if sonic.APIKind != sonic.UseSonicJSON {
		t.Error("sonic fell back to encoding/json")
	}
}

// eventWith makes the packet of an event with one argument.
func eventWith(t *testing.T, arg string) *In {
	t.Helper()
	in, err := feed(nil, `2["e",`+arg+`]`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Release)
	return in
}

func TestDecodeValues(t *testing.T) {
	for _, tc := range []struct {
		arg  string
		want any
	}{
		{`"abc"`, "abc"},
		{`""`, ""},
		{`"a\"\u00e9\ud83d\ude00\ud83d"`, "a\"é😀\ufffd"},
		{`null`, ""},
		{`12`, 12},
		{`-1.5e3`, -1500.0},
		{`true`, true},
		{`12`, any(12.0)},
		{`9007199254740993`, any(9007199254740992.0)},
		{`9007199254740993`, int64(9007199254740993)},
		{`18446744073709551615`, uint64(math.MaxUint64)},
		{`[1,"x",null,{"a":[true]}]`, any([]any{1.0, "x", nil, map[string]any{"a": []any{true}}})},
		{`{"x":1,"y":2,"z":{"ignored":[]}}`, point{1, 2}},
		{`null`, point{}},
		{`[{"x":1},null]`, []*point{{1, 0}, nil}},
		{`"aGVsbG8="`, []byte("hello")},
		{`{"_placeholder":true,"num":0}`, any(map[string]any{"_placeholder": true, "num": 0.0})},
		{`{"a": 1 }`, json.RawMessage(`{"a": 1 }`)},
		{`12`, json.Number("12")},
	} {
		in := eventWith(t, tc.arg)
		got := reflect.New(reflect.TypeOf(tc.want))
		if err := in.Decode(0, got.Interface()); err != nil {
			t.Errorf("%s: %v", tc.arg, err)
		}
		if !reflect.DeepEqual(got.Elem().Interface(), tc.want) {
			t.Errorf("%s: %#v, want %#v", tc.arg, got.Elem(), tc.want)
		}
	}
}

func TestDecodeMissingArguments(t *testing.T) {
	in := eventWith(t, `1`)
	s, v := "kept", any("kept")
	if err := in.Decode(1, &s); err != nil || s != "kept" {
		t.Errorf("%q, %v", s, err)
	}
	if err := in.Decode(99, &v); err != nil || v != "kept" {
		t.Errorf("%v, %v", v, err)
	}
}

func TestDecodeErrors(t *testing.T) {
	in := eventWith(t, `{"x":"secret","y":[1,2,3]}`)
	for _, v := range []any{new(string), new(int), new(point), new([]any), new([]byte), nil, point{}, (*point)(nil), new(chan int)} {
		err := in.Decode(0, v)
		e, ok := errors.AsType[*DecodeError](err)
		if !ok || e.Arg != 0 {
			t.Errorf("%T: %v", v, err)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%T: the error quotes the packet: %v", v, err)
		}
	}
	var own failingDecoder
	if err := in.Decode(0, &own); !errors.Is(err, errFailing) {
		t.Errorf("%v does not wrap the value's own error", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a negative index did not panic")
		}
	}()
	in.Decode(-1, new(any))
}

type failingDecoder struct{}

func (*failingDecoder) UnmarshalJSON([]byte) error { return errFailing }

// Nothing that was decoded, errors included, refers to the packet's memory, which
// is overwritten here as its next owner would.
func TestDecodedValuesOwnTheirMemory(t *testing.T) {
	type all struct {
		S   string
		Esc string
		N   json.Number
		R   json.RawMessage
		A   any
		M   map[string]string
		MA  map[string]any
		L   []string
		P   *string
		B   []byte
		T   textDecoding
	}
	const arg = `{"S":"plain-string","Esc":"a\nplain","N":1234567,"R":["raw-message"],"A":["in-any",{"key-in-any":"v"}],` +
		`"M":{"key-in-map":"value-in-map"},"MA":{"key-in-map":"v"},"L":["in-list"],"P":"in-pointer","B":"aGVsbG8=","T":"text-form"}`
	decode := func(in *In) (v all, a any, m map[string]any, s string, raw json.RawMessage, err error) {
		for i, p := range []any{&v, &a, &m, &s, &raw} {
			if e := in.Decode(i, p); e != nil {
				t.Fatal(e)
			}
		}
		return v, a, m, s, raw, errors.Join(in.Decode(0, new([]int)), in.Decode(5, new(int8)), in.Decode(6, new(float64)), in.Decode(0, new(map[int]string)), in.Decode(0, new(map[string]bool)))
	}
	packet := `2["e",` + arg + `,` + arg + `,` + arg + `,"a string",` + arg + `,123456,1e999]`
	in, err := feed(nil, packet)
	if err != nil {
		t.Fatal(err)
	}
	twin := in.Clone()
	v1, a1, m1, s1, r1, e1 := decode(in)
	v2, a2, m2, s2, r2, e2 := decode(twin)
	text1 := e1.Error()
	for i := range in.buf.B {
		in.buf.B[i] = 'Z'
	}
	in.Release()
	for _, pair := range [][2]any{{v1, v2}, {a1, a2}, {m1, m2}, {s1, s2}, {r1, r2}, {e1.Error(), e2.Error()}, {e1.Error(), text1}} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%T changed with the packet's memory:\n got %v\nwant %v", pair[0], pair[0], pair[1])
		}
	}
}

func TestDecodeData(t *testing.T) {
	in, err := feed(nil, `0/admin,{"token":"abc"}`)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release()
	var auth struct{ Token string }
	if err := in.DecodeData(&auth); err != nil || auth.Token != "abc" {
		t.Errorf("%v, %v", auth, err)
	}
	err = in.DecodeData(new(int))
	if e, ok := errors.AsType[*DecodeError](err); !ok || e.Arg != -1 {
		t.Errorf("%v", err)
	}
	if err = in.DecodeData(auth); err == nil {
		t.Error("decoded into a non-pointer")
	}
	if in.Len() != 0 {
		t.Errorf("a CONNECT has %d arguments", in.Len())
	}

	bare, err := feed(nil, `0`)
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Release()
	auth.Token = "kept"
	if err := bare.DecodeData(&auth); err != nil || auth.Token != "kept" {
		t.Errorf("%v, %v", auth, err)
	}
}

func TestPretouch(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[tree](), reflect.TypeFor[*point](), reflect.TypeFor[any](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), nil} {
		if err := Pretouch(typ); err != nil {
			t.Errorf("%v: %v", typ, err)
		}
	}
}
