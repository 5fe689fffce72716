package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// binaryEvent makes the packet of an event with one argument, in which $0, $1, …
// are placeholders for the attachments.
func binaryEvent(t *testing.T, arg string, attachments ...string) *In {
	t.Helper()
	for i := range attachments {
		arg = strings.ReplaceAll(arg, fmt.Sprint("$", i), ph(i))
	}
	messages := []string{fmt.Sprintf(`5%d-["e",%s]`, len(attachments), arg)}
	for _, a := range attachments {
		messages = append(messages, "\x00"+a)
	}
	in, err := feed(nil, messages...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Release)
	return in
}

type (
	// hex decodes itself from a JSON string of base64.
	selfDecoding struct{ got string }
	mixed        struct {
		Self selfDecoding
		Data []byte
		Any  any
	}
	textDecoding string
)

func (s *selfDecoding) UnmarshalJSON(p []byte) error {
	s.got += string(p) // a second call would show
	return nil
}

func (s *textDecoding) UnmarshalText(p []byte) error {
	*s = textDecoding("text:" + string(p))
	return nil
}

func TestDecodeBinary(t *testing.T) {
	leakCheck(t)
	aa, b := []byte("aa"), []byte("b")
	for _, tc := range []struct {
		name string
		arg  string
		want any // also says what to decode into
	}{
		{"slice", `$0`, aa},
		{"empty slice", `$2`, []byte{}},
		{"any", `$0`, any(aa)},
		{"named type", `$0`, blob("aa")},
		{"pointer", `$0`, &aa},
		{"struct", `{"name":"n","data":$0}`, fileInfo{"n", aa}},
		{"pointer to struct", `{"data":$1}`, &fileInfo{"", b}},
		{"plain base64 beside it", `[{"data":"YWE="},{"data":$1}]`, []fileInfo{{"", aa}, {"", b}}},
		{"list", `[$0,null,$1]`, [][]byte{aa, nil, b}},
		{"array", `[$0,$1]`, [2][]byte{aa, b}},
		{"map", `{"x":$0,"y":$1}`, map[string][]byte{"x": aa, "y": b}},
		{"map of structs", `{"x":{"data":$0},"y":{"name":"n"}}`, map[string]fileInfo{"x": {"", aa}, "y": {"n", nil}}},
		{"map of pointers", `{"x":{"data":$0}}`, map[string]*fileInfo{"x": {"", aa}}},
		{"list of any", `[1,"s",$0,{"k":[$1]}]`, []any{1.0, "s", aa, map[string]any{"k": []any{b}}}},
		{"map of any", `{"k":$0,"l":"$"}`, map[string]any{"k": aa, "l": "$"}},
		{"any in struct", `{"Self":1,"V":{"k":$0}}`, struct{ V any }{map[string]any{"k": aa}}},
		{"embedded", `{"Inner":$0,"Plain":1,"file":{"data":$1}}`, embeddedIn{embeddedFields: embeddedFields{Inner: aa, Plain: 1}, File: fileInfo{"", b}}},
		{"tree", `{"data":$0,"children":[{"data":$1},null],"byName":{"x":{"data":$0}}}`, tree{Data: aa, Children: []*tree{{Data: b}, nil}, ByName: map[string]*tree{"x": {Data: aa}}}},
		{"repeated", `[$0,$0]`, [][]byte{aa, aa}},
		{"more members", `{"_placeholder":true,"x":[1,{}],"num":1}`, b},
		{"whitespace", "[ $0 ,\n$1\t]", [][]byte{aa, b}},
		{"unknown member", `{"unknown":$0,"data":$1}`, fileInfo{"", b}},
		{"raw JSON", `{"k":$0}`, json.RawMessage(`{"k":"YWE="}`)},
		{"raw JSON beside any", `{"R":[$0,$1,$2],"V":$0}`, struct {
			R json.RawMessage
			V any
		}{json.RawMessage(`["YWE=","Yg==",""]`), aa}},
		{"decodes itself", `{"k":$0}`, selfDecoding{`{"k":"YWE="}`}},
		{"decodes itself from text", `$0`, textDecoding("text:YWE=")},
		{"beside one that decodes itself", `{"Self":1,"Data":$0,"Any":[$1]}`, mixed{selfDecoding{"1"}, aa, []any{b}}},
		{"with one that decodes itself", `{"Self":$0,"Data":$1,"Any":$1}`, mixed{selfDecoding{`"YWE="`}, b, "Yg=="}},
		{"beside a time", `{"At":"1970-01-01T00:00:00Z","Any":$0}`, struct {
			At  time.Time
			Any any
		}{time.Unix(0, 0).UTC(), aa}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := binaryEvent(t, tc.arg, "aa", "b", "")
			got := reflect.New(reflect.TypeOf(tc.want))
			if err := in.Decode(0, got.Interface()); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Elem().Interface(), tc.want) {
				t.Errorf("\n got %#v\nwant %#v", got.Elem(), tc.want)
			}
			var v any
			if err := in.Decode(0, &v); err != nil {
				t.Fatal(err)
			}
			if text := fmt.Sprintf("%v", v); strings.Contains(text, string(markerNonceText[:])) {
				t.Errorf("a marker was left: %s", text)
			}
		})
	}
}

