package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/internal/alloctest"
	"github.com/epio-go/epio/internal/invariants"
)

// mpMapOf writes a map from alternating keys and values; a msgp.Raw is written as
// it is, even when it is not msgpack.
func mpMapOf(members ...any) []byte {
	b := msgp.AppendMapHeader(nil, uint32(len(members)/2))
	for _, v := range members {
		if raw, ok := v.(msgp.Raw); ok {
			b = append(b, raw...)
			continue
		}
		var e mpEncoder
		if err := e.value(v, 0); err != nil {
			panic(err)
		}
		b = append(b, e.b...)
	}
	return b
}

// array makes an argument list, which is not nil.
func array(v ...any) []any { return append([]any{}, v...) }

var (
	undefined   = msgp.Raw{0xd4, 0, 0}
	emptyBuffer = msgp.Raw{0xc7, 0, 0}
)

func TestMsgpackDecode(t *testing.T) {
	leakCheck(t)
	event := array("e", 1)
	for _, tc := range []struct {
		name string
		p    []byte
		want string
	}{
		{"any order", mpMapOf("data", event, "id", 7, "nsp", "/a", "type", 2), `EVENT /a id=7 "e" [1]`},
		{"unknown members", mpMapOf("x", event, "type", 2, "options", map[string]any{"a": 1}, "nsp", "/", "data", event, 5, 6), `EVENT / "e" [1]`},
		{"the last of several counts", mpMapOf("type", 1, "nsp", "/a", "data", array("x", 5, 6), "nsp", "/b", "data", event, "type", 2), `EVENT /b "e" [1]`},
		{"undefined is absent", mpMapOf("type", 0, "nsp", "/", "data", undefined, "id", undefined), `CONNECT / -`},
		{"connect", mpMapOf("type", 0, "nsp", "/a?x=1", "data", map[string]any{}), `CONNECT /a?x=1 {}`},
		{"disconnect", mpMapOf("type", 1, "nsp", "/a", "data", undefined), `DISCONNECT /a -`},
		{"the last data counts", mpMapOf("data", array("x"), "type", 0, "nsp", "/", "data", map[string]any{"a": 1}), `CONNECT / {"a":1}`},
		{"whole floats", mpMapOf("type", msgp.Raw(msgp.AppendFloat64(nil, 3)), "nsp", "/", "id", msgp.Raw(msgp.AppendFloat32(nil, 9)), "data", array()), `ACK / id=9 []`},
		{"signed integers", mpMapOf("type", msgp.Raw{0xd0, 3}, "nsp", "/", "id", msgp.Raw{0xd1, 0, 9}, "data", array()), `ACK / id=9 []`},
		{"the largest id", mpMapOf("type", 3, "nsp", "/", "id", uint64(math.MaxUint64), "data", array()), `ACK / id=18446744073709551615 []`},
		{"an ack without id", mpMapOf("type", 3, "nsp", "/", "data", array()), `ACK / []`},
		{"a numeric name", mpMapOf("type", 2, "nsp", "/", "data", array(12, "x")), `EVENT / "12" ["x"]`},
		{"a negative name", mpMapOf("type", 2, "nsp", "/", "data", array(-12)), `EVENT / "-12" []`},
		{"a fraction as name", mpMapOf("type", 2, "nsp", "/", "data", array(1.5)), `EVENT / "1.5" []`},
		{"a large number as name", mpMapOf("type", 2, "nsp", "/", "data", array(1e21)), `EVENT / "1e+21" []`},
		{"NaN as name", mpMapOf("type", 2, "nsp", "/", "data", array(math.NaN())), `EVENT / "NaN" []`},
		{"the infinities as names", mpMapOf("type", 2, "nsp", "/", "data", array(math.Inf(-1), math.Inf(1))), `EVENT / "-Infinity" [null]`},
		{"infinity as name", mpMapOf("type", 2, "nsp", "/", "data", array(math.Inf(1))), `EVENT / "Infinity" []`},
		{"ordinary names", mpMapOf("type", 2, "nsp", "/", "data", array("error")), `EVENT / "error" []`},
		{"ill-formed text", mpMapOf("type", 2, "nsp", msgp.Raw("\xa2/\xff"), "data", msgp.Raw("\x92\xa3e\xf0\x9f\xa2\xff\xfe")), "EVENT /\ufffd \"e\ufffd\" [\"\ufffd\ufffd\"]"},
		{"an ill-formed key", mpMapOf("type", 2, "nsp", "/", "data", msgp.Raw("\x92\xa1e\x81\xa1\xff\x01")), "EVENT / \"e\" [{\"\ufffd\":1}]"},
		{"binary", mpMapOf("type", 2, "nsp", "/", "data", array("e", []byte("abc"), emptyBuffer)), `EVENT / "e" ["YWJj",""]`},
		{"foreign extensions", mpMapOf("type", 2, "nsp", "/", "data", array("e", msgp.Raw{0xd4, 7, 1}, msgp.Raw{0xc7, 1, 0x80, 2})), `EVENT / "e" [[7,"AQ=="],[-128,"Ag=="]]`},
		{"at the depth limit", mpMapOf("type", 2, "nsp", "/", "data", array("e", array(array(1)))), `EVENT / "e" [[[1]]]`},
		{"repetition does not add to the depth", mpMapOf("type", 2, "nsp", "/", "data", array("e", array(array()), array(array()), map[string]any{"a": array()})), `EVENT / "e" [[[]],[[]],{"a":[]}]`},
	} {
		in, err := receive(&Limits{MaxDepth: 3}, tc.p)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := renderMsgpack(in); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if in.Attachments() != 0 {
			t.Errorf("%s: attachments", tc.name)
		}
		in.Release()
	}
}

