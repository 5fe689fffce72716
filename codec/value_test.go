package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// both returns v in both formats.
func both(t *testing.T, v any) []Value {
	t.Helper()
	text, binary, err := AppendJSON(nil, v)
	if err != nil || binary {
		t.Fatalf("%v: binary %t, %v", v, binary, err)
	}
	j, err := ScanJSON(text, 10)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	packed, err := AppendMsgpack(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ScanMsgpack(packed, 10)
	if err != nil {
		t.Fatalf("%x: %v", packed, err)
	}
	return []Value{j, m}
}

func TestValueAny(t *testing.T) {
	for _, want := range []any{
		nil, true, false, 0.0, -1.0, 1.5, float64(1 << 53), int64(1<<53 + 1), int64(-1<<53 - 1), uint64(math.MaxUint64),
		1e20, "", "é\"\\\n\u2028",
		[]any{},
		[]any{1.0, []any{nil}, map[string]any{"a": "b"}},
		map[string]any{},
		map[string]any{"a": []any{}, "é": map[string]any{"": 0.5}},
	} {
		for _, v := range both(t, want) {
			if got, err := v.Any(); !reflect.DeepEqual(got, want) || err != nil {
				t.Errorf("%q: got %#v, %v, want %#v", v.p, got, err, want)
			}
		}
	}
}

func TestValueKinds(t *testing.T) {
	for kind, v := range map[ValueKind]any{
		NullValue: nil, BoolValue: true, NumberValue: -7, StringValue: "x", ListValue: []int{1}, ObjectValue: map[string]int{"a": 1},
	} {
		for _, v := range both(t, v) {
			if v.Kind() != kind {
				t.Errorf("%q is of kind %d, want %d", v.p, v.Kind(), kind)
			}
			b, isBool := v.Bool()
			_, isText := v.Text()
			n, isInt := v.Int()
			name, isName := v.Name()
			if isBool != (kind == BoolValue) || isBool && !b || isText != (kind == StringValue) ||
				isInt != (kind == NumberValue) || isInt && n != -7 ||
				isName != (isText || isInt) || isInt && name != "-7" || isText && name != "x" {
				t.Errorf("%q: %t %t %t %q %t", v.p, isBool, isText, isInt, name, isName)
			}
		}
	}
	for p, kind := range map[string]ValueKind{
		"\xc4\x01x": BinaryValue, "\xc7\x02\x00xy": BinaryValue, "\xd4\x00\x00": NullValue,
		"\xd6\xff\x00\x00\x00\x01": DateValue, "\xd4\x09x": UnknownValue,
	} {
		v, err := ScanMsgpack([]byte(p), 1)
		if err != nil || v.Kind() != kind {
			t.Errorf("%q: kind %d, %v, want %d", p, v.Kind(), err, kind)
		}
	}
	if (Value{}).Kind() != NullValue {
		t.Error("the zero value is not null")
	}
}

func TestValueIntOfFloats(t *testing.T) {
	for text, want := range map[string]int64{"1e3": 1000, "1.0": 1, "-0": 0, "9223372036854775807": math.MaxInt64} {
		v, err := ScanJSON([]byte(text), 1)
		if n, ok := v.Int(); n != want || !ok || err != nil {
			t.Errorf("%s: %d, %t, %v", text, n, ok, err)
		}
	}
	for _, text := range []string{"1.5", "1e300", "9223372036854775808"} {
		v, err := ScanJSON([]byte(text), 1)
		if n, ok := v.Int(); ok || err != nil {
			t.Errorf("%s: %d, %t, %v", text, n, ok, err)
		}
	}
}

// Members and elements are found with any spacing, in the order of the wire.
func TestValueParts(t *testing.T) {
	v, err := ScanJSON([]byte(" { \"a\" : [ 1 , \"]\" ,{ } ] ,\n\"\\u0062\":{\"c\":{}},\"a\":2 } "), 5)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for name, m := range v.Members() {
		got = append(got, name+"="+string(m.p))
		for e := range m.Elements() {
			got = append(got, string(e.p))
		}
	}
	if want := []string{`a=[ 1 , "]" ,{ } ]`, "1", `"]"`, "{ }", `b={"c":{}}`, "a=2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range v.Elements() {
		t.Error("an object has elements")
	}
	m, err := ScanMsgpack([]byte("\x83\xa1a\x92\x01\x81\xa1x\x90\x07\xc3\xa1c\xc0"), 5)
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for name, v := range m.Members() {
		got = append(got, name)
		for e := range v.Elements() {
			got = append(got, string(e.p))
		}
	}
	if want := []string{"a", "\x01", "\x81\xa1x\x90", "7", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range m.Members() {
		break
	}
	for range v.Members() {
		break
	}
}

func TestValueScanRefuses(t *testing.T) {
	for _, text := range []string{"", "{", "[1,]", "1 2", `{"a"}`, `"\x"`, "[[[[[[1]]]]]]", "nul", "\xff"} {
		if v, err := ScanJSON([]byte(text), 5); err == nil {
			t.Errorf("%q: accepted as %q", text, v.p)
		}
	}
	for _, p := range []string{"", "\xc1", "\x92\x01", "\x80\x80", "\x81\xc0\x01", "\x91\x91\x91\x91\x91\x91\x01", "\xdf\xff\xff\xff\xff"} {
		if v, err := ScanMsgpack([]byte(p), 5); err == nil {
			t.Errorf("%q: accepted as %q", p, v.p)
		}
	}
}

func TestValueRepairsText(t *testing.T) {
	j, err := ScanJSON([]byte("\"a\xffb\""), 1)
	if s, _ := j.Text(); s != "a\ufffdb" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	m, err := ScanMsgpack([]byte("\xa3a\xffb"), 1)
	if s, _ := m.Text(); s != "a\ufffdb" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
}

func TestValueBudget(t *testing.T) {
	many := append([]byte{0xdd, 0, 0x50, 0, 0}, bytes.Repeat([]byte{0xc0}, 0x500000)...)
	v, err := ScanMsgpack(many, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Any(); !errors.Is(err, ErrTooManyValues) {
		t.Errorf("msgpack: %v", err)
	}
	v, err = ScanJSON([]byte("["+strings.Repeat("1,", maxValues)+"1]"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Any(); !errors.Is(err, ErrTooManyValues) {
		t.Errorf("JSON: %v", err)
	}
}

// What one of the formats has and the other has not.
func TestAppendForServers(t *testing.T) {
	at := time.UnixMilli(1795215282810).UTC()
	type holder struct {
		B []byte `json:"b"`
	}
	for _, v := range []any{[]byte{}, []any{1, []byte("x")}, holder{[]byte("x")}, map[string]any{"a": &holder{[]byte{1}}}} {
		if out, binary, err := AppendJSON([]byte("before"), v); !binary || string(out) != "before" || err != nil {
			t.Errorf("%v: %q, %t, %v", v, out, binary, err)
		}
	}
	if out, binary, err := AppendJSON(nil, holder{}); binary || string(out) != `{"b":null}` || err != nil {
		t.Errorf("%q, %t, %v", out, binary, err)
	}
	p, err := AppendMsgpack(nil, []any{at, msgp.Raw{0xd4, 0, 0}, []byte("x")})
	if want := "\x93\xd7\xff\xc1\x1f\x3e\x80\x6b\x00\xe6\xf2\xc0\xc4\x01x"; err != nil || len(p) != len(want) || p[1] != 0xd7 || p[2] != 0xff || string(p[11:]) != want[11:] {
		t.Errorf("%q, %v", p, err)
	}
	v, err := ScanMsgpack(p, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Any(); !reflect.DeepEqual(got, []any{at, nil, []byte("x")}) || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, f := range []float64{math.NaN(), math.Inf(1)} {
		p, err := AppendMsgpack(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		v, err := ScanMsgpack(p, 1)
		if got, err2 := v.Any(); got != nil || err != nil || err2 != nil {
			t.Errorf("%v became %v, %v, %v", f, got, err, err2)
		}
	}
	if _, _, err := AppendJSON(nil, func() {}); err == nil {
		t.Error("a function became JSON")
	}
	if _, err := AppendMsgpack(nil, func() {}); err == nil {
		t.Error("a function became msgpack")
	}
	if got := string(AppendJSONString(nil, "a\xff\n")); got != "\"a\ufffd\\n\"" {
		t.Errorf("%q", got)
	}
	if got := string(AppendMsgpackString(nil, "ab")); got != "\xa2ab" {
		t.Errorf("%q", got)
	}
}

func FuzzValue(f *testing.F) {
	for _, s := range []string{`{"a":[1,"x",null,true,{"b":1e3}]}`, "\x82\xa1a\x01\x02\x92\xc0\xcb\x40\x45\x00\x00\x00\x00\x00\x00", "-1.5e-3", "[ ]", "[1e999,-1e-999]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if v, err := ScanMsgpack(p, 20); err == nil {
			walkValue(t, v)
		}
		v, err := ScanJSON(p, 20)
		if err != nil {
			return
		}
		walkValue(t, v)
		got, err := v.Any()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := AppendJSON(nil, got); err != nil {
			t.Fatalf("%q cannot be passed on: %v", p, err)
		}
		var want any
		if json.Unmarshal(v.p, &want) == nil && !equalInJS(got, want) {
			t.Errorf("%q: got %#v, want %#v", p, got, want)
		}
	})
}

// walkValue visits everything.
func walkValue(t *testing.T, v Value) {
	t.Helper()
	v.Name()
	v.Int()
	if _, err := v.Any(); err != nil {
		t.Fatal(err)
	}
	for _, m := range v.Members() {
		walkValue(t, m)
	}
	for e := range v.Elements() {
		walkValue(t, e)
	}
}

// equalInJS compares with what encoding/json makes of it, which has only float64.
func equalInJS(a, b any) bool {
	switch a := a.(type) {
	case int64:
		return b == float64(a)
	case uint64:
		return b == float64(a)
	case json.Number:
		f, err := a.Float64()
		return err == nil && b == f
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equalInJS)
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if !equalInJS(a[k], b[k]) {
				return false
			}
		}
		return true
	}
	return a == b
}

func TestValueAnyList(t *testing.T) {
	for _, v := range both(t, []any{1.0, "x", nil}) {
		if got, err := v.AnyList(); err != nil || !reflect.DeepEqual(got, []any{1.0, "x", nil}) {
			t.Errorf("%q: got %#v, %v", v.p, got, err)
		}
	}
	for _, v := range both(t, map[string]any{"a": 1}) {
		if got, err := v.AnyList(); got != nil || err != nil {
			t.Errorf("%q: got %#v, %v", v.p, got, err)
		}
	}
	// More values than can be decoded, each of one or two bytes.
	const n = maxValues + 1
	for _, p := range [][]byte{
		append(append([]byte{'[', '0'}, bytes.Repeat([]byte(",0"), n-1)...), ']'),
		append([]byte{0xdd, n >> 24, n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff}, make([]byte, n)...),
		append([]byte{0xdf, n >> 24, n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff}, make([]byte, 2*n)...),
		// A list that would fit alone.
		append([]byte{0x92, 0x90, 0xdd, (n - 3) >> 24, (n - 3) >> 16 & 0xff, (n - 3) >> 8 & 0xff, (n - 3) & 0xff}, make([]byte, n-3)...),
	} {
		v, err := ScanMsgpack(p, 10)
		if p[0] == '[' {
			v, err = ScanJSON(p, 10)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Any(); got != nil || !errors.Is(err, ErrTooManyValues) {
			t.Errorf("%x…: %v", p[:8], err)
		}
		if v.Kind() != ListValue {
			continue
		}
		if got, err := v.AnyList(); got != nil || !errors.Is(err, ErrTooManyValues) {
			t.Errorf("%x…: as a list: %v", p[:8], err)
		}
	}
}

// A loop over members or elements may end early.
func TestValueIterationStops(t *testing.T) {
	for _, v := range both(t, map[string]any{"a": 1, "b": 2}) {
		n := 0
		for range v.Members() {
			n++
			break
		}
		if n != 1 || v.Len() != len(v.p) {
			t.Errorf("%q: %d members, %d bytes", v.p, n, v.Len())
		}
	}
	for _, v := range both(t, []any{1, 2}) {
		n := 0
		for range v.Elements() {
			n++
			break
		}
		if n != 1 {
			t.Errorf("%q: %d elements", v.p, n)
		}
	}
}

// A type that writes itself may be all there is, with nothing in front of it.
func TestAppendMsgpackOfMethods(t *testing.T) {
	for _, v := range []any{generatedPlain{"r", "t", 5}, &generatedPlain{"r", "t", 5}, []any{generatedPlain{"r", "t", 5}}} {
		p, err := AppendMsgpack([]byte("before"), v)
		if want := "\x83\xa4room\xa1r\xa4text\xa1t\xa1n\x05"; err != nil || !strings.HasPrefix(string(p), "before") || !strings.HasSuffix(string(p), want) {
			t.Errorf("%T: %q, %v", v, p, err)
		}
	}
	for _, v := range []any{returns{""}, returns{"\x01\x02"}, shrinks{}} {
		if p, err := AppendMsgpack([]byte("before"), v); !errors.Is(err, errNotMsgpack) || string(p) != "before" {
			t.Errorf("%+v: %q, %v", v, p, err)
		}
	}
	if _, err := AppendMsgpack(nil, fails{}); !errors.Is(err, errOwn) {
		t.Error(err)
	}
}

// What has no JSON: the numbers that are none, and what is beyond float64.
func TestValueNumbersWithoutJSON(t *testing.T) {
	for _, p := range []string{"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "\xca\xff\x80\x00\x00", "1e999", "-1e999", "10000000000000000e999"} {
		v, err := ScanMsgpack([]byte(p), 1)
		if p[0] < 0x80 {
			v, err = ScanJSON([]byte(p), 1)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Any(); got != nil || err != nil {
			t.Errorf("%q: got %#v, %v", p, got, err)
		}
	}
}
