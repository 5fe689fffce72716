package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/epio-go/epio/pool"
)

// parts renders the WebSocket frames of a frame: text as it is, binary as +hex.
func parts(f *pool.Frame) string {
	var out []string
	for isBinary, data := range Parts(f.Bytes()) {
		if isBinary {
			out = append(out, fmt.Sprintf("+%x", data))
		} else {
			out = append(out, string(data))
		}
	}
	return strings.Join(out, " ")
}

// mustEvent encodes the event "e" with args and renders it.
func mustEvent(t *testing.T, args ...any) string {
	t.Helper()
	f, err := JSON.EncodeEvent("/", -1, "e", args)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	return parts(f)
}

func must(f *pool.Frame, err error) *pool.Frame {
	if err != nil {
		panic(err)
	}
	return f
}

// The examples of the protocol document, and the forms around them.
// https://socket.io/docs/v4/socket-io-protocol/#sample-session
func TestEncode(t *testing.T) {
	leakCheck(t)
	for _, tc := range []struct {
		frame *pool.Frame
		want  string
	}{
		{JSON.EncodeConnect("/", "oSO0OpakMV_3jnilAAAA", ""), `40{"sid":"oSO0OpakMV_3jnilAAAA"}`},
		{JSON.EncodeConnect("/admin", "x", "y"), `40/admin,{"sid":"x","pid":"y"}`},
		{JSON.EncodeConnect("", `"\`, ""), `40{"sid":"\"\\"}`},
		{must(JSON.EncodeConnectError("/", "Not authorized", nil)), `44{"message":"Not authorized"}`},
		{must(JSON.EncodeConnectError("/a", "no", map[string]int{"code": 1})), `44/a,{"message":"no","data":{"code":1}}`},
		{must(JSON.EncodeConnectError("/a", "no", json.RawMessage("null"))), `44/a,{"message":"no","data":null}`},
		{must(JSON.EncodeConnectError("/", "no", []byte("abc"))), `44{"message":"no","data":"YWJj"}`},
		{JSON.EncodeDisconnect("/"), `41`},
		{JSON.EncodeDisconnect("/admin"), `41/admin,`},
		{must(JSON.EncodeEvent("/", -1, "foo", nil)), `42["foo"]`},
		{must(JSON.EncodeEvent("/admin", -1, "bar", []any{1, "x"})), `42/admin,["bar",1,"x"]`},
		{must(JSON.EncodeEvent("/", 12, "foo", []any{nil})), `4212["foo",null]`},
		{must(JSON.EncodeEvent("/a", 0, "foo", nil)), `42/a,0["foo"]`},
		{must(JSON.EncodeEvent("/a", math.MaxInt64, "foo", nil)), `42/a,9223372036854775807["foo"]`},
		{must(JSON.EncodeAck("/", 13, []any{"bar"})), `4313["bar"]`},
		{must(JSON.EncodeAck("/admin", math.MaxUint64, nil)), `43/admin,18446744073709551615[]`},
		{must(JSON.EncodeEvent("/", -1, "baz", []any{[]byte{1, 2, 3, 4}})), `451-["baz",{"_placeholder":true,"num":0}] +01020304`},
		{must(JSON.EncodeEvent("/admin", 7, "baz", []any{[]byte{1}, "x", []byte{}})), `452-/admin,7["baz",{"_placeholder":true,"num":0},"x",{"_placeholder":true,"num":1}] +01 +`},
		{must(JSON.EncodeAck("/admin", 456, []any{[]byte{1, 2}})), `461-/admin,456[{"_placeholder":true,"num":0}] +0102`},
	} {
		if got := parts(tc.frame); got != tc.want {
			t.Errorf("\n got %s\nwant %s", got, tc.want)
		}
		tc.frame.Release()
	}
}

func TestEncodeHeaders(t *testing.T) {
	for _, n := range []int{0, 110, 118, 119, 120, 65000, 65526, 65527, 65528, 70000} {
		s := strings.Repeat("x", n)
		f := must(JSON.EncodeEvent("/", -1, "e", []any{s}))
		want := `42["e","` + s + `"]`
		if got := string(f.Bytes()); got != string(AppendWSHeader(nil, 1, len(want)))+want {
			t.Errorf("%d: %d bytes, begins % x", n, len(got), got[:10])
		}
		f.Release()
	}
}

type point struct {
	X float64 `json:"x"`
	Y float64 `json:"y,omitempty"`
}

func TestEncodeValues(t *testing.T) {
	leakCheck(t)
	for _, tc := range []struct {
		value any
		want  string
	}{
		{nil, `null`},
		{true, `true`},
		{-5, `-5`},
		{int64(math.MinInt64), `-9223372036854775808`},
		{uint8(200), `200`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{1.0, `1`},
		{1e21, `1e+21`},
		{"", `""`},
		{"a\"b\\c/d\b\f\n\r\t\x01\x7f", `"a\"b\\c/d\u0008\u000c\n\r\t\u0001` + "\x7f\""},
		{"<a href='x'>&amp;\u2028", "\"<a href='x'>&amp;\u2028\""},
		{"é€😀", `"é€😀"`},
		{"a\xffb\xe2\x82", `"a` + "\ufffdb\ufffd" + `"`},
		{point{1, 0}, `{"x":1}`},
		{&point{1, 2}, `{"x":1,"y":2}`},
		{(*point)(nil), `null`},
		{[]point{{1, 0}}, `[{"x":1}]`},
		{[]string(nil), `null`},
		{[]int{}, `[]`},
		{[]any{1, "<", nil}, `[1,"<",null]`},
		{map[string]any{"a": 1}, `{"a":1}`},
		{map[int]string{5: "x"}, `{"5":"x"}`},
		{[3]byte{1, 2, 3}, `[1,2,3]`},
		{json.RawMessage(`{"a": [1]}`), `{"a":[1]}`},
		{json.RawMessage("\"\xff\""), "\"\ufffd\""},
		{json.Number("12"), `12`},
		{time.Unix(0, 0).UTC(), `"1970-01-01T00:00:00Z"`},
		{struct {
			S string `json:"s"`
		}{"<\xff"}, "{\"s\":\"<\ufffd\"}"},
		{[]byte(nil), `null`},
	} {
		if got := mustEvent(t, tc.value); !sameJSON(got, `42["e",`+tc.want+`]`) {
			t.Errorf("%#v:\n got %s\nwant %s", tc.value, got, tc.want)
		}
	}
}

// sameJSON compares encoded events but for insignificant whitespace, which a
// json.RawMessage may or may not keep.
func sameJSON(a, b string) bool {
	return strings.ReplaceAll(a, " ", "") == strings.ReplaceAll(b, " ", "")
}

func TestEncodeEventNames(t *testing.T) {
	for name, want := range map[string]string{
		"":        `42[""]`,
		"a\"b\n":  `42["a\"b\n"]`,
		"é":       `42["é"]`,
		"a\xff":   "42[\"a\ufffd\"]",
		"error":   `42["error"]`,
		"connect": "",
	} {
		f, err := JSON.EncodeEvent("/", -1, name, nil)
		if want == "" {
			if !errors.Is(err, ErrReservedEvent) || f != nil {
				t.Errorf("%s: %v, want ErrReservedEvent", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := parts(f); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
		f.Release()
	}
}

type cycle struct {
	Next *cycle
	N    int
}

type binaryCycle struct {
	Next *binaryCycle
	Prev *binaryCycle
	Data []byte
}

type failing struct{}

var errFailing = errors.New("no")

func (failing) MarshalJSON() ([]byte, error) { return nil, errFailing }

func TestEncodeErrors(t *testing.T) {
	leakCheck(t)
	ring := &cycle{}
	ring.Next = ring
	binaryRing := &binaryCycle{}
	binaryRing.Next, binaryRing.Prev = binaryRing, binaryRing
	fullRing := &binaryCycle{Data: []byte("x")}
	fullRing.Next, fullRing.Prev = fullRing, fullRing
	self := map[string]any{}
	self["self"] = self
	selfList := []any{nil, []byte("x")}
	selfList[0] = selfList
	for name, v := range map[string]any{
		"channel":                  make(chan int),
		"function in a map":        map[string]any{"f": func() {}},
		"infinity":                 math.Inf(1),
		"not a number in a struct": point{math.NaN(), 0},
		"own error":                failing{},
		"bad raw JSON":             json.RawMessage(`{"a"`),
		"cycle":                    ring,
		"cycle without binary":     binaryRing,
		"cycle with binary":        fullRing,
		"map in itself":            self,
		"slice in itself":          selfList,
	} {
		if f, err := JSON.EncodeEvent("/", -1, "e", []any{[]byte("x"), v}); err == nil {
			t.Errorf("%s: encoded as %.200s", name, parts(f))
		}
		if f, err := JSON.EncodeAck("/", 1, []any{v}); err == nil {
			t.Errorf("%s: encoded as %.200s", name, parts(f))
		}
		if f, err := JSON.EncodeConnectError("/", "m", v); err == nil {
			t.Errorf("%s: encoded as %.200s", name, parts(f))
		}
	}
	if _, err := JSON.EncodeEvent("/", -1, "e", []any{failing{}}); !errors.Is(err, errFailing) {
		t.Errorf("%v does not wrap the value's own error", err)
	}
	if _, err := JSON.EncodeEvent("/", -1, "e", []any{fullRing}); !errors.Is(err, ErrValueTooDeep) {
		t.Errorf("%v, want ErrValueTooDeep", err)
	}
	// An error leaves nothing behind in the recycled encoder.
	if got, want := mustEvent(t, []byte{9}), `451-["e",{"_placeholder":true,"num":0}] +09`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