type (
	embeddedFields struct {
		Inner []byte
		Plain int
	}
	embeddedIn struct {
		embeddedFields
		File fileInfo `json:"file"`
	}
)

func TestDecodeBinaryIntoOtherTypes(t *testing.T) {
	leakCheck(t)
	for _, tc := range []struct {
		arg  string
		into any
	}{
		{`$0`, new(string)},
		{`$0`, new(int)},
		{`$0`, new(bool)},
		{`$0`, new([]int)},
		{`$0`, new([2]byte)},
		{`$0`, new(map[string]any)},
		{`$0`, new(fileInfo)},
		{`{"name":$0}`, new(fileInfo)},
		{`{"k":$0}`, new(map[string]string)},
		{`{"At":$0}`, new(struct{ At time.Time })},
		{`[$0,$0]`, new([]string)},
	} {
		in := binaryEvent(t, tc.arg, "aa")
		err := in.Decode(0, tc.into)
		e, ok := errors.AsType[*DecodeError](err)
		if !ok || e.Arg != 0 || e.Type != reflect.TypeOf(tc.into).Elem() {
			t.Errorf("%s into %T: %v", tc.arg, tc.into, err)
			continue
		}
		if text := err.Error(); strings.Contains(text, string(markerNonceText[:])) {
			t.Errorf("%s into %T: the error shows a marker: %s", tc.arg, tc.into, text)
		}
	}
}

// Decoded slices belong to the application: they are not the packet's memory,
// and decoding again gives others.
func TestDecodeBinaryCopies(t *testing.T) {
	for _, into := range []func() any{
		func() any { return new([]byte) },
		func() any { return new(any) },
		func() any { return new(blob) },
	} {
		in, err := feed(nil, `51-["e",`+ph(0)+`]`, "\x00abc")
		if err != nil {
			t.Fatal(err)
		}
		one, two := into(), into()
		for _, v := range []any{one, two} {
			if err := in.Decode(0, v); err != nil {
				t.Fatal(err)
			}
		}
		bytesOf := func(v any) []byte {
			e := reflect.ValueOf(v).Elem()
			if e.Kind() == reflect.Interface {
				e = e.Elem()
			}
			return e.Bytes()
		}
		bytesOf(one)[0] = 'X'
		if string(bytesOf(two)) != "abc" || string(in.Attachment(0)) != "abc" {
			t.Errorf("%T: decoded values share memory", one)
		}
		in.Release()
		if string(bytesOf(one)) != "Xbc" || string(bytesOf(two)) != "abc" {
			t.Errorf("%T: the value changed with the packet's release", one)
		}
	}
}

// One big attachment that is named often must not become a lot of memory, also
// where copies cannot be shared.
func TestDecodeBinaryBoundsRepetition(t *testing.T) {
	in := binaryEvent(t, `[`+strings.Repeat(`$0,`, 999)+`$0]`, strings.Repeat("x", 100_000))
	var shared [][]byte
	if err := in.Decode(0, &shared); err != nil || len(shared) != 1000 {
		t.Fatalf("%d, %v", len(shared), err)
	}
	if &shared[0][0] != &shared[999][0] {
		t.Error("repetitions within an argument are not shared")
	}
	for _, v := range []any{new(json.RawMessage), new(selfDecoding), new([]json.RawMessage), new([]selfDecoding)} {
		if err := in.Decode(0, v); !errors.Is(err, ErrAttachmentBytes) {
			t.Errorf("%T: %v, want ErrAttachmentBytes", v, err)
		}
	}
}

// Values that were in the target before are decoded into, as encoding/json does.
func TestDecodeBinaryIntoExistingValues(t *testing.T) {
	in := binaryEvent(t, `{"name":"n","data":$0}`, "aa")
	f := &fileInfo{Name: "old"}
	var v any = f
	if err := in.Decode(0, &v); err != nil {
		t.Fatal(err)
	}
	if want := (fileInfo{"n", []byte("aa")}); v != any(f) || !reflect.DeepEqual(*f, want) {
		t.Errorf("%#v in %T", f, v)
	}
	ring := &tree{}
	ring.Children = []*tree{ring}
	if err := in.Decode(0, ring); !errors.Is(err, ErrValueTooDeep) {
		t.Errorf("a cyclic target: %v, want ErrValueTooDeep", err)
	}
}

