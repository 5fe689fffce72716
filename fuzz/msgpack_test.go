package fuzz

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// FuzzMsgpack feeds a decoder with a message. What it accepts can be decoded into
// anything without a panic, passed on as it is, and sent back to the same effect.
func FuzzMsgpack(f *testing.F) {
	limits := &codec.Limits{MaxAttachmentBytes: 1 << 16, MaxDepth: 32}
	seedMsgpack(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		before := pool.Live()
		defer func() {
			if leaked := pool.Live() - before; leaked != 0 {
				t.Fatalf("%d buffers leaked", leaked)
			}
		}()
		bounded(t, 400*len(message), func() {
			d := codec.Msgpack.NewDecoder(limits)
			defer d.Close()
			if in, err := d.Binary(message); err == nil {
				defer in.Release()
				for i := range in.Len() {
					var v any
					_ = in.Decode(i, &v)
				}
			}
		})
		d := codec.Msgpack.NewDecoder(limits)
		defer d.Close()
		in, err := d.Binary(bytes.Clone(message))
		if err != nil {
			if _, violation := errors.AsType[*codec.ProtocolError](err); !violation {
				t.Fatalf("unexpected kind of error: %v", err)
			}
			return
		}
		defer in.Release()
		var auth map[string]any
		if err := in.DecodeData(&auth); err != nil {
			t.Fatalf("a map does not fit a map: %v", err)
		}
		raws, values := make([]any, in.Len()), make([]any, in.Len())
		for i := range values {
			raws[i] = msgp.Raw(bytes.Clone(in.Raw(i)))
			if err := in.Decode(i, &values[i]); err != nil {
				t.Fatalf("argument %d does not fit an interface: %v", i, err)
			}
			intoTypes(t, in, i)
		}
		same := overMsgpack(t, values)
		passed := overMsgpack(t, raws)
		if len(same) != len(values) || len(passed) != len(values) {
			t.Fatalf("%d arguments became %d and %d", len(values), len(same), len(passed))
		}
		for i := range values {
			want := toMillis(values[i])
			if got := toMillis(same[i]); !equal(got, want) {
				t.Fatalf("argument %d: %#v came back as %#v", i, want, got)
			}
			if got := toMillis(passed[i]); !equal(got, want) {
				t.Fatalf("argument %d: %#v was passed on as %#v", i, want, got)
			}
		}
	})
}

// FuzzMsgpackJSON sends JSON text as msgpack: it means the same.
func FuzzMsgpackJSON(f *testing.F) {
	for _, seed := range []string{`null`, `[1,-2.5e3,"\ud83d\ude00",true,{"a":[{}]}]`, `18446744073709551616`, `"\u0000\ud800"`, ` { "" : [ ] } `} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want any
		if !utf8.Valid(text) || json.Unmarshal(text, &want) != nil {
			return // repaired in another way, not JSON, or a number beyond float64
		}
		frame, err := codec.Msgpack.EncodeAck("/", 0, []any{json.RawMessage(text)})
		if err != nil {
			if errors.Is(err, codec.ErrValueTooDeep) {
				return
			}
			t.Fatal(err)
		}
		defer frame.Release()
		data, _, _ := codec.NextPart(frame.Bytes())
		in, err := codec.Msgpack.NewDecoder(&codec.Limits{MaxDepth: 1001}).Binary(data)
		if err != nil {
			t.Fatalf("what was sent cannot be received: %v", err)
		}
		defer in.Release()
		var got any
		var back json.RawMessage
		if err := errors.Join(in.Decode(0, &got), in.Decode(0, &back)); err != nil {
			t.Fatal(err)
		}
		if !equal(got, want) {
			t.Fatalf("%s: %#v, want %#v", text, got, want)
		}
		got = nil
		if err := json.Unmarshal(back, &got); err != nil || !equal(got, want) {
			t.Fatalf("%s came back as %s (%v)", text, back, err)
		}
	})
}

// seedMsgpack adds what the npm package encodes.
func seedMsgpack(f *testing.F) {
	file, err := os.Open("../codec/testdata/msgpack.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	for s := bufio.NewScanner(file); s.Scan(); {
		var v struct{ Hex string }
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			f.Fatal(err)
		}
		p, err := hex.DecodeString(v.Hex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	const event = "\x83\xa4type\x02\xa3nsp\xa1/\xa4data"
	for _, data := range []string{
		"\x93\xa1e\xd4\x00\x00\xd6\xff\x00\x00\x00\x01", "\x92\xa1e\xc7\x0c\x05\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x02",
		"\x92\xa1e\x82\xa1\xff\x01\x05\x02", "\xdd\xff\xff\xff\xff\xa1e", "\x92\xa1e\x91\x91\x91\x91", "\x92\x01\xca\x7f\xc0\x00\x00",
	} {
		f.Add([]byte(event + data))
	}
}

// intoTypes decodes an argument into types of many kinds; errors are expected.
func intoTypes(t *testing.T, in *codec.In, i int) {
	type inner struct {
		X float64 `json:"x,string"`
		*inner2
	}
	var all struct {
		A inner            `json:"a"`
		B []*inner         `json:"b"`
		C map[int][]string `json:"c"`
		D time.Time
		E [4]byte
		F json.RawMessage
		G any
	}
	for _, v := range []any{
		&all, new(string), new([]byte), new(int8), new(uint64), new(float32), new([]any), new(map[string]string), new(time.Time),
		new(json.Number), new(*[]inner), new(msgp.Raw),
	} {
		err := in.Decode(i, v)
		if _, ok := errors.AsType[*codec.DecodeError](err); err != nil && !ok {
			t.Fatalf("argument %d into %T: %v", i, v, err)
		}
	}
	var text json.RawMessage
	if err := in.Decode(i, &text); err != nil || !json.Valid(text) {
		t.Fatalf("argument %d as JSON: %q, %v", i, text, err)
	}
}

type inner2 struct{ Y []byte }

// overMsgpack sends args and returns what arrives.
func overMsgpack(t *testing.T, args []any) []any {
	frame, err := codec.Msgpack.EncodeAck("/", 1, args)
	if err != nil {
		t.Fatalf("what was received cannot be sent: %v", err)
	}
	defer frame.Release()
	data, _, _ := codec.NextPart(frame.Bytes())
	in, err := codec.Msgpack.NewDecoder(nil).Binary(data)
	if err != nil {
		t.Fatalf("what was sent cannot be received: %v", err)
	}
	defer in.Release()
	out := make([]any, in.Len())
	for i := range out {
		if err := in.Decode(i, &out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// toMillis cuts times to what a Date can hold.
func toMillis(v any) any {
	switch v := v.(type) {
	case time.Time:
		return time.UnixMilli(v.UnixMilli()).UTC()
	case []any:
		for i := range v {
			v[i] = toMillis(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = toMillis(v[k])
		}
	}
	return v
}

// equal is reflect.DeepEqual, but NaN equals itself.
func equal(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && (a == b || a != a && b != b)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if x, ok := b[k]; !ok || !equal(a[k], x) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}