func TestMsgpackDecodeRefuses(t *testing.T) {
	leakCheck(t)
	event := array("e")
	ok := map[string]any{}
	for _, tc := range []struct {
		name string
		p    []byte
		want error
	}{
		{"empty", nil, ErrPayload},
		{"no map", []byte{0x93, 1, 2, 3}, ErrPayload},
		{"nothing in it", []byte{0x80}, ErrType},
		{"no type", mpMapOf("nsp", "/", "data", event), ErrType},
		{"nil type", mpMapOf("type", nil, "nsp", "/", "data", event), ErrType},
		{"text type", mpMapOf("type", "2", "nsp", "/", "data", event), ErrType},
		{"negative type", mpMapOf("type", -1, "nsp", "/", "data", event), ErrType},
		{"fraction as type", mpMapOf("type", 2.5, "nsp", "/", "data", event), ErrType},
		{"binary event", mpMapOf("type", 5, "nsp", "/", "data", event), ErrType},
		{"large type", mpMapOf("type", uint64(1<<63), "nsp", "/", "data", event), ErrType},
		{"connect error", mpMapOf("type", 4, "nsp", "/", "data", ok), ErrConnectError},
		{"no namespace", mpMapOf("type", 2, "data", event), ErrPayload},
		{"empty namespace", mpMapOf("type", 2, "nsp", "", "data", event), ErrPayload},
		{"namespace without slash", mpMapOf("type", 2, "nsp", "a", "data", event), ErrPayload},
		{"number as namespace", mpMapOf("type", 2, "nsp", 1, "data", event), ErrPayload},
		{"binary namespace", mpMapOf("type", 2, "nsp", []byte("/"), "data", event), ErrPayload},
		{"nil id", mpMapOf("type", 2, "nsp", "/", "data", event, "id", nil), ErrID},
		{"negative id", mpMapOf("type", 2, "nsp", "/", "data", event, "id", -1), ErrID},
		{"fraction as id", mpMapOf("type", 2, "nsp", "/", "data", event, "id", 0.5), ErrID},
		{"text id", mpMapOf("type", 2, "nsp", "/", "data", event, "id", "1"), ErrID},
		{"id of 2^64", mpMapOf("type", 2, "nsp", "/", "data", event, "id", float64(1<<64)), ErrID},
		{"event without data", mpMapOf("type", 2, "nsp", "/"), ErrPayload},
		{"event of nothing", mpMapOf("type", 2, "nsp", "/", "data", array()), ErrPayload},
		{"event of an object", mpMapOf("type", 2, "nsp", "/", "data", ok), ErrPayload},
		{"name is an object", mpMapOf("type", 2, "nsp", "/", "data", array(ok)), ErrPayload},
		{"name is binary", mpMapOf("type", 2, "nsp", "/", "data", array([]byte("e"))), ErrPayload},
		{"name is nil", mpMapOf("type", 2, "nsp", "/", "data", array(nil)), ErrPayload},
		{"reserved name", mpMapOf("type", 2, "nsp", "/", "data", array("disconnecting")), ErrReservedName},
		{"ack without data", mpMapOf("type", 3, "nsp", "/", "id", 1), ErrPayload},
		{"ack of nil", mpMapOf("type", 3, "nsp", "/", "id", 1, "data", nil), ErrPayload},
		{"connect with nil", mpMapOf("type", 0, "nsp", "/", "data", nil), ErrPayload},
		{"connect with an array", mpMapOf("type", 0, "nsp", "/", "data", event), ErrPayload},
		{"connect with a Date", mpMapOf("type", 0, "nsp", "/", "data", time.Now()), ErrPayload},
		{"disconnect with data", mpMapOf("type", 1, "nsp", "/", "data", ok), ErrPayload},
		{"disconnect with nil", mpMapOf("type", 1, "nsp", "/", "data", nil), ErrPayload},
		{"trailing bytes", append(mpMapOf("type", 2, "nsp", "/", "data", event), 0xc0), ErrPayload},
		{"0xc1", mpMapOf("type", 2, "nsp", "/", "data", event, "x", msgp.Raw{0xc1}), ErrPayload},
		{"a map as key", mpMapOf("type", 2, "nsp", "/", "data", msgp.Raw("\x92\xa1e\x81\x80\x01")), ErrPayload},
		{"nil as key", mpMapOf("type", 2, "nsp", "/", "data", msgp.Raw("\x92\xa1e\x81\xc0\x01")), ErrPayload},
		{"too deep", mpMapOf("type", 2, "nsp", "/", "data", array("e", array(array(array())))), ErrDepth},
		{"too deep elsewhere", mpMapOf("x", array(array(array(array()))), "type", 2, "nsp", "/", "data", event), ErrDepth},
		{"too deep in a map", mpMapOf("type", 0, "nsp", "/", "data", map[string]any{"a": map[string]any{"b": array(array())}}), ErrDepth},
		{"binary over the limit", mpMapOf("type", 2, "nsp", "/", "data", array("e", make([]byte, 5), emptyBuffer, msgp.Raw{0xc7, 6, 0, 1, 2, 3, 4, 5, 6})), ErrAttachmentBytes},
	} {
		in, err := receive(&Limits{MaxDepth: 3, MaxAttachmentBytes: 10}, tc.p)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if in != nil {
			in.Release()
		}
	}
	if _, err := Msgpack.NewDecoder(nil).Text([]byte(`2["e"]`)); err != ErrUnexpectedText {
		t.Errorf("text message: %v", err)
	}
}

