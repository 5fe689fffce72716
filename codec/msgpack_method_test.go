package codec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// encoded returns the value's bytes.
func encoded(t *testing.T, v any) string {
	t.Helper()
	f, err := Msgpack.EncodeAck("/", 0, []any{v})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	data, binary, rest := NextPart(f.Bytes())
	if !binary || len(rest) > 0 {
		t.Fatal("not one binary message")
	}
	in, err := receive(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release()
	return hex.EncodeToString(in.Raw(0))
}

// decoded decodes hex into out.
func decoded(t *testing.T, text string, out any) error {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	in, err := receive(nil, mpMapOf("type", 3, "nsp", "/", "data", msgp.Raw(append([]byte{0x91}, raw...))))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release()
	return in.Decode(0, out)
}

type (
	returns struct{ p string }    // MarshalMsg appends these bytes
	fails   struct{}              // whose methods report an error
	shrinks struct{}              // MarshalMsg returns less than it was given
	leaves  struct{}              // UnmarshalMsg takes nothing
	badJSON struct{ text string } // MarshalJSON returns this
	selfish struct{ Next *selfish }
	linked  struct{ Next any }
	times   struct{ T time.Time }
	ptrTime struct{ T *time.Time }
	bins    struct{ B, C []byte }
	raws    struct{ R, S msgp.Raw }
)

// A key, or a value, that is text; "bad" is none.
type textKey string

func (k textKey) MarshalText() ([]byte, error) {
	if k == "bad" {
		return nil, errOwn
	}
	return []byte(k), nil
}

// textOfPointer has its method only where it has an address, as encoding/json sees it.
type textOfPointer int

func (*textOfPointer) MarshalText() ([]byte, error) { return []byte("five"), nil }

type failingJSON struct{}

func (failingJSON) MarshalJSON() ([]byte, error) { return nil, errOwn }

// empties has what omitempty leaves out, and what it does not: a struct.
type empties struct {
	A    [0]int         `json:",omitempty"`
	M    map[string]int `json:",omitempty"`
	S    []int          `json:",omitempty"`
	T    string         `json:",omitempty"`
	N    int            `json:",omitempty"`
	Keep *struct{}      `json:",omitempty"`
}

var errOwn = errors.New("own error")

func (v returns) MarshalMsg(b []byte) ([]byte, error) { return append(b, v.p...), nil }
func (fails) MarshalMsg([]byte) ([]byte, error)       { return nil, errOwn }
func (*fails) UnmarshalMsg([]byte) ([]byte, error)    { return nil, errOwn }
func (shrinks) MarshalMsg([]byte) ([]byte, error)     { return nil, nil }
func (*leaves) UnmarshalMsg(b []byte) ([]byte, error) { return b, nil }
func (v badJSON) MarshalJSON() ([]byte, error)        { return []byte(v.text), nil }

// checked is read as generated code does it, as a tuple or with a name that only
// the tag of msgp has, and refuses what is negative.
type checked struct {
	F float64 `msg:"short"`
	G []float32
}

func (c *checked) UnmarshalMsg(b []byte) (rest []byte, err error) {
	if n, rest, err := msgp.ReadArrayHeaderBytes(b); err == nil && n == 1 {
		if c.F, rest, err = msgp.ReadFloat64Bytes(rest); err == nil && c.F < 0 {
			err = errOwn
		}
		return rest, err
	}
	n, b, err := msgp.ReadMapHeaderBytes(b)
	for ; n > 0 && err == nil; n-- {
		var key string
		if key, b, err = msgp.ReadStringBytes(b); err != nil {
			break
		}
		if key == "short" {
			c.F, b, err = msgp.ReadFloat64Bytes(b)
			continue
		}
		var size uint32
		if size, b, err = msgp.ReadArrayHeaderBytes(b); err != nil {
			break
		}
		c.G = make([]float32, size)
		for i := range c.G {
			if c.G[i], b, err = msgp.ReadFloat32Bytes(b); err != nil {
				break
			}
		}
	}
	if err == nil && c.F < 0 {
		err = errOwn
	}
	return b, err
}

// owner returns bytes of its own instead of appending.
type owner struct{}

func (owner) MarshalMsg([]byte) ([]byte, error) { return bytes.Repeat([]byte{0xc0}, 500), nil }

// TestMsgpackWholeFloats gives whole numbers, which JavaScript writes as integers,
// to code that wants floats. What else it checks still counts.
func TestMsgpackWholeFloats(t *testing.T) {
	for text, want := range map[string]checked{
		"82 a573686f7274 02 a147 93 01 cb3fe0000000000000 ca40000000": {2, []float32{1, 0.5, 2}},
		"81 a573686f7274 02":                 {F: 2},
		"81 a573686f7274 cb4000000000000000": {F: 2},
		"91 05":                              {F: 5},
		"91 cf00000000ffffffff":              {F: 1<<32 - 1},
	} {
		var v checked
		if err := decoded(t, text, &v); err != nil || !reflect.DeepEqual(v, want) {
			t.Errorf("%s: %+v, %v, want %+v", text, v, err, want)
		}
		var list []*checked
		if err := decoded(t, "91"+text, &list); err != nil || len(list) != 1 || !reflect.DeepEqual(*list[0], want) {
			t.Errorf("list of %s: %v, %v", text, list, err)
		}
	}
	for _, text := range []string{"91 ff", "81 a573686f7274 ff", "81 a573686f7274 cbbff0000000000000"} {
		var v checked
		if err := decoded(t, text, &v); !errors.Is(err, errOwn) {
			t.Errorf("%s: %v, want the method's own error", text, err)
		}
	}
}

// TestRawMsgpackAsJSON passes msgpack on to clients that speak JSON.
func TestRawMsgpackAsJSON(t *testing.T) {
	for raw, want := range map[string]string{
		"\x82\xa1a\x01\xa1b\x92\xc0\xa1x":                                    `{"a":1,"b":[null,"x"]}`,
		"\x93\xc4\x01a\xd4\x00\x00\xcb\x7f\xf8" + "\x00\x00\x00\x00\x00\x00": `["YQ==",null,null]`,
		"": `null`,
	} {
		if got := mustEvent(t, msgp.Raw(raw)); got != `42["e",`+want+`]` {
			t.Errorf("%x: %s", raw, got)
		}
	}
	if _, err := JSON.EncodeEvent("/", -1, "e", []any{msgp.Raw{0x91}}); !errors.Is(err, errNotMsgpack) {
		t.Error(err)
	}
}

// TestMsgpackEncodes lists what has no counterpart in JSON.
func TestMsgpackEncodes(t *testing.T) {
	leakCheck(t)
	at := time.UnixMilli(1700000000123).In(time.FixedZone("", 3600)).Add(456 * time.Microsecond)
	const date = "d7000000018bcfe5687b"
	for name, tc := range map[string]struct {
		v    any
		want string
	}{
		"NaN":                      {math.NaN(), "cb7ff8000000000001"},
		"infinity":                 {math.Inf(-1), "cbfff0000000000000"},
		"-0":                       {math.Copysign(0, -1), "00"},
		"2^64":                     {float64(1 << 64), "cb43f0000000000000"},
		"the largest float below":  {math.Nextafter(1<<64, 0), "cffffffffffffff800"},
		"below -2^63":              {math.Nextafter(-1<<63, math.Inf(-1)), "cbc3e0000000000001"},
		"uint64":                   {uint64(math.MaxUint64), "cfffffffffffffffff"},
		"int64":                    {int64(math.MinInt64), "d38000000000000000"},
		"float32":                  {[]float32{0.1}, "91cb3fb999999999999a"},
		"time":                     {at, date},
		"time in a struct":         {&times{at}, "81a154" + date},
		"pointer to a time":        {ptrTime{&at}, "81a154" + date},
		"no time":                  {ptrTime{}, "81a154c0"},
		"binary":                   {[]byte{1, 2}, "c4020102"},
		"nil binary":               {[]byte(nil), "c0"},
		"nested binary":            {bins{[]byte{}, nil}, "82a142c400a143c0"},
		"raw":                      {msgp.Raw("\x92\x01\xa1x"), "9201a178"},
		"no raw":                   {msgp.Raw(nil), "c0"},
		"nested raw":               {raws{R: msgp.Raw{0x80}}, "82a15280a153c0"},
		"ill-formed raw":           {msgp.Raw("\x81\xa1\xff\xa1\xfe"), "81a3efbfbda3efbfbd"},
		"msgp's own time":          {msgp.Raw(msgp.AppendTime(nil, at)), date},
		"timestamp 96":             {msgp.Raw(append([]byte{0xc7, 12, 0xff, 0, 0, 0, 0}, make([]byte, 8)...)), "d7000000000000000000"},
		"timestamp 64":             {msgp.Raw(msgp.AppendTimeExt(nil, at)), date},
		"timestamp 32":             {[]any{returns{"\xd6\xff\x00\x00\x00\x01"}, 1}, "92d70000000000000003e801"},
		"generated":                {generatedPlain{"r", "é", -300}, "83a4726f6f6da172a474657874a2c3a9a16ed1fed4"},
		"generated, in a map":      {map[string]generatedPlain{"": {}}, "81a083a4726f6f6da0a474657874a0a16e00"},
		"generated, ill-formed":    {&generatedPlain{Room: "\xff"}, "83a4726f6f6da3efbfbda474657874a0a16e00"},
		"generated, nil":           {(*generatedPlain)(nil), "c0"},
		"generated, with a time":   {[]any{map[string]any{"t": at}}, "9181a174" + date},
		"nil slice":                {[]any(nil), "c0"},
		"nil map":                  {map[string]any(nil), "c0"},
		"infinite float32":         {[]float32{float32(math.Inf(1))}, "91cb7ff0000000000000"},
		"a nil key":                {map[*textKey]int{nil: 1}, "81a001"},
		"ill-formed JSON":          {badJSON{"\"\xff\""}, "a3efbfbd"},
		"text of the pointer":      {map[string]textOfPointer{"k": 5}, "81a16b05"},
		"text of an address":       {[]textOfPointer{5}, "91a466697665"},
		"empty of every kind":      {empties{Keep: &struct{}{}}, "81a44b65657080"},
		"array of a type of bytes": {[2]byte{1, 255}, "9201ccff"},
	} {
		if got := encoded(t, tc.v); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestMsgpackEncodeRefuses(t *testing.T) {
	leakCheck(t)
	loop := &selfish{}
	loop.Next = loop
	self := &linked{}
	self.Next = self
	list := []any{nil}
	list[0] = list
	object := map[string]any{}
	object["x"] = object
	bad := textKey("bad")
	for name, tc := range map[string]struct {
		v    any
		want error // nil: any
	}{
		"channel":         {make(chan int), nil},
		"function":        {[]any{func() {}}, nil},
		"complex":         {complex(1, 2), nil},
		"map of structs":  {map[struct{ A int }]int{{1}: 1}, nil},
		"own error":       {[]any{fails{}}, errOwn},
		"in a typed list": {[]fails{{}}, errOwn},
		"in a typed map":  {map[string]fails{"": {}}, errOwn},
		"in a key":        {map[*textKey]int{&bad: 1}, errOwn},
		"from JSON":       {failingJSON{}, errOwn},
		"from text":       {textKey("bad"), errOwn},
		"nothing":         {returns{""}, errNotMsgpack},
		"incomplete":      {returns{"\x92\x01"}, errNotMsgpack},
		"two values":      {returns{"\x01\x02"}, errNotMsgpack},
		"reserved byte":   {msgp.Raw{0xc1}, errNotMsgpack},
		"claims":          {msgp.Raw{0xdd, 0xff, 0xff, 0xff, 0xff}, errNotMsgpack},
		"deep raw":        {msgp.Raw(strings.Repeat("\x91", 2000) + "\xc0"), ErrValueTooDeep},
		"returns less":    {shrinks{}, errNotMsgpack},
		"returns its own": {owner{}, errNotMsgpack},
		"no JSON":         {badJSON{`{"a":}`}, errNotJSON},
		"empty JSON":      {badJSON{""}, errNotJSON},
		"deep JSON":       {json.RawMessage(strings.Repeat("[", 2000) + strings.Repeat("]", 2000)), ErrValueTooDeep},
		"no number":       {json.Number("1x"), nil},
		"cycle":           {loop, ErrValueTooDeep},
		"cycle of any":    {self, ErrValueTooDeep},
		"cycle of lists":  {list, ErrValueTooDeep},
		"cycle of maps":   {object, ErrValueTooDeep},
		"quoted bad text": {struct {
			N json.Number `json:"n,string"`
		}{"x"}, nil},
	} {
		f, err := Msgpack.EncodeEvent("/", -1, "e", []any{1, tc.v})
		if err == nil {
			f.Release()
		}
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), "argument 1") {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if f, err := Msgpack.EncodeConnectError("/", "m", tc.v); err == nil {
			f.Release()
			t.Errorf("%s: accepted in a CONNECT_ERROR", name)
		}
	}
	for _, name := range []string{"connect", "disconnecting"} {
		if _, err := Msgpack.EncodeEvent("/", -1, name, nil); err != ErrReservedEvent {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMsgpackDecodes lists what JSON does not have.
func TestMsgpackDecodes(t *testing.T) {
	leakCheck(t)
	at := time.UnixMilli(1700000000123).UTC()
	const date = "d7000000018bcfe5687b"
	half := generatedInner{X: 2, Y: 3, N: 4}
	for name, tc := range map[string]struct {
		hex  string
		into any // a pointer; what it points to is set beforehand
		want any
	}{
		"undefined":                 {"d40000", new(any(1)), nil},
		"undefined into a string":   {"d40000", new("kept"), "kept"},
		"undefined into a pointer":  {"d40000", new(new(1)), (*int)(nil)},
		"Date":                      {date, new(any), at},
		"Date into a time":          {date, new(time.Time), at},
		"Date into a pointer":       {"81a154" + date, new(ptrTime), ptrTime{&at}},
		"Date before 1970":          {"d700ffffffffffffffff", new(time.Time), time.UnixMilli(-1).UTC()},
		"Date far away":             {"d7007fffffffffffffff", new(any), time.UnixMilli(math.MaxInt64).UTC()},
		"text into a time":          {"b4 323032342d30312d30325430333a30343a30355a", new(time.Time), time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)},
		"timestamp 32":              {"d6ff00000001", new(any), time.Unix(1, 0).UTC()},
		"timestamp 64":              {"d7ff0000000400000001", new(any), time.Unix(1, 1).UTC()},
		"timestamp 96":              {"c70cff00000001ffffffffffffffff", new(any), time.Unix(-1, 1).UTC()},
		"msgp's time":               {"c70c05000000000000000100000002", new(any), time.Unix(1, 2).UTC()},
		"Date as JSON":              {date, new(json.RawMessage), json.RawMessage(`"2023-11-14T22:13:20.123Z"`)},
		"ArrayBuffer":               {"c70200aabb", new(any), []byte{0xaa, 0xbb}},
		"ArrayBuffer of 8 bytes":    {"c708000102030405060708", new([]byte), []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		"ArrayBuffer into an array": {"c70200aabb", new([3]byte{1, 2, 3}), [3]byte{0xaa, 0xbb, 0}},
		"binary":                    {"c402aabb", new(any), []byte{0xaa, 0xbb}},
		"empty binary":              {"c400", new([]byte), []byte{}},
		"nested binary":             {"82a142c40101a143c70000", new(bins), bins{[]byte{1}, []byte{}}},
		"nil binary":                {"82a142c0a143d40000", &bins{[]byte{1}, []byte{2}}, bins{}},
		"binary as JSON":            {"91c402aabb", new(json.RawMessage), json.RawMessage(`["qrs="]`)},
		"other extension":           {"d50501ff", new(any), []any{5.0, []byte{1, 0xff}}},
		"fixed extension of type 0": {"d5000102", new(any), []any{0.0, []byte{1, 2}}},
		"raw":                       {"9201d40000", new(msgp.Raw), msgp.Raw{0x92, 1, 0xd4, 0, 0}},
		"nested raw":                {"82a152" + date + "a153c0", new(raws), raws{msgp.Raw("\xd7\x00\x00\x00\x01\x8b\xcf\xe5\x68\x7b"), msgp.Raw{0xc0}}},
		"NaN":                       {"cb7ff0000000000000", new(float64), math.Inf(1)},
		"infinity as JSON":          {"cb7ff0000000000000", new(json.RawMessage), json.RawMessage("null")},
		"integer keys":              {"8201a178fe02", new(map[int]any), map[int]any{1: "x", -2: 2.0}},
		"integer keys into any":     {"8101a178", new(any), map[string]any{"1": "x"}},
		"into an interface's own":   {"05", new(any(new(1))), nil},
		"generated":                 {"83 a4726f6f6d a172 a474657874 a174 a16e 05", new(generatedPlain), generatedPlain{"r", "t", 5}},
		"generated, whole floats":   {"83 a178 02 a179 03 a16e 04", new(generatedInner), half},
		"generated, nil":            {"c0", new(generatedPlain{N: 1}), generatedPlain{N: 1}},
		"generated, more members":   {"84 a17a 91 05 a178 02 a179 03 a16e 04", new(generatedInner), half},
		"generated, within":         {"91 83 a178 02 a179 03 a16e 04", new([]*generatedInner), []*generatedInner{&half}},
		"generated, from JavaScript": {
			"88 a26964 07 a46e616d65 a16e a474616773 91a161 a4626c6f62 c702000102 a26174 " + date + " a56578747261 81a175d40000 a56174747273 81a16ba176 a5696e6e6572 83a17802a179ca3f000000a16e04",
			new(generated),
			generated{7, "n", []string{"a"}, []byte{1, 2}, at.Local(), map[string]any{"u": nil}, map[string]string{"k": "v"}, &generatedInner{2, 0.5, 4}},
		},
	} {
		if err := decoded(t, tc.hex, tc.into); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := reflect.ValueOf(tc.into).Elem().Interface()
		if p, ok := got.(*int); ok && name == "into an interface's own" {
			if *p != 5 {
				t.Errorf("%s: %d", name, *p)
			}
			continue
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %#v, want %#v", name, got, tc.want)
		}
	}
}

func TestMsgpackDecodeErrors(t *testing.T) {
	leakCheck(t)
	for name, tc := range map[string]struct {
		hex  string
		into any
		want string
	}{
		"binary as string":       {"c40161", new(string), "binary in place of string"},
		"number too large":       {"cd0100", new(uint8), "number out of the range of uint8"},
		"negative":               {"ff", new(uint), "number out of the range of uint"},
		"too large for int64":    {"cf8000000000000000", new(int64), "number out of the range of int64"},
		"fraction":               {"cb3ff8000000000000", new(int), "float in place of int"},
		"where":                  {"82a141c0a14282a14105a142a178", new(struct{ B pair }), "B: B: string in place of int"},
		"where in a list":        {"9201a178", new([]int), "[1]: string in place of int"},
		"where in a map":         {"81a16ba178", new(map[string]int), `"k": string in place of int`},
		"binary as time":         {"c40161", new(time.Time), "binary in place of time.Time"},
		"bad time":               {"a178", new(time.Time), "cannot parse"},
		"extension as bytes":     {"d40501", new([]byte), "extension in place of []uint8"},
		"own error":              {"01", new(fails), errOwn.Error()},
		"leaves everything":      {"01", new(leaves), "left something"},
		"generated":              {"81a16ea178", new(generatedPlain), "msgp"},
		"generated, with floats": {"81a178a178", new(generatedInner), "msgp: too few bytes"},
		"bad key":                {"81a17801", new(map[int]int), "number out of the range of int"},
		"key of no use":          {"81a17801", new(map[float64]int), "keys of type float64"},
		"far too large":          {"dc3000" + strings.Repeat("c0", 0x3000), new([][1000]int), "much larger"},
		"target":                 {"01", 5, "pointer"},
		"nil target":             {"01", (*int)(nil), "pointer"},
	} {
		err := decoded(t, tc.hex, tc.into)
		if _, ok := errors.AsType[*DecodeError](err); !ok || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	if err := decoded(t, "01", new(fails)); !errors.Is(err, errOwn) {
		t.Errorf("the type's own error is not wrapped: %v", err)
	}
}

// TestMsgpackFrames checks the packets a server sends.
func TestMsgpackFrames(t *testing.T) {
	leakCheck(t)
	for want, f := range map[string]interface {
		Bytes() []byte
		Release()
	}{
		`CONNECT / {"sid":"x"}`:                               Msgpack.EncodeConnect("/", "x", ""),
		`CONNECT /a {"pid":"y","sid":"x"}`:                    Msgpack.EncodeConnect("/a", "x", "y"),
		`CONNECT / {"sid":""}`:                                Msgpack.EncodeConnect("", "", ""),
		`CONNECT_ERROR / {"message":"no"}`:                    must(Msgpack.EncodeConnectError("/", "no", nil)),
		`CONNECT_ERROR /a {"data":{"a":1},"message":"no"}`:    must(Msgpack.EncodeConnectError("/a", "no", map[string]int{"a": 1})),
		`CONNECT_ERROR /a {"data":null,"message":"no"}`:       must(Msgpack.EncodeConnectError("/a", "no", json.RawMessage("null"))),
		`CONNECT_ERROR /b {"data":"YWJj","message":"\ufffd"}`: must(Msgpack.EncodeConnectError("/b", "\xff", []byte("abc"))),
		`DISCONNECT /a -`:                                     Msgpack.EncodeDisconnect("/a"),
		`DISCONNECT / -`:                                      Msgpack.EncodeDisconnect(""),
		`EVENT /a id=0 "e" []`:                                must(Msgpack.EncodeEvent("/a", 0, "e", nil)),
		`EVENT / "" [1,"two"]`:                                must(Msgpack.EncodeEvent("/", -1, "", []any{1, "two"})),
		`ACK /a id=70000 []`:                                  must(Msgpack.EncodeAck("/a", 70000, nil)),
	} {
		data, binary, rest := NextPart(f.Bytes())
		in, err := receive(&Limits{Client: true}, data)
		f.Release()
		if err != nil || !binary || len(rest) != 0 {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if got := strings.ReplaceAll(renderMsgpack(in), "\ufffd", `\ufffd`); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		in.Release()
	}
}

// TestMsgpackAuth decodes the payload of a CONNECT.
func TestMsgpackAuth(t *testing.T) {
	in, err := receive(nil, mpMapOf("type", 0, "nsp", "/", "data", map[string]any{"token": "secret", "key": []byte{1}}))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release()
	var auth struct {
		Token string
		Key   []byte
	}
	if err := in.DecodeData(&auth); err != nil || auth.Token != "secret" || !bytes.Equal(auth.Key, []byte{1}) {
		t.Errorf("%+v, %v", auth, err)
	}
	var wrong []int
	if e, ok := errors.AsType[*DecodeError](in.DecodeData(&wrong)); !ok || e.Arg != -1 {
		t.Error(e)
	}
}

// Generated code for larger structs has its methods on the pointer. What is in a map has no address, and goes the same way.
func TestMsgpackEncodesPointerMethods(t *testing.T) {
	v := generated{ID: 1, Name: "n", At: time.UnixMilli(1).UTC(), Inner: &generatedInner{X: 0.5}}
	if got, want := encoded(t, map[string]generated{"": v}), "81a0"+encoded(t, &v); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Ill-formed text is replaced, which may need a longer header than what was there before.
func TestMsgpackRepairsLongText(t *testing.T) {
	for _, n := range []int{11, 31, 32, 86, 255, 256, 22_000, 65_535, 65_536} {
		var got string
		if err := decoded(t, encoded(t, strings.Repeat("\xff", n)), &got); err != nil || got != strings.Repeat("\ufffd", n) {
			t.Errorf("%d bytes became %d characters, %v", n, len([]rune(got)), err)
		}
	}
}

// What generated code gets has no extension of JavaScript in it any more; those that nobody knows stay as they are.
func TestMsgpackRewrittenForMethods(t *testing.T) {
	for in, want := range map[string]string{
		"\xd4\x00\x00":          "\xc0",             // undefined
		"\xc7\x02\x00\x01\x02":  "\xc4\x02\x01\x02", // ArrayBuffer
		"\xd5\x05\x01\xff":      "\xd5\x05\x01\xff",
		"\xd5\x00\x01\x02":      "\xd5\x00\x01\x02",
		"\x92\xd4\x00\x00\xa1x": "\x92\xc0\xa1x",
	} {
		if got := mpRewritten([]byte(in), mpForMethods); string(got) != want {
			t.Errorf("%x: %x, want %x", in, got, want)
		}
	}
}
