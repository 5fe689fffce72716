package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epio-go/epio/pool"
)

// Types around the ways a []byte can be inside a value.
type (
	blob     []byte
	octet    byte
	fileInfo struct {
		Name string `json:"name"`
		Data []byte `json:"data"`
	}
	inner struct {
		Inner []byte
		Plain int
	}
	innerPointer struct{ Deep []byte }
	plainInner   struct{ P int }
	plainPointer struct{ Q int }
	embedding    struct {
		inner
		*innerPointer
		plainInner
		*plainPointer
		fileInfo `json:"file"`
		secret   []byte
		Mutex    sync.Mutex `json:"-"`
		Skipped  []byte     `json:"-"`
		Dash     []byte     `json:"dash"`
	}
	shadowed struct {
		inner
		Inner string
	}
	omitting struct {
		A []byte  `json:"a,omitempty"`
		B *[]byte `json:"b,omitempty"`
		C any     `json:"c,omitempty"`
		D []byte  `json:"d,omitzero"`
		E blob    `json:",omitempty"`
	}
	tree struct {
		Data     []byte           `json:"data"`
		Children []*tree          `json:"children,omitempty"`
		ByName   map[string]*tree `json:"byName,omitempty"`
	}
	ownJSON struct{ Data []byte }
	ownText struct{ Data []byte }
	pointed struct{ Data []byte } // MarshalJSON on the pointer
)

func (o ownJSON) MarshalJSON() ([]byte, error)  { return json.Marshal(map[string]any{"own": o.Data}) }
func (o ownText) MarshalText() ([]byte, error)  { return fmt.Appendf(nil, "%x", o.Data), nil }
func (p *pointed) MarshalJSON() ([]byte, error) { return json.Marshal(len(p.Data)) }

// ph returns the placeholder num.
func ph(num int) string { return fmt.Sprintf(`{"_placeholder":true,"num":%d}`, num) }