// TestMsgpackTruncated cuts every packet of the reference at every byte: none of
// the pieces is a packet.
func TestMsgpackTruncated(t *testing.T) {
	leakCheck(t)
	d := Msgpack.NewDecoder(&Limits{Client: true})
	for _, v := range vectors(t) {
		p := v.packet(t)
		for n := range p {
			if in, err := d.Binary(p[:n:n]); err != ErrPayload {
				if in != nil {
					in.Release()
				}
				t.Fatalf("%s, first %d bytes: %v", v.Name, n, err)
			}
		}
	}
}

// TestMsgpackHostile sends what makes careless decoders allocate or recurse
// without end. Refusing it costs no memory to speak of, and quickly.
func TestMsgpackHostile(t *testing.T) {
	head, err := hex.DecodeString("83a47479706502a36e7370a12fa464617461")
	if err != nil {
		t.Fatal(err)
	}
	packet := func(data string) []byte { return append(bytes.Clone(head), data...) }
	claims := func(prefix byte, size int, n uint64) string {
		s := []byte{prefix}
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], n)
		return string(append(s, b[8-size:]...))
	}
	for name, p := range map[string][]byte{
		"5 KB of array32 headers":   packet(strings.Repeat(claims(0xdd, 4, 1<<32-1), 1000)),
		"1 MB of array32 headers":   packet(strings.Repeat(claims(0xdd, 4, 1<<32-1), 200_000)),
		"1 MB of array16 headers":   packet(strings.Repeat(claims(0xdc, 2, 0xffff), 333_333)),
		"1 MB of map32 headers":     packet(strings.Repeat(claims(0xdf, 4, 1<<32-1)+"\xa0", 170_000)),
		"1 MB of arrays of one":     packet(strings.Repeat("\x91", 1_000_000)),
		"1 MB of maps of one":       packet(strings.Repeat("\x81\xa0", 500_000)),
		"a list of 4 billion":       packet(claims(0xdd, 4, 1<<32-1) + strings.Repeat("\xc0", 1000)),
		"a map of 4 billion":        packet(claims(0xdf, 4, 1<<32-1) + strings.Repeat("\x01\xc0", 1000)),
		"a string of 4 GB":          packet("\x91" + claims(0xdb, 4, 1<<32-1) + "abc"),
		"binary of 4 GB":            packet("\x92\xa1e" + claims(0xc6, 4, 1<<32-1) + "abc"),
		"an extension of 4 GB":      packet("\x92\xa1e" + claims(0xc9, 4, 1<<32-1) + "\x00abc"),
		"a packet of 4 billion":     []byte(claims(0xdf, 4, 1<<32-1)),
		"many members and no type":  append([]byte(claims(0xde, 2, 60_000)), bytes.Repeat([]byte("\x01\xc0"), 60_000)...),
		"many members named data":   append([]byte(claims(0xde, 2, 60_000)), bytes.Repeat([]byte("\xa4data\x91\x90"), 60_000)...),
		"ill-formed and incomplete": packet("\xdd\xff\xff\xff\xff" + strings.Repeat("\xa1\xff", 1000)),
	} {
		d := Msgpack.NewDecoder(nil)
		limit := 4096
		if name == "a list of 4 billion" || name == "ill-formed and incomplete" {
			limit += 32 * len(p) // the places of the arguments that are there
		}
		start := time.Now()
		if n := alloctest.Bytes(limit, func() {
			in, err := d.Binary(p)
			if _, violation := errors.AsType[*ProtocolError](err); !violation {
				t.Errorf("%s: %v", name, err)
			}
			if in != nil {
				in.Release()
			}
		}); n > limit {
			t.Errorf("%s: %d bytes allocated to refuse it", name, n)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: refused after %v", name, took)
		}
	}
}

