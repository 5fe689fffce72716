package codec

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// nestedText returns JSON arrays nested to the given depth.
func nestedText(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// placeholders returns the arguments that stand for n attachments.
func placeholders(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("," + ph(i))
	}
	return b.String()
}

func BenchmarkEncodeEvent(b *testing.B) {
	var nested any = []any{}
	for range DefaultMaxDepth - 2 { // the array of arguments is a level, too
		nested = []any{nested}
	}
	var attachments, numbers []any
	for i := range DefaultMaxAttachments {
		attachments = append(attachments, make([]byte, 1024))
		numbers = append(numbers, i)
	}
	for range 1000 {
		numbers = append(numbers, 1)
	}
	for _, bc := range []struct {
		name string
		args []any
	}{
		{"args=none", nil},
		{"args=string/bytes=64", []any{strings.Repeat("x", 64)}},
		{"args=string/bytes=16384", []any{strings.Repeat("x", 16<<10)}},
		{"args=unicode/bytes=16384", []any{strings.Repeat("😀", 4<<10)}},
		{"args=escapes/bytes=16384", []any{strings.Repeat("\n\"", 8<<10)}},
		{"args=lineSeparators/bytes=16384", []any{strings.Repeat("\u2028x", 4<<10)}},
		{"args=invalidUTF8/bytes=16384", []any{strings.Repeat("x\xff", 8<<10)}},
		{"args=struct", []any{&say{"lobby", "hello there", 7}}},
		{"args=map", []any{map[string]any{"room": "lobby", "text": "hello there", "n": 7}}},
		{fmt.Sprintf("args=nested/depth=%d", DefaultMaxDepth), []any{nested}},
		{fmt.Sprintf("args=numbers/count=%d", len(numbers)), numbers},
		{"args=binary/bytes=1024", []any{make([]byte, 1024)}},
		{"args=binary/bytes=65536", []any{make([]byte, 64<<10)}},
		{"args=nestedBinary/bytes=1024", []any{&fileInfo{"n", make([]byte, 1024)}}},
		{fmt.Sprintf("args=attachments/count=%d", len(attachments)), attachments},
	} {
		b.Run(bc.name, func(b *testing.B) {
			want := wireLen(b, bc.args)
			b.SetBytes(int64(want))
			b.ReportAllocs()
			for b.Loop() {
				f, err := JSON.EncodeEvent("/", -1, "say", bc.args)
				if err != nil || f.Len() != want {
					b.Fatal(err)
				}
				f.Release()
			}
		})
	}
}