func TestEncodeBinary(t *testing.T) {
	leakCheck(t)
	a, b, c := []byte("aa"), []byte("b"), []byte{}
	for _, tc := range []struct {
		name  string
		value any
		want  string // arguments, then the attachments
	}{
		{"slice", a, ph(0) + ` +6161`},
		{"empty", c, ph(0) + ` +`},
		{"nil", []byte(nil), `null`},
		{"named type", blob("aa"), ph(0) + ` +6161`},
		{"named elements", []octet{1, 2}, ph(0) + ` +0102`},
		{"array is a list of numbers", [2]byte{1, 2}, `[1,2]`},
		{"pointer", &a, ph(0) + ` +6161`},
		{"struct", fileInfo{"n", a}, `{"name":"n","data":` + ph(0) + `} +6161`},
		{"pointer to struct", &fileInfo{"n", a}, `{"name":"n","data":` + ph(0) + `} +6161`},
		{"nil in struct", fileInfo{"n", nil}, `{"name":"n","data":null}`},
		{"struct in slice", []fileInfo{{"1", a}, {"2", nil}, {"3", b}}, `[{"name":"1","data":` + ph(0) + `},{"name":"2","data":null},{"name":"3","data":` + ph(1) + `}] +6161 +62`},
		{"list of slices", [][]byte{a, nil, b, c}, `[` + ph(0) + `,null,` + ph(1) + `,` + ph(2) + `] +6161 +62 +`},
		{"array of slices", [2][]byte{a, b}, `[` + ph(0) + `,` + ph(1) + `] +6161 +62`},
		{"map of slices", map[string][]byte{"k": a}, `{"k":` + ph(0) + `} +6161`},
		{"map of structs", map[int]fileInfo{1: {"n", a}}, `{"1":{"name":"n","data":` + ph(0) + `}} +6161`},
		{"any", []any{1, a, "x", nil, map[string]any{"k": b}}, `[1,` + ph(0) + `,"x",null,{"k":` + ph(1) + `}] +6161 +62`},
		{"pointer in any", []any{&a, &fileInfo{"n", b}}, `[` + ph(0) + `,{"name":"n","data":` + ph(1) + `}] +6161 +62`},
		{"interface field", struct{ V any }{fileInfo{"n", a}}, `{"V":{"name":"n","data":` + ph(0) + `}} +6161`},
		{
			"embedded", &embedding{inner: inner{a, 1}, innerPointer: &innerPointer{b}, plainInner: plainInner{2}, plainPointer: &plainPointer{3}, fileInfo: fileInfo{"n", c}, secret: a, Skipped: a, Dash: b},
			`{"Inner":` + ph(0) + `,"Plain":1,"Deep":` + ph(1) + `,"P":2,"Q":3,"file":{"name":"n","data":` + ph(2) + `},"dash":` + ph(3) + `} +6161 +62 + +62`,
		},
		{"embedded nil", &embedding{Dash: b}, `{"Inner":null,"Plain":0,"P":0,"file":{"name":"","data":null},"dash":` + ph(0) + `} +62`},
		{"shadowed", shadowed{inner{a, 1}, "x"}, `{"Plain":1,"Inner":"x"}`},
		{"omitempty", omitting{A: c, D: nil, E: blob{}}, `{}`},
		{"omitempty kept", omitting{A: a, B: &c, C: c, D: c, E: blob("b")}, `{"a":` + ph(0) + `,"b":` + ph(1) + `,"c":` + ph(2) + `,"d":` + ph(3) + `,"E":` + ph(4) + `} +6161 + + + +62`},
		{"tree", tree{Data: a, Children: []*tree{{Data: b}, nil}, ByName: map[string]*tree{"x": {}}}, `{"data":` + ph(0) + `,"children":[{"data":` + ph(1) + `},null],"byName":{"x":{"data":null}}} +6161 +62`},
		{"own JSON", []any{ownJSON{a}, b}, `[{"own":"YWE="},` + ph(0) + `] +62`},
		{"own text", struct {
			T ownText
			D []byte
		}{ownText{a}, b}, `{"T":"6161","D":` + ph(0) + `} +62`},
		{"own JSON on the pointer", []any{&pointed{a}, b}, `[2,` + ph(0) + `] +62`},
		{"raw JSON", []any{json.RawMessage(`"YWE="`), b}, `["YWE=",` + ph(0) + `] +62`},
		{"time beside bytes", struct {
			At time.Time
			D  []byte
		}{time.Unix(0, 0).UTC(), a}, `{"At":"1970-01-01T00:00:00Z","D":` + ph(0) + `} +6161`},
		{"lookalike", []any{map[string]any{"_placeholder": true}, b}, `[{"_placeholder":true},` + ph(0) + `] +62`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := `42["e",` + tc.want + `]`
			if value, attachments, ok := strings.Cut(tc.want, " +"); ok {
				attachments = "+" + attachments
				want = fmt.Sprintf(`45%d-["e",%s] %s`, strings.Count(attachments, "+"), value, attachments)
			}
			if got := mustEvent(t, tc.value); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestEncodeBinaryNumbersAcrossArguments(t *testing.T) {
	args := []any{[]byte("a"), map[string]any{"k": []byte("b")}, 1, []byte("c"), [][]byte{[]byte("d")}}
	want := `454-["e",` + ph(0) + `,{"k":` + ph(1) + `},1,` + ph(2) + `,[` + ph(3) + `]] +61 +62 +63 +64`
	if got := mustEvent(t, args...); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestEncodeManyAttachments(t *testing.T) {
	leakCheck(t)
	var list [][]byte
	for i := range 1234 {
		list = append(list, []byte{byte(i), byte(i >> 8)})
	}
	f := must(JSON.EncodeEvent("/chat", 5, "e", []any{list}))
	defer f.Release()
	d := JSON.NewDecoder(&Limits{MaxAttachments: 2000})
	var in *In
	for isBinary, data := range Parts(f.Bytes()) {
		var err error
		if isBinary {
			in, err = d.Binary(data)
		} else {
			if !strings.HasPrefix(string(data), `451234-/chat,5["e",[`) {
				t.Fatalf("%.40s", data)
			}
			in, err = d.Text(data[1:])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	defer in.Release()
	var got [][]byte
	if err := in.Decode(0, &got); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("%d of %d came back, %v", len(got), len(list), err)
	}
}

// Encoding a shared value from many goroutines neither changes it nor races with
// its owner's unexported state.
func TestEncodeBinaryLeavesValuesAlone(t *testing.T) {
	makeValue := func() map[string]any {
		return map[string]any{
			"e": &embedding{inner: inner{[]byte("x"), 1}, innerPointer: &innerPointer{[]byte("y")}, fileInfo: fileInfo{"n", []byte("z")}},
			"l": []any{[]byte("a"), fileInfo{"m", []byte("b")}, [1][]byte{[]byte("c")}},
			"m": map[string][]byte{"k": []byte("d")},
			"t": &tree{Data: []byte("e"), Children: []*tree{{Data: []byte("f")}}},
		}
	}
	v := makeValue()
	owner := v["e"].(*embedding)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				f, err := JSON.EncodeEvent("/", -1, "e", []any{v, owner})
				if err != nil {
					t.Error(err)
					return
				}
				f.Release()
			}
		})
	}
	wg.Go(func() {
		for range 200 {
			owner.Mutex.Lock()
			owner.secret = append(owner.secret, 1)
			owner.Mutex.Unlock()
		}
	})
	wg.Wait()
	owner.secret = nil
	if want := makeValue(); !reflect.DeepEqual(v, want) {
		t.Errorf("the value changed:\n%v\n%v", v, want)
	}
}

// inlined returns the JSON of the only argument of a frame with its attachments
// put back as base64, which is what the JSON library alone would write.
func inlined(t *testing.T, f *pool.Frame) string {
	t.Helper()
	var text string
	var attachments [][]byte
	for isBinary, data := range Parts(f.Bytes()) {
		if isBinary {
			attachments = append(attachments, data)
		} else {
			text = string(data)
		}
	}
	_, text, _ = strings.Cut(text, `["e",`)
	text = strings.TrimSuffix(text, "]")
	for i, a := range attachments {
		if n := strings.Count(text, ph(i)); n != 1 {
			t.Fatalf("placeholder %d appears %d times in %s", i, n, text)
		}
		text = strings.Replace(text, ph(i), `"`+base64.StdEncoding.EncodeToString(a)+`"`, 1)
	}
	return text
}

// randomValue makes a value of many shapes, with binary in random places.
func randomValue(r *rand.Rand, depth int) any {
	data := func() []byte {
		switch r.IntN(4) {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		return bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(30))
	}
	n := 14
	if depth == 0 {
		n = 6
	}
	switch r.IntN(n) {
	case 0:
		return nil
	case 1:
		return r.Float64()
	case 2:
		return fmt.Sprint("s", r.Uint32(), `"\<é`)
	case 3, 4:
		return data()
	case 5:
		return blob(data())
	case 6, 7:
		var l []any
		for range r.IntN(4) {
			l = append(l, randomValue(r, depth-1))
		}
		return l
	case 8, 9:
		m := map[string]any{}
		if r.IntN(2) == 0 {
			m["k"] = randomValue(r, depth-1)
		}
		return m
	case 10:
		return &fileInfo{"x", data()}
	case 11:
		return &tree{Data: data(), Children: []*tree{{Data: data()}, nil}, ByName: map[string]*tree{"a": {Data: data()}}}
	case 12:
		d := data()
		return &omitting{A: data(), B: &d, C: randomValue(r, depth-1), D: data(), E: blob(data())}
	default:
		e := &embedding{inner: inner{data(), 1}, fileInfo: fileInfo{"y", data()}, Dash: data()}
		if r.IntN(2) == 0 {
			e.innerPointer = &innerPointer{data()}
			e.plainPointer = &plainPointer{4}
		}
		return e
	}
}

// With its attachments put back, what we write is what encoding/json writes.
func TestEncodeBinaryAgreesWithEncodingJSON(t *testing.T) {
	leakCheck(t)
	for seed := range uint64(3000) {
		v := randomValue(rand.New(rand.NewPCG(seed, 1)), 4)
		f, err := JSON.EncodeEvent("/", -1, "e", []any{v})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		got := inlined(t, f)
		f.Release()
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		if got != strings.TrimSpace(want.String()) {
			t.Fatalf("seed %d:\n got %s\nwant %s", seed, got, want.String())
		}
	}
}