// TestMsgpackDecodedSize bounds what an accepted packet can be decoded into.
func TestMsgpackDecodedSize(t *testing.T) {
	const size = 100_000
	for name, unit := range map[string]string{
		"nils":              "\xc0",
		"integers":          "\x01",
		"empty arrays":      "\x90",
		"empty maps":        "\x80",
		"empty strings":     "\xa0",
		"arrays of one":     "\x91\xc0",
		"maps of one":       "\x81\xa0\xc0",
		"empty binary":      "\xc4\x00",
		"undefined":         "\xd4\x00\x00",
		"extensions":        "\xd4\x05\x00",
		"Dates":             "\xd7\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"maps of two equal": "\x82\xa0\xc0\xa0\xc0",
	} {
		n := size / len(unit)
		list := msgp.AppendArrayHeader(nil, uint32(n))
		p := mpMapOf("type", 2, "nsp", "/", "data", array("e", msgp.Raw(append(list, strings.Repeat(unit, n)...))))
		in, err := receive(nil, p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var v any
		limit := 128 * len(p)
		if got := alloctest.Bytes(limit, func() { v = nil; err = in.Decode(0, &v) }); err != nil || got > limit && !invariants.Enabled {
			t.Errorf("%s: %d bytes for %d received (%v)", name, got, len(p), err)
		}
		// Elements of a kilobyte each: the list is not even made.
		var big []struct{ A [128]int64 }
		limit = 1<<20 + 300*len(p)
		if got := alloctest.Bytes(limit, func() { big = nil; err = in.Decode(0, &big) }); err == nil && name == "nils" || got > limit {
			t.Errorf("%s into large structs: %d bytes for %d received (%v)", name, got, len(p), err)
		}
		in.Release()
	}
}

// TestMsgpackClone checks that a clone and what was decoded outlive the packet.
func TestMsgpackClone(t *testing.T) {
	leakCheck(t)
	in, err := receive(nil, mpMapOf("type", 2, "nsp", "/room", "id", 5, "data", array("say", "hello", []byte("bytes"), map[string]any{"k": "v"})))
	if err != nil {
		t.Fatal(err)
	}
	var v [3]any
	for i := range v {
		if err := in.Decode(i, &v[i]); err != nil {
			t.Fatal(err)
		}
	}
	c := in.Clone()
	if n := in.Size(); n < 40 || n > 1000 {
		t.Errorf("size %d", n)
	}
	in.buf.B = in.buf.B[:cap(in.buf.B)]
	for i := range in.buf.B {
		in.buf.B[i] = 0xc1
	}
	in.Release()
	if got := renderMsgpack(c); got != `EVENT /room id=5 "say" ["hello","Ynl0ZXM=",{"k":"v"}]` {
		t.Error(got)
	}
	if v[0] != "hello" || !bytes.Equal(v[1].([]byte), []byte("bytes")) || v[2].(map[string]any)["k"] != "v" {
		t.Errorf("decoded values have changed: %v", v)
	}
}