// wireLen returns the size of an event on the wire, which a decoder must accept.
func wireLen(b *testing.B, args []any) int {
	b.Helper()
	f, err := JSON.EncodeEvent("/", -1, "say", args)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Release()
	var in *In
	d := JSON.NewDecoder(nil)
	for isBinary, data := range Parts(f.Bytes()) {
		if isBinary {
			in, err = d.Binary(data)
		} else {
			in, err = d.Text(data[1:])
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if in == nil || in.Len() != len(args) {
		b.Fatalf("%d arguments became %v", len(args), in)
	}
	in.Release()
	return f.Len()
}

// A value that cannot be sent costs no more than the walk to the place that shows it.
func BenchmarkEncodeRefused(b *testing.B) {
	type cyclic struct {
		Next *cyclic
		Data []byte
	}
	loop := &cyclic{Data: []byte("x")}
	loop.Next = loop
	args := []any{loop}
	b.Run("args=cycle", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := JSON.EncodeEvent("/", -1, "say", args); !errors.Is(err, ErrValueTooDeep) {
				b.Fatal(err)
			}
		}
	})
	b.Run("args=reserved", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := JSON.EncodeEvent("/", -1, "connect", nil); !errors.Is(err, ErrReservedEvent) {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncodeAck(b *testing.B) {
	args := []any{&say{"lobby", "hello there", 7}}
	const want = len("\x81\x00" + `4312[{"room":"lobby","text":"hello there","n":7}]`)
	b.ReportAllocs()
	for b.Loop() {
		f, err := JSON.EncodeAck("/", 12, args)
		if err != nil || f.Len() != want {
			b.Fatal(f, err)
		}
		f.Release()
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, bc := range []struct {
		name, packet string
		args         int
	}{
		{"packet=string/bytes=64", `2["say","` + strings.Repeat("x", 64) + `"]`, 1},
		{"packet=string/bytes=16384", `2["say","` + strings.Repeat("x", 16<<10) + `"]`, 1},
		{"packet=struct", `2/chat,12["say",{"room":"lobby","text":"hello there","n":7}]`, 1},
		{"packet=unicode", `2["say","` + strings.Repeat("😀", 4<<10) + `"]`, 1},
		{"packet=escapes", `2["say","` + strings.Repeat(`\n`, 8<<10) + `"]`, 1},
		{"packet=unicodeEscapes", `2["say","` + strings.Repeat(`\ud83d\ude00`, 1<<10) + `"]`, 1},
		{"packet=escapedName", `2["` + strings.Repeat(`\u0073`, 1<<10) + `"]`, 0},
		{"packet=invalidUTF8", `2["say","` + strings.Repeat("x\xff", 8<<10) + `"]`, 1},
		{"packet=manyArgs", `2["say"` + strings.Repeat(",1", 8<<10) + `]`, 8 << 10},
		{"packet=nested", `2["say",` + nestedText(DefaultMaxDepth-1) + `]`, 1},
		{"packet=nestedMany", `2["say"` + strings.Repeat(","+nestedText(DefaultMaxDepth-1), 64) + `]`, 64},
		{"packet=longNumber", `2["say",` + strings.Repeat("1", 16<<10) + `]`, 1},
		{"packet=manyKeys", `2["say",{` + strings.Repeat(`"a":1,`, 2<<10) + `"a":1}]`, 1},
		{"packet=spaces", `2["say"` + strings.Repeat(" ", 16<<10) + `]`, 0},
	} {
		b.Run(bc.name, func(b *testing.B) {
			d := JSON.NewDecoder(nil)
			p := []byte(bc.packet)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				in, err := d.Text(p)
				if err != nil || in.Len() != bc.args {
					b.Fatal(err)
				}
				in.Release()
			}
		})
	}
}

// Packets with attachments, the attachments included.
func BenchmarkDecodeBinary(b *testing.B) {
	// Almost placeholders: the scanner has to look at each to the end.
	const lookalikes = `,{"_placeholder":false,"num":0},{"_placeholder":1,"num":0},{"num":0,"_placeholde":true}`
	for _, bc := range []struct {
		name, packet      string
		attachments, args int
	}{
		{"packet=one", `51-["say",` + ph(0) + `]`, 1, 1},
		{"packet=many", fmt.Sprintf(`5%d-["say"%s]`, DefaultMaxAttachments, placeholders(DefaultMaxAttachments)), DefaultMaxAttachments, DefaultMaxAttachments},
		{"packet=repeated", `51-["say",[` + ph(0) + strings.Repeat(","+ph(0), 500) + `]]`, 1, 1},
		{"packet=repeatedArgs", `51-["say"` + strings.Repeat(","+ph(0), 500) + `]`, 1, 500},
		{"packet=lookalikes", `51-["say",` + ph(0) + strings.Repeat(lookalikes, 500) + `]`, 1, 1501},
	} {
		b.Run(bc.name, func(b *testing.B) {
			d := JSON.NewDecoder(nil)
			p, data := []byte(bc.packet), make([]byte, 1024)
			b.SetBytes(int64(len(p) + bc.attachments*len(data)))
			b.ReportAllocs()
			for b.Loop() {
				in, err := d.Text(p)
				for range bc.attachments {
					if in != nil || err != nil {
						b.Fatal(in, err)
					}
					in, err = d.Binary(data)
				}
				if err != nil || in.Len() != bc.args || in.Attachments() != bc.attachments {
					b.Fatal(err)
				}
				in.Release()
			}
		})
	}
}

// What an attacker makes us look at before we refuse.
func BenchmarkDecodeRefused(b *testing.B) {
	for _, bc := range []struct {
		name, packet string
		want         error
	}{
		{"packet=tooDeep", `2["say",` + nestedText(16<<10) + `]`, ErrDepth},
		{"packet=unfinished", `2["say","` + strings.Repeat("x", 16<<10), ErrPayload},
		{"packet=badEscapeLast", `2["say","` + strings.Repeat(`\n`, 8<<10) + `\x"]`, ErrPayload},
		{"packet=tooManyAttachments", `59999-["say"]`, ErrTooManyAttachments},
		{"packet=longCount", `5` + strings.Repeat("9", 16<<10) + `-["say"]`, ErrTooManyAttachments},
		{"packet=longID", `2` + strings.Repeat("9", 16<<10) + `["say"]`, ErrID},
		{"packet=reservedName", `2["\u0063onnect"]`, ErrReservedName},
	} {
		b.Run(bc.name, func(b *testing.B) {
			d := JSON.NewDecoder(nil)
			p := []byte(bc.packet)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Text(p); !errors.Is(err, bc.want) {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeArgument(b *testing.B) {
	d := JSON.NewDecoder(nil)
	in, err := d.Text([]byte(`51-["say",{"room":"lobby","text":"hello there","n":7},"` + strings.Repeat("x", 64) + `","` +
		strings.Repeat(`\ud83d\ude00`, 1<<10) + `",` + nestedText(DefaultMaxDepth-1) + `,{"name":"n","data":` + ph(0) + `}]`))
	if in != nil || err != nil {
		b.Fatal(in, err)
	}
	if in, err = d.Binary(make([]byte, 1024)); err != nil {
		b.Fatal(err)
	}
	defer in.Release()
	for _, bc := range []struct {
		name string
		arg  int
		into func() any
		ok   func(v any) bool
	}{
		{"into=struct", 0, func() any { return new(say) }, func(v any) bool { return v.(*say).N == 7 }},
		{"into=any", 0, func() any { return new(any) }, func(v any) bool { return len((*v.(*any)).(map[string]any)) == 3 }},
		{"into=string", 1, func() any { return new(string) }, func(v any) bool { return len(*v.(*string)) == 64 }},
		{"into=escapedString", 2, func() any { return new(string) }, func(v any) bool { return len(*v.(*string)) == 4<<10 }},
		{"into=nestedAny", 3, func() any { return new(any) }, func(v any) bool { return len((*v.(*any)).([]any)) == 1 }},
		{"into=binaryStruct", 4, func() any { return new(fileInfo) }, func(v any) bool { return len(v.(*fileInfo).Data) == 1024 }},
		{"into=binaryAny", 4, func() any { return new(any) }, func(v any) bool {
			return len((*v.(*any)).(map[string]any)["data"].([]byte)) == 1024
		}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v := bc.into()
				if err := in.Decode(bc.arg, v); err != nil || !bc.ok(v) {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("into=wrongType", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var n int
			if _, ok := errors.AsType[*DecodeError](in.Decode(0, &n)); !ok {
				b.Fatal("an object became a number")
			}
		}
	})
}
