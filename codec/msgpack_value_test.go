package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// through sends v as the one argument of an event in the given format and decodes
// it into out.
func through(t *testing.T, p Parser, v, out any) error {
	t.Helper()
	f, err := p.EncodeEvent("/", -1, "e", []any{v})
	if err != nil {
		return err
	}
	defer f.Release()
	d := p.NewDecoder(nil)
	defer d.Close()
	var in *In
	for binary, part := range Parts(f.Bytes()) {
		if binary {
			in, err = d.Binary(part)
		} else {
			in, err = d.Text(part[1:])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	defer in.Release()
	return in.Decode(0, out)
}

type (
	named  string
	pair   struct{ A, B int }
	Shared struct {
		Deep  string `json:"deep"`
		Clash int
	}
	Other struct {
		Clash int
		Own   int
	}
	Tagger struct {
		X int `json:"Own"`
	}
	hidden struct{ Seen string }
	level  uint8
	branch struct {
		Name string    `json:"name"`
		Kids []*branch `json:"kids,omitempty"`
	}
	seven   struct{ N int }
	asText  struct{ n int }
	asJSON  struct{ n int }
	ptrJSON struct{ n int }
)

func (v seven) IsZero() bool { return v.N == 7 }

func (v asText) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "text-%d", v.n), nil }
func (v *asText) UnmarshalText(p []byte) error {
	_, err := fmt.Sscanf(string(p), "text-%d", &v.n)
	return err
}

func (v asJSON) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, ` {"n" : [%d, 1.5e0 ] } `, v.n), nil
}

func (v *asJSON) UnmarshalJSON(p []byte) error {
	var o struct{ N []float64 }
	err := json.Unmarshal(p, &o)
	if err == nil && len(o.N) > 0 {
		v.n = int(o.N[0])
	}
	return err
}

func (v *ptrJSON) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `{"ptr":%d}`, v.n), nil }

// everything has a field for each rule of encoding/json.
type everything struct {
	Plain   string
	Tagged  int    `json:"tagged"`
	Skipped string `json:"-"`
	//lint:ignore SA5008 encoding/json has a rule for this
	Dash string `json:"-,"`
	//lint:ignore SA5008 encoding/json has a rule for this
	BadTag   string         `json:"bad\"tag"`
	Empty    string         `json:"empty,omitempty"`
	EmptyP   *int           `json:"emptyP,omitempty"`
	EmptyM   map[string]int `json:"emptyM,omitempty"`
	Zero     pair           `json:"zero,omitzero"`
	NotZero  pair           `json:"notZero,omitzero"`
	Seven    seven          `json:"seven,omitzero"`
	NotSeven *seven         `json:"notSeven,omitzero"`
	Quoted   int64          `json:"quoted,string"`
	QuotedB  bool           `json:"quotedB,string"`
	QuotedS  string         `json:"quotedS,string"`
	QuotedP  *float64       `json:"quotedP,string"`
	//lint:ignore SA5008 encoding/json has a rule for this
	QuotedL  []int            `json:"quotedL,string"`
	Named    named            `json:"named"`
	Nil      *pair            `json:"nil"`
	NilSlice []int            `json:"nilSlice"`
	NilMap   map[string]int   `json:"nilMap"`
	None     []int            `json:"none"`
	Ptr      **pair           `json:"ptr"`
	Array    [3]uint16        `json:"array"`
	Bytes4   [4]byte          `json:"bytes4"`
	IntKeys  map[int]string   `json:"intKeys"`
	UintKeys map[level]bool   `json:"uintKeys"`
	TextKeys map[asText]int   `json:"textKeys"`
	NameKeys map[named][]pair `json:"nameKeys"`
	Any      any              `json:"any"`
	Number   json.Number      `json:"number"`
	Raw      json.RawMessage  `json:"raw"`
	Text     asText           `json:"text"`
	JSON     asJSON           `json:"JSON"`
	JSONs    []asJSON         `json:"jsons"`
	PtrJSON  *ptrJSON         `json:"ptrJSON"`
	Addr     netip.Addr       `json:"addr"`
	Big      *big.Int         `json:"big"`
	F32      float32          `json:"f32"`
	F64      float64          `json:"f64"`
	I8       int8             `json:"i8"`
	U64      uint64           `json:"u64"`
	Tree     branch           `json:"branch"`
	lower    int
	Shared
	*Other
	hidden
}

