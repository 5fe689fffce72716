package codec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// feed gives messages to a new decoder, those that begin with "\x00" as binary
// (without that byte), and returns the last result.
func feed(l *Limits, messages ...string) (*In, error) {
	d := JSON.NewDecoder(l)
	defer d.Close()
	var in *In
	var err error
	for _, m := range messages {
		if in != nil {
			in.Release()
		}
		if data, ok := strings.CutPrefix(m, "\x00"); ok {
			in, err = d.Binary([]byte(data))
		} else {
			in, err = d.Text([]byte(m))
		}
		if err != nil {
			return nil, err
		}
	}
	return in, nil
}

// describe renders a packet on one line.
func describe(in *In) string {
	if in == nil {
		return "incomplete"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", in.Type, in.Namespace)
	if in.HasID {
		fmt.Fprintf(&b, " id=%d", in.ID)
	}
	switch {
	case !in.HasPayload:
		b.WriteString(" -")
	case in.Type == Event:
		fmt.Fprintf(&b, " %q", in.Event())
	case in.Type != Ack:
		fmt.Fprintf(&b, " data=%s", in.Data())
	}
	for i := range in.Len() {
		fmt.Fprintf(&b, " %s", in.Raw(i))
	}
	for i := range in.Attachments() {
		fmt.Fprintf(&b, " +%x", in.Attachment(i))
	}
	return b.String()
}

// Every form a client may send, including the odd ones that the reference
// accepts. Sources: the protocol document's examples and behaviour observed on
// socket.io-parser 4.2.7.
func TestDecode(t *testing.T) {
	leakCheck(t)
	const ph0, ph1 = `{"_placeholder":true,"num":0}`, `{"_placeholder":true,"num":1}`
	for _, tc := range []struct {
		name     string
		messages []string
		want     string
	}{
		{"connect", []string{`0`}, `CONNECT / -`},
		{"connect auth", []string{`0{"token":"123"}`}, `CONNECT / data={"token":"123"}`},
		{"connect namespace", []string{`0/admin,`}, `CONNECT /admin -`},
		{"connect namespace without comma", []string{`0/admin`}, `CONNECT /admin -`},
		{"connect namespace auth", []string{`0/admin,{"a":1}`}, `CONNECT /admin data={"a":1}`},
		{"connect with id", []string{`012`}, `CONNECT / id=12 -`},
		{"query belongs to the name", []string{`0/x?a=1,`}, `CONNECT /x?a=1 -`},
		{"disconnect", []string{`1`}, `DISCONNECT / -`},
		{"disconnect namespace", []string{`1/admin,`}, `DISCONNECT /admin -`},
		{"event", []string{`2["foo"]`}, `EVENT / "foo"`},
		{"event arguments", []string{`2["foo",1,"b",{"c":[2]},null]`}, `EVENT / "foo" 1 "b" {"c":[2]} null`},
		{"event namespace", []string{`2/admin,["bar"]`}, `EVENT /admin "bar"`},
		{"event explicit root", []string{`2/,["bar"]`}, `EVENT / "bar"`},
		{"event id", []string{`212["foo"]`}, `EVENT / id=12 "foo"`},
		{"event namespace id", []string{`2/admin,456["project:delete",123]`}, `EVENT /admin id=456 "project:delete" 123`},
		{"id with leading zeros", []string{`2007["foo"]`}, `EVENT / id=7 "foo"`},
		{"id above 2^53", []string{`29007199254740993["foo"]`}, `EVENT / id=9007199254740993 "foo"`},
		{"largest id", []string{`218446744073709551615["foo"]`}, `EVENT / id=18446744073709551615 "foo"`},
		{"numeric name", []string{`2[1]`}, `EVENT / "1"`},
		{"numeric name, other spelling", []string{`2[1e3,2]`}, `EVENT / "1000" 2`},
		{"empty name", []string{`2[""]`}, `EVENT / ""`},
		{"escaped name", []string{`2["\u0061\n\ud83d\ude00",1]`}, `EVENT / "a\n😀" 1`},
		{"event without payload", []string{`2`}, `EVENT / -`},
		{"event without payload, namespace", []string{`2/admin,`}, `EVENT /admin -`},
		{"event named error", []string{`2["error","x"]`}, `EVENT / "error" "x"`},
		{"event named connection", []string{`2["connection"]`}, `EVENT / "connection"`},
		{"whitespace", []string{"2[ \"foo\" ,\t1 ] "}, `EVENT / "foo" 1`},
		{"ill-formed text", []string{"2[\"foo\",\"\xff\"]"}, "EVENT / \"foo\" \"\ufffd\""},
		{"ill-formed name", []string{"2[\"\\n\xff\xfe\"]"}, `EVENT / "\n��"`},
		{"ack", []string{`312["bar"]`}, `ACK / id=12 "bar"`},
		{"empty ack", []string{`3/admin,456[]`}, `ACK /admin id=456`},
		{"ack without payload", []string{`312`}, `ACK / id=12 -`},
		{"ack without id", []string{`3["a"]`}, `ACK / "a"`},
		{"ack with neither", []string{`3`}, `ACK / -`},
		{"reserved name as ack value", []string{`31["connect"]`}, `ACK / id=1 "connect"`},
		{"binary event incomplete", []string{`51-["e",` + ph0 + `]`}, `incomplete`},
		{"binary event", []string{`51-["e",` + ph0 + `]`, "\x00\x01\x02"}, `EVENT / "e" ` + ph0 + ` +0102`},
		{"binary event, empty attachment", []string{`51-["e",` + ph0 + `]`, "\x00"}, `EVENT / "e" ` + ph0 + ` +`},
		{"binary event namespace id", []string{`52-/admin,7["e",` + ph0 + `,[` + ph1 + `]]`, "\x00a", "\x00b"}, `EVENT /admin id=7 "e" ` + ph0 + ` [` + ph1 + `] +61 +62`},
		{"binary ack", []string{`61-12[` + ph0 + `]`, "\x00a"}, `ACK / id=12 ` + ph0 + ` +61`},
		{"binary without payload", []string{`51-`, "\x00a"}, `EVENT / - +61`},
		{"count with leading zero", []string{`501-["e",` + ph0 + `]`, "\x00a"}, `EVENT / "e" ` + ph0 + ` +61`},
		{"same attachment twice", []string{`51-["e",` + ph0 + `,` + ph0 + `]`, "\x00a"}, `EVENT / "e" ` + ph0 + ` ` + ph0 + ` +61`},
		{"attachment nobody refers to", []string{`52-["e",` + ph0 + `]`, "\x00a", "\x00b"}, `EVENT / "e" ` + ph0 + ` +61 +62`},
		{"placeholder in a plain event", []string{`2["e",{"_placeholder":true,"num":7}]`}, `EVENT / "e" {"_placeholder":true,"num":7}`},
		{"no placeholder unless true", []string{`51-["e",{"_placeholder":1,"num":7},{"_placeholder":false}]`, "\x00a"}, `EVENT / "e" {"_placeholder":1,"num":7} {"_placeholder":false} +61`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in, err := feed(nil, tc.messages...)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(in); got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
			if in != nil {
				c := in.Clone()
				in.Release()
				if got := describe(c); got != tc.want {
					t.Errorf("clone:\n got %s\nwant %s", got, tc.want)
				}
				c.Release()
				if got := describe(c); got != tc.want {
					t.Errorf("a clone needs no release and ignores it: %s", got)
				}
			}
		})
	}
}

