package codec

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/epio-go/epio/pool"
)

var frameSizes = []int{64, 1 << 10, 16 << 10, 64 << 10}

// BenchmarkFrame builds frames of messages; base64 is what a connection with b64=1
// gets instead of binary.
func BenchmarkFrame(b *testing.B) {
	for _, n := range frameSizes {
		data := bytes.Repeat([]byte("x"), n)
		binary := NewBinaryFrame(data)
		for _, bc := range []struct {
			kind string
			f    func() *pool.Frame
		}{
			{"text", func() *pool.Frame { return NewTextFrame(Message, data) }},
			{"binary", func() *pool.Frame { return NewBinaryFrame(data) }},
			{"base64", func() *pool.Frame { return NewFrameIn(FormBase64, binary.Bytes()) }},
		} {
			b.Run(fmt.Sprintf("kind=%s/bytes=%d", bc.kind, n), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					f := bc.f()
					if payload, _, rest := NextPart(f.Bytes()); len(payload) < n || len(rest) != 0 {
						b.Fatalf("a payload of %d bytes", len(payload))
					}
					f.Release()
				}
			})
		}
		binary.Release()
	}
}

// BenchmarkAppendPayload joins frames to the answer of a poll.
func BenchmarkAppendPayload(b *testing.B) {
	join := func(b *testing.B, packets int, f *pool.Frame) {
		want := packets*(PayloadLen(f.Bytes())+1) - 1
		dst := make([]byte, 0, want)
		b.SetBytes(int64(want))
		b.ReportAllocs()
		for b.Loop() {
			dst = dst[:0]
			for range packets {
				dst = AppendPayload(dst, f.Bytes())
			}
			if len(dst) != want {
				b.Fatalf("a payload of %d bytes, want %d", len(dst), want)
			}
		}
		f.Release()
	}
	for _, n := range frameSizes {
		data := bytes.Repeat([]byte("x"), n)
		b.Run(fmt.Sprintf("kind=text/packets=1/bytes=%d", n), func(b *testing.B) { join(b, 1, NewTextFrame(Message, data)) })
		b.Run(fmt.Sprintf("kind=binary/packets=1/bytes=%d", n), func(b *testing.B) { join(b, 1, NewBinaryFrame(data)) })
	}
	b.Run("kind=text/packets=1000/bytes=64", func(b *testing.B) { join(b, 1000, NewTextFrame(Message, make([]byte, 64))) })
}

// BenchmarkPayloadReader splits the body of a POST.
func BenchmarkPayloadReader(b *testing.B) {
	text := func(n int) string { return "4" + strings.Repeat("x", n) }
	binary := func(n int) string { return "b" + strings.Repeat("AAAA", n/4) }
	const sep = "\x1e"
	for _, bc := range []struct {
		name, body string
		packets    int
		bad        bool // the last packet is refused
	}{
		{"kind=text/packets=1/bytes=64", text(64), 1, false},
		{"kind=text/packets=1/bytes=16384", text(16 << 10), 1, false},
		{"kind=text/packets=1000/bytes=64", strings.Repeat(text(64)+sep, 999) + text(64), 1000, false},
		{"kind=smallest/packets=32768", strings.Repeat("4"+sep, 32767) + "4", 32768, false},
		{"kind=base64/packets=1/bytes=64", binary(64), 1, false},
		{"kind=base64/packets=1/bytes=16384", binary(16 << 10), 1, false},
		{"kind=base64/packets=1000/bytes=64", strings.Repeat(binary(64)+sep, 999) + binary(64), 1000, false},
		{"kind=base64Garbage/packets=1/bytes=16384", "b" + strings.Repeat("A*-\n", 4<<10), 1, false},
		{"kind=invalidUTF8/packets=1/bytes=16384", "4" + strings.Repeat("x\xff", 8<<10), 1, false},
		{"kind=separators/packets=1/bytes=16384", "4" + strings.Repeat(sep, 16<<10), 1, true},
		{"kind=refused/packets=1000/bytes=64", strings.Repeat(text(64)+sep, 1000) + "x", 1000, true},
	} {
		b.Run(bc.name, func(b *testing.B) {
			body := []byte(bc.body)
			scratch := slices.Clone(body)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				copy(scratch, body) // reading decodes in place
				r := NewPayloadReader(scratch)
				packets := 0
				_, err := r.Next()
				for ; err == nil; _, err = r.Next() {
					packets++
				}
				if packets != bc.packets || (err != io.EOF) != bc.bad {
					b.Fatalf("%d packets, %v", packets, err)
				}
			}
		})
	}
}