func full() everything {
	in := &pair{3, -4}
	half := 0.5
	return everything{
		Plain: "p\u2028", Tagged: 1, Skipped: "s", Dash: "d", BadTag: "b", NotZero: pair{A: 1}, Seven: seven{7}, NotSeven: &seven{6},
		Quoted: -5, QuotedB: true, QuotedS: `q"`, QuotedP: &half, QuotedL: []int{1},
		Named: "n", None: []int{}, Ptr: &in, Array: [3]uint16{1, 2, 65535}, Bytes4: [4]byte{1, 2, 3, 255},
		IntKeys: map[int]string{-1: "a", 300: "b"}, UintKeys: map[level]bool{7: true}, TextKeys: map[asText]int{{5}: 1},
		NameKeys: map[named][]pair{"x": {{1, 2}}, "": nil}, Any: []any{1.5, "x", nil, map[string]any{"k": true}},
		Number: "12.50", Raw: json.RawMessage(`{"a":[1,2.5,"\u00e9",null]}`), Text: asText{1}, JSON: asJSON{2},
		JSONs: []asJSON{{3}}, PtrJSON: &ptrJSON{4}, Addr: netip.MustParseAddr("10.0.0.1"), Big: big.NewInt(-77),
		F32: 0.1, F64: 1e300, I8: -128, U64: 1 << 63, Tree: branch{"root", []*branch{{Name: "leaf"}, nil}},
		lower: 9, Shared: Shared{"s", 1}, Other: &Other{2, 3}, hidden: hidden{"h"},
	}
}

// values are encoded by both formats in the tests below.
func agreeing() map[string]any {
	f := full()
	return map[string]any{
		"everything":         f,
		"pointer to it":      &f,
		"nothing in it":      everything{},
		"pointer to nothing": &everything{},
		"list of it":         []everything{f, {}},
		"embedded":           struct{ *hidden }{&hidden{"x"}},
		"embedded nil":       struct{ *Other }{},
		"tag on embedded": struct {
			Shared `json:"inner"`
		}{Shared{"d", 1}},
		"clashing": struct {
			Shared
			Other
		}{Shared{"d", 1}, Other{2, 3}},
		"tag wins": struct {
			Other
			Tagger
		}{Other{1, 2}, Tagger{3}},
		"hidden by outer": struct {
			Shared
			Deep int `json:"deep"`
		}{Shared{"d", 1}, 7},
		"twice embedded": struct {
			A struct{ Shared }
			Shared
		}{},
		"int8":                 int8(-5),
		"uint":                 uint(5),
		"float32":              float32(3.4e38),
		"float32 list":         []float32{0.1, 1, -2.5},
		"named string":         named("x"),
		"nil pointer":          (*pair)(nil),
		"nil map":              map[string]int(nil),
		"map of any":           map[string]any{"a": 1, "b": []any{}, "c": map[string]any{}},
		"map of strings":       map[string]string{"a": "b"},
		"map of interfaces":    map[string]fmt.Stringer{"a": nil},
		"strings":              []string{"a", "", "é"},
		"large list":           make([]bool, 70000),
		"raw JSON":             json.RawMessage(` [1, {"a" : "\ud83d\ude00\n"}, true,false,null, -0.5e3, 18446744073709551615] `),
		"long raw JSON":        json.RawMessage(`[` + strings.Repeat(`{"abcdef":[1,2,3]},`, 300) + `0]`),
		"wide raw JSON":        json.RawMessage(`{"a":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15],"0":0,"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0,"10":0,"11":0,"12":0,"13":0,"14":0,"15":0}`),
		"nil raw JSON":         json.RawMessage(nil),
		"JSON number":          json.Number("-1.5e3"),
		"MarshalJSON":          asJSON{5},
		"MarshalText":          []asText{{1}, {2}},
		"pointer method":       []ptrJSON{{1}},
		"pointer method, none": ptrJSON{1},
		"ill-formed":           map[string]any{"a\xff": "b\xf0\x9f"},
		"long text":            strings.Repeat("é", 40000),
		"long ill-formed":      strings.Repeat("x", 254) + "\xff",
		"interface":            []any{pair{1, 2}, &pair{3, 4}, int16(7), nil},
		"generated":            generatedPlain{"r", "t", 5},
		"generated pointer":    &generatedPlain{"r", "t", 5},
		"generated list":       []generatedPlain{{"r", "t", 5}},
		"generated embedded": struct {
			generatedPlain
			More string
		}{generatedPlain{"r", "t", 5}, "m"},
		"generated floats": map[string]generatedInner{"a": {2, 0.5, 3}},
	}
}

// TestMsgpackAgreesWithJSON sends values of all kinds through both formats: what
// the other side gets is the same, and so is what comes back into the Go type.
func TestMsgpackAgreesWithJSON(t *testing.T) {
	for name, v := range agreeing() {
		var viaJSON, viaMsgpack any
		errJSON, errMsgpack := through(t, JSON, v, &viaJSON), through(t, Msgpack, v, &viaMsgpack)
		if errJSON != nil || errMsgpack != nil {
			t.Errorf("%s: %v, %v", name, errJSON, errMsgpack)
			continue
		}
		if !reflect.DeepEqual(viaJSON, viaMsgpack) {
			t.Errorf("%s:\n%.2000s, as JSON\n%.2000s", name, show(viaMsgpack), show(viaJSON))
		}
		typ := reflect.TypeOf(v)
		backJSON, backMsgpack := reflect.New(typ), reflect.New(typ)
		errJSON = through(t, JSON, v, backJSON.Interface())
		errMsgpack = through(t, Msgpack, v, backMsgpack.Interface())
		if (errJSON == nil) != (errMsgpack == nil) {
			t.Errorf("%s, back into %v: %v, as JSON %v", name, typ, errMsgpack, errJSON)
		}
		if errJSON == nil && !reflect.DeepEqual(compact(backJSON), compact(backMsgpack)) {
			t.Errorf("%s, back into %v:\n%+v, as JSON\n%+v", name, typ, backMsgpack.Elem(), backJSON.Elem())
		}
	}
}