// Every input for which the server has to close the connection.
func TestDecodeRefuses(t *testing.T) {
	leakCheck(t)
	const ph0 = `{"_placeholder":true,"num":0}`
	for _, tc := range []struct {
		name     string
		messages []string
		want     error
	}{
		{"empty", []string{``}, ErrType},
		{"unknown digit", []string{`7`}, ErrType},
		{"unknown digit 9", []string{`9["a"]`}, ErrType},
		{"non-digit", []string{`a`}, ErrType},
		{"space", []string{` `}, ErrType},
		{"connect array", []string{`0["a"]`}, ErrPayload},
		{"connect string", []string{`0"a"`}, ErrPayload},
		{"connect null", []string{`0null`}, ErrPayload},
		{"connect false", []string{`0false`}, ErrPayload},
		{"connect bad JSON", []string{`0{"a"`}, ErrPayload},
		{"connect trailing garbage", []string{`0{}x`}, ErrPayload},
		{"connect error from a client", []string{`4{"message":"x"}`}, ErrConnectError},
		{"disconnect with payload", []string{`1{}`}, ErrPayload},
		{"disconnect with array", []string{`1/admin,[]`}, ErrPayload},
		{"event object", []string{`2{}`}, ErrPayload},
		{"event empty array", []string{`2[]`}, ErrPayload},
		{"event null name", []string{`2[null]`}, ErrPayload},
		{"event true name", []string{`2[true]`}, ErrPayload},
		{"event object name", []string{`2[{}]`}, ErrPayload},
		{"event array name", []string{`2[["a"]]`}, ErrPayload},
		{"event string", []string{`2"a"`}, ErrPayload},
		{"event bad JSON", []string{`2["a",`}, ErrPayload},
		{"event bad literal", []string{`2["a",nul]`}, ErrPayload},
		{"event unfinished key", []string{`2["a",{"b`}, ErrPayload},
		{"event unfinished escape", []string{`2["a","b\`}, ErrPayload},
		{"event control character", []string{"2[\"a\n\"]"}, ErrPayload},
		{"event trailing garbage", []string{`2["a"]x`}, ErrPayload},
		{"event trailing comma", []string{`2["a",]`}, ErrPayload},
		{"letters as id", []string{`2abc["a"]`}, ErrPayload},
		{"negative id", []string{`2-1["a"]`}, ErrPayload},
		{"fractional id", []string{`21.5["a"]`}, ErrPayload},
		{"id out of range", []string{`218446744073709551616["a"]`}, ErrID},
		{"endless id", []string{`2` + strings.Repeat("9", 1000) + `["a"]`}, ErrID},
		{"reserved connect", []string{`2["connect"]`}, ErrReservedName},
		{"reserved connect_error", []string{`2["connect_error"]`}, ErrReservedName},
		{"reserved disconnect", []string{`2["disconnect"]`}, ErrReservedName},
		{"reserved disconnecting", []string{`2["disconnecting"]`}, ErrReservedName},
		{"reserved newListener", []string{`2["newListener"]`}, ErrReservedName},
		{"reserved removeListener", []string{`2["removeListener"]`}, ErrReservedName},
		{"reserved name, escaped", []string{`2["conn\u0065ct"]`}, ErrReservedName},
		{"reserved name, binary", []string{`51-["connect",` + ph0 + `]`}, ErrReservedName},
		{"ack object", []string{`31{}`}, ErrPayload},
		{"ack string", []string{`31"a"`}, ErrPayload},
		{"no count", []string{`5["a"]`}, ErrIllegalAttachments},
		{"no count but dash", []string{`5-["a"]`}, ErrIllegalAttachments},
		{"no dash", []string{`51["a"]`}, ErrIllegalAttachments},
		{"no dash, end", []string{`51`}, ErrIllegalAttachments},
		{"nothing", []string{`5`}, ErrIllegalAttachments},
		{"zero attachments", []string{`50-["a"]`}, ErrIllegalAttachments},
		{"zero attachments of an ack", []string{`60-1["a"]`}, ErrIllegalAttachments},
		{"negative count", []string{`5-1-["a"]`}, ErrIllegalAttachments},
		{"fractional count", []string{`51.5-["a"]`}, ErrIllegalAttachments},
		{"eleven attachments", []string{`511-["a"]`}, ErrTooManyAttachments},
		{"endless count", []string{`5` + strings.Repeat("9", 1000) + `-["a"]`}, ErrTooManyAttachments},
		{"text while attachments are outstanding", []string{`51-["a",` + ph0 + `]`, `2["b"]`}, ErrUnexpectedText},
		{"text after the first of two", []string{`52-["a",` + ph0 + `]`, "\x00x", `2["b"]`}, ErrUnexpectedText},
		{"binary with none expected", []string{"\x00x"}, ErrUnexpectedBinary},
		{"one binary too many", []string{`51-["a",` + ph0 + `]`, "\x00x", "\x00y"}, ErrUnexpectedBinary},
		{"too deep", []string{`2["a",` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + `]`}, ErrDepth},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in, err := feed(nil, tc.messages...)
			if !errors.Is(err, tc.want) {
				t.Errorf("%s, %v, want %v", describe(in), err, tc.want)
			}
			if _, ok := errors.AsType[*ProtocolError](err); !ok {
				t.Errorf("%T is not of the family of protocol errors", err)
			}
		})
	}
}

// A placeholder that refers to nothing is reported when the last attachment has
// arrived, as the reference does.
func TestDecodeIllegalPlaceholders(t *testing.T) {
	leakCheck(t)
	for _, ph := range []string{
		`{"_placeholder":true,"num":1}`, `{"_placeholder":true,"num":-1}`, `{"_placeholder":true,"num":0.5}`,
		`{"_placeholder":true,"num":1e9}`, `{"_placeholder":true,"num":1e999}`,
		`{"_placeholder":true,"num":"0"}`, `{"_placeholder":true,"num":null}`, `{"_placeholder":true}`,
		`{"_placeholder":true,"num":{"_placeholder":true,"num":0}}`,
		`[{"x":{"_placeholder":true,"num":"splice"}}]`,
		`{"_placeholder":false,"num":9,"_placeholder":true}`,
		`{"\u005fplaceholder":true,"n\u0075m":9}`,
	} {
		d := JSON.NewDecoder(nil)
		in, err := d.Text([]byte(`51-["e",` + ph + `]`))
		if in != nil || err != nil {
			t.Errorf("%s: reported before its attachment arrived: %v", ph, err)
		}
		if in, err = d.Binary([]byte("x")); in != nil || !errors.Is(err, ErrIllegalAttachments) {
			t.Errorf("%s: %v, want ErrIllegalAttachments", ph, err)
		}
		if d.Outstanding() != 0 {
			t.Errorf("%s: still waiting for %d", ph, d.Outstanding())
		}
	}
	for _, ph := range []string{
		`{"_placeholder":true,"num":0}`, `{"num":0,"_placeholder":true}`, `{"num":9,"_placeholder":true,"x":[1],"num":0}`,
		`{"_placeholder":true,"num":0.0}`, `{"_placeholder":true,"num":-0}`, `{"_placeholder":true,"num":0e5}`,
		`{"_placeholder":true,"num":9,"_placeholder":0}`,
		`{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":9}}`,
		`{"\u005fplaceholder":true,"n\u0075m":0}`,
		`{"` + strings.Repeat(`\u0061`, 50) + `":true,"num":9}`,
	} {
		in, err := feed(nil, `51-["e",`+ph+`]`, "\x00x")
		if err != nil {
			t.Errorf("%s: %v", ph, err)
			continue
		}
		in.Release()
	}
}

func TestDecodeAttachmentLimits(t *testing.T) {
	leakCheck(t)
	const ph0, ph1 = `{"_placeholder":true,"num":0}`, `{"_placeholder":true,"num":1}`
	l := &Limits{MaxAttachments: 2, MaxAttachmentBytes: 10}
	for _, tc := range []struct {
		name     string
		messages []string
		want     error
	}{
		{"count", []string{`52-["e"]`, "\x00", "\x00"}, nil},
		{"count exceeded", []string{`53-["e"]`}, ErrTooManyAttachments},
		{"bytes", []string{`52-["e",` + ph0 + `,` + ph1 + `]`, "\x0012345", "\x0012345"}, nil},
		{"bytes exceeded by one", []string{`51-["e",` + ph0 + `]`, "\x0012345678901"}, ErrAttachmentBytes},
		{"bytes exceeded together", []string{`52-["e",` + ph0 + `,` + ph1 + `]`, "\x0012345", "\x00123456"}, ErrAttachmentBytes},
		{"bytes of an unreferred one", []string{`52-["e"]`, "\x0012345", "\x00123456"}, ErrAttachmentBytes},
		{"bytes of an illegal packet", []string{`52-["e",{"_placeholder":true}]`, "\x0012345", "\x00123456"}, ErrAttachmentBytes},
		{"repeated in one argument", []string{`51-["e",[` + ph0 + `,` + ph0 + `,` + ph0 + `]]`, "\x0012345"}, nil},
		{"repeated in two arguments", []string{`51-["e",` + ph0 + `,` + ph0 + `]`, "\x0012345"}, nil},
		{"repeated in three arguments", []string{`51-["e",` + ph0 + `,` + ph0 + `,` + ph0 + `]`, "\x0012345"}, ErrAttachmentBytes},
	} {
		in, err := feed(l, tc.messages...)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if in != nil {
			in.Release()
		}
	}
}

func TestDecoderCounts(t *testing.T) {
	leakCheck(t)
	d := JSON.NewDecoder(nil)
	if d.Outstanding() != 0 || d.Held() != 0 {
		t.Errorf("idle: %d outstanding, %d bytes", d.Outstanding(), d.Held())
	}
	if _, err := d.Text([]byte(`52-["e",{"_placeholder":true,"num":0}]`)); err != nil {
		t.Fatal(err)
	}
	if d.Outstanding() != 2 || d.Held() < 38 {
		t.Errorf("begun: %d outstanding, %d bytes", d.Outstanding(), d.Held())
	}
	if _, err := d.Binary(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if d.Outstanding() != 1 || d.Held() < 1038 {
		t.Errorf("half: %d outstanding, %d bytes", d.Outstanding(), d.Held())
	}
	d.Close()
	d.Close()
	if d.Outstanding() != 0 || d.Held() != 0 {
		t.Errorf("closed: %d outstanding, %d bytes", d.Outstanding(), d.Held())
	}
}

func TestDecodeAsClient(t *testing.T) {
	l := &Limits{Client: true}
	in, err := feed(l, `4/admin,{"message":"Not authorized"}`)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release()
	if got, want := describe(in), `CONNECT_ERROR /admin data={"message":"Not authorized"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if in2, err := feed(l, `4"denied"`); err != nil {
		t.Error(err)
	} else {
		in2.Release()
	}
	if _, err := feed(l, `4[]`); !errors.Is(err, ErrPayload) {
		t.Errorf("array: %v, want ErrPayload", err)
	}
}

// The decoder borrows: what happens to its input afterwards does not matter.
func TestDecodeCopiesItsInput(t *testing.T) {
	d := JSON.NewDecoder(nil)
	text := []byte(`51-/a,["e",{"_placeholder":true,"num":0},"s"]`)
	if _, err := d.Text(text); err != nil {
		t.Fatal(err)
	}
	clear(text)
	data := []byte("abc")
	in, err := d.Binary(data)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release()
	clear(data)
	if got, want := describe(in), `EVENT /a "e" {"_placeholder":true,"num":0} "s" +616263`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzJSONDecoder(f *testing.F) {
	for _, s := range []string{`0{"token":"1"}`, `1/a,`, `2/a,12["e",1,{"b":[null]}]`, `31[]`, `52-["e",{"_placeholder":true,"num":1}]`, `61-7[{"_placeholder":true,"num":0}]`, `2["\ud83d\n"]`} {
		f.Add([]byte(s), []byte("a"), []byte("bc"))
	}
	args := []any{"s", 1.5, map[string]any{"b": []byte{1, 2}}, []byte("x")}
	if frame, err := JSON.EncodeEvent("/chat", 3, "event", args); err == nil {
		text, _, rest := NextPart(frame.Bytes())
		one, _, rest := NextPart(rest)
		two, _, _ := NextPart(rest)
		f.Add(text[1:], one, two)
	}
	f.Fuzz(func(t *testing.T, text, one, two []byte) {
		d := JSON.NewDecoder(&Limits{MaxAttachmentBytes: 1000})
		defer d.Close()
		in, err := d.Text(text)
		for _, data := range [][]byte{one, two} {
			if in == nil && err == nil {
				in, err = d.Binary(data)
			}
		}
		if in == nil {
			return
		}
		defer in.Release()
		if in.Size() > 16*(len(text)+len(one)+len(two))+4096 {
			t.Fatalf("%d bytes held for %d", in.Size(), len(text)+len(one)+len(two))
		}
		_ = describe(in)
		for i := range in.Len() {
			var v any
			if err := in.Decode(i, &v); err != nil && !bytes.ContainsAny(in.Raw(i), "eE0123456789") {
				t.Fatalf("argument %d, %s: %v", i, in.Raw(i), err) // but numbers may be out of range
			}
			_ = in.Decode(i, new([]byte))
			_ = in.Decode(i, new(string))
			_ = in.Decode(i, new(struct {
				A []byte
				B any
				C map[string][]byte
			}))
		}
		var data map[string]any
		_ = in.DecodeData(&data)
	})
}