// Two packets never see each other's markers.
func TestDecodeArgumentsOfOnePacket(t *testing.T) {
	in, err := feed(nil, `53-["e",`+ph(2)+`,{"data":`+ph(0)+`},"x",[`+ph(1)+`]]`, "\x00a", "\x00b", "\x00c")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release()
	var first []byte
	var second fileInfo
	var third string
	var fourth []any
	for i, v := range []any{&first, &second, &third, &fourth} {
		if err := in.Decode(i, v); err != nil {
			t.Fatal(err)
		}
	}
	if string(first) != "c" || string(second.Data) != "a" || third != "x" || string(fourth[0].([]byte)) != "b" {
		t.Errorf("%q %q %q %q", first, second.Data, third, fourth)
	}
}

// Each argument finds its own placeholders among very many.
func TestDecodeManyPlaceholders(t *testing.T) {
	const n = 20_000
	in, err := feed(nil, `51-["e"`+strings.Repeat(`,`+ph(0)+`,1,[`+ph(0)+`,`+ph(0)+`]`, n)+`]`, "\x00")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release()
	if in.Len() != 3*n {
		t.Fatalf("%d arguments", in.Len())
	}
	for i := range in.Len() {
		if got, want := len(in.refsOf(i)), [3]int{1, 0, 2}[i%3]; got != want {
			t.Fatalf("argument %d: %d placeholders, want %d", i, got, want)
		}
		for _, r := range in.refsOf(i) {
			if int(r.arg) != i {
				t.Fatalf("argument %d has a placeholder of %d", i, r.arg)
			}
		}
	}
}

// normal turns a value into what decoding its encoding into any gives.
func normal(v any) any {
	switch v := v.(type) {
	case []any:
		if v == nil {
			return nil
		}
		c := []any{}
		for _, x := range v {
			c = append(c, normal(x))
		}
		return c
	case map[string]any:
		c := map[string]any{}
		for k, x := range v {
			c[k] = normal(x)
		}
		return c
	case []byte:
		if v == nil {
			return nil
		}
		return v
	case blob:
		return normal([]byte(v))
	case int:
		return float64(v)
	}
	return v
}

// plainValue makes a random value of the types that any decodes to.
func plainValue(r *rand.Rand, depth int) any {
	switch n := r.IntN(9); {
	case depth > 0 && n >= 7:
		m := map[string]any{}
		for range r.IntN(4) {
			m[fmt.Sprint("k", r.IntN(100), `"`)] = plainValue(r, depth-1)
		}
		return m
	case depth > 0 && n >= 5:
		l := []any{}
		for range r.IntN(4) {
			l = append(l, plainValue(r, depth-1))
		}
		return l
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n == 2:
		return r.NormFloat64() * 1e6
	case n == 3:
		return string([]rune{rune(r.IntN(0x80)), '"', '\\', rune(0xe000 + r.IntN(0x1000)), '😀'}[:r.IntN(6)])
	default:
		return bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(200))
	}
}

// Decoding what was encoded gives the same arguments.
func TestRoundTrip(t *testing.T) {
	leakCheck(t)
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 2))
		var args []any
		for range r.IntN(5) {
			args = append(args, plainValue(r, 4))
		}
		id := int64(r.IntN(3)) - 1
		f, err := JSON.EncodeEvent("/ns", id, "évent\n", args)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		d := JSON.NewDecoder(&Limits{MaxAttachments: 1000})
		var in *In
		for isBinary, data := range Parts(f.Bytes()) {
			if isBinary {
				in, err = d.Binary(data)
			} else {
				in, err = d.Text(data[1:])
			}
			if err != nil {
				t.Fatalf("seed %d: %v in %s", seed, err, parts(f))
			}
		}
		f.Release()
		if in == nil {
			t.Fatalf("seed %d: incomplete", seed)
		}
		if string(in.Event()) != "évent\n" || string(in.Namespace) != "/ns" || in.HasID != (id >= 0) || in.HasID && in.ID != uint64(id) || in.Len() != len(args) {
			t.Fatalf("seed %d: %s", seed, describe(in))
		}
		for i, want := range args {
			var got any
			if err := in.Decode(i, &got); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !reflect.DeepEqual(got, normal(want)) {
				t.Fatalf("seed %d, argument %d:\n got %#v\nwant %#v", seed, i, got, want)
			}
		}
		in.Release()
	}
}

// The same for a typed value.
func TestRoundTripTyped(t *testing.T) {
	leakCheck(t)
	want := tree{
		Data:     []byte("root"),
		Children: []*tree{{Data: []byte{}}, {Data: bytes.Repeat([]byte{0xff}, 70000)}},
		ByName:   map[string]*tree{"a": {Data: []byte("named")}},
	}
	f := must(JSON.EncodeAck("/", 1, []any{want}))
	defer f.Release()
	d := JSON.NewDecoder(nil)
	var in *In
	for isBinary, data := range Parts(f.Bytes()) {
		var err error
		if isBinary {
			in, err = d.Binary(data)
		} else {
			in, err = d.Text(data[1:])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	defer in.Release()
	var got tree
	if err := in.Decode(0, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %+v", err, got)
	}
}