func show(v any) string {
	p, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(p)
}

// compact takes out what may differ: the layout and spelling of raw JSON.
func compact(v reflect.Value) any {
	switch v := v.Interface().(type) {
	case *json.RawMessage:
		if len(*v) == 0 {
			return nil
		}
		var x any
		if err := json.Unmarshal(*v, &x); err != nil {
			panic(err)
		}
		return x
	case *json.Number:
		f, _ := v.Float64()
		return f
	case *everything:
		f, _ := v.Number.Float64()
		v.Number = json.Number(fmt.Sprint(f))
		v.Raw = json.RawMessage(show(compact(reflect.ValueOf(&v.Raw))))
	case **everything:
		compact(reflect.ValueOf(*v))
	case *[]everything:
		for i := range *v {
			compact(reflect.ValueOf(&(*v)[i]))
		}
	}
	return v.Interface()
}

// TestMsgpackDecodesLikeJSON decodes the same text, as JSON and converted to
// msgpack, into many types: either both succeed with the same result, or neither.
func TestMsgpackDecodesLikeJSON(t *testing.T) {
	texts := []string{
		`null`, `true`, `0`, `-1`, `255`, `256`, `-129`, `65536`, `4294967296`, `18446744073709551615`, `1.5`, `1e300`, `1e39`,
		`""`, `"abc"`, `"YWJj"`, `"2024-01-02T03:04:05.678Z"`, `"text-5"`, `"10.0.0.1"`, `"12"`,
		`[]`, `[1]`, `[1,2,3,4,5]`, `[null]`, `["a"]`, `[[1],[2]]`, `[{"A":1}]`,
		`{}`, `{"A":1,"b":2}`, `{"a":"x"}`, `{"A":null}`, `{"1":1}`, `{"text-5":5}`, `{"n":[7]}`,
		`{"Deep":"d","CLASH":5}`, `{"quoted":"5","quotedB":"true","quotedS":"\"s\"","quotedP":"1.5"}`, `{"quoted":5}`, `{"quoted":null,"quotedP":null}`,
		`{"ptr":{"A":1}}`, `{"array":[1,2,3,4]}`, `{"array":[1]}`, `{"Own":4,"Seen":"s"}`, `{"name":"a","kids":[{"name":"b"},null]}`,
		`{"room":"r","text":"t","n":5}`, `{"x":2,"y":1.5,"n":3}`,
	}
	types := []any{
		new(any), new(bool), new(int), new(int8), new(uint8), new(int64), new(uint64), new(float32), new(float64), new(string), new(named),
		new([]int), new([]any), new([]string), new([2]int), new([]byte), new([4]byte), new([][]int), new([]pair), new([]*pair),
		new(map[string]any), new(map[string]int), new(map[int]int), new(map[level]any), new(map[asText]int), new(map[string]string),
		new(pair), new(*pair), new(**pair), new(Shared), new(everything), new(branch), new(asText), new(asJSON), new(json.Number),
		new(json.RawMessage), new(netip.Addr), new(time.Time), new(generatedPlain), new(generatedInner), new(*generatedPlain), new(fmt.Stringer),
		new(struct{}), new(struct{ A *any }),
	}
	for _, text := range texts {
		for _, typ := range types {
			target := reflect.TypeOf(typ).Elem()
			viaJSON, viaMsgpack := reflect.New(target), reflect.New(target)
			errJSON := json.Unmarshal([]byte(text), viaJSON.Interface())
			errMsgpack := through(t, Msgpack, json.RawMessage(text), viaMsgpack.Interface())
			if (errJSON == nil) != (errMsgpack == nil) {
				t.Errorf("%s into %v: %v, as JSON %v", text, target, errMsgpack, errJSON)
			} else if errJSON == nil && !reflect.DeepEqual(compact(viaJSON), compact(viaMsgpack)) {
				t.Errorf("%s into %v: %+v, as JSON %+v", text, target, viaMsgpack.Elem(), viaJSON.Elem())
			}
			if errMsgpack != nil {
				if e, ok := errors.AsType[*DecodeError](errMsgpack); !ok || e.Arg != 0 || e.Type != target {
					t.Errorf("%s into %v: %T %v", text, target, errMsgpack, errMsgpack)
				}
			}
		}
	}
}
