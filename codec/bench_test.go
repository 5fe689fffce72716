package codec

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkEncodeEvent(b *testing.B) {
	for _, bc := range []struct {
		name string
		args []any
	}{
		{"args=string64", []any{strings.Repeat("x", 64)}},
		{"args=struct", []any{&say{"lobby", "hello there", 7}}},
		{"args=map", []any{map[string]any{"room": "lobby", "text": "hello there", "n": 7}}},
		{"args=string16k", []any{strings.Repeat("x", 16<<10)}},
		{"args=binary1k", []any{make([]byte, 1024)}},
		{"args=nestedBinary1k", []any{&fileInfo{"n", make([]byte, 1024)}}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f, err := JSON.EncodeEvent("/", -1, "say", bc.args)
				if err != nil {
					b.Fatal(err)
				}
				f.Release()
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, bc := range []struct{ name, packet string }{
		{"packet=string64", `2["say","` + strings.Repeat("x", 64) + `"]`},
		{"packet=struct", `2/chat,12["say",{"room":"lobby","text":"hello there","n":7}]`},
		{"packet=string16k", `2["say","` + strings.Repeat("x", 16<<10) + `"]`},
		{"packet=manyArgs", `2["say"` + strings.Repeat(",1", 8<<10) + `]`},
		{"packet=nested", `2["say",` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `]`},
		{"packet=escapes", `2["say","` + strings.Repeat(`\n`, 8<<10) + `"]`},
	} {
		b.Run(bc.name, func(b *testing.B) {
			d := JSON.NewDecoder(nil)
			p := []byte(bc.packet)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				in, err := d.Text(p)
				if err != nil {
					b.Fatal(err)
				}
				in.Release()
			}
		})
	}
}

func BenchmarkDecodeArgument(b *testing.B) {
	d := JSON.NewDecoder(nil)
	in, err := d.Text([]byte(`2["say",{"room":"lobby","text":"hello there","n":7},"` + strings.Repeat("x", 64) + `"]`))
	if err != nil {
		b.Fatal(err)
	}
	defer in.Release()
	for _, bc := range []struct {
		name string
		arg  int
		into func() any
	}{
		{"into=struct", 0, func() any { return new(say) }},
		{"into=any", 0, func() any { return new(any) }},
		{"into=string", 1, func() any { return new(string) }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := in.Decode(bc.arg, bc.into()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPayload(b *testing.B) {
	for _, n := range []int{64, 16 << 10} {
		f := NewBinaryFrame(make([]byte, n))
		body := AppendPayload(nil, f.Bytes())
		b.Run(fmt.Sprintf("op=write/bytes=%d", n), func(b *testing.B) {
			dst := make([]byte, 0, 2*n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendPayload(dst[:0], f.Bytes())
			}
		})
		b.Run(fmt.Sprintf("op=read/bytes=%d", n), func(b *testing.B) {
			scratch := make([]byte, len(body))
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				copy(scratch, body) // reading decodes in place
				r := NewPayloadReader(scratch)
				if p, err := r.Next(); err != nil || len(p.Data) != n {
					b.Fatal(err)
				}
			}
		})
	}
}
