package codec

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/internal/alloctest"
	"github.com/epio-go/epio/internal/invariants"
	"github.com/epio-go/epio/pool"
)

// reference compresses with the standard library. With final the last block is marked as
// such; at the end of a message a zero byte has to follow it, RFC 7692 section 7.2.3.4.
func reference(t testing.TB, data []byte, level int, final bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	if final {
		w.Close()
		return b.Bytes()
	}
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte(deflateTail))
}

// noise returns n bytes that do not become smaller.
func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	r.Read(b)
	return b
}

func TestInflate(t *testing.T) {
	long := bytes.Repeat([]byte("long distance "), 10_000)
	half := len(long) / 2
	tests := []struct {
		name string
		data []byte
		want string
	}{
		// The examples of RFC 7692 section 7.2.3.
		{"one block", []byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello"},
		{"stored", []byte("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "Hello"},
		{"final block", []byte("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "Hello"},
		{"two blocks", []byte("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "Hello"},
		{"empty", []byte("\x00"), ""},

		{"nothing at all", nil, ""},
		{"large", reference(t, long, 6, false), string(long)},
		{"large and final", concat(reference(t, long, 6, true), []byte{0}), string(long)},
		{"stored, large", reference(t, noise(100_000), 1, false), string(noise(100_000))},
		{"several final blocks", concat(
			reference(t, long[:half], 6, true), reference(t, long[half:], 6, true), reference(t, []byte("end"), 6, false),
		), string(long) + "end"},
		{"many final blocks", append(bytes.Repeat([]byte{0x03, 0x00}, maxFinalBlocks-1), 0), ""},
		// The second stream refers to what the first one held: the window goes on.
		{"window over a final block", concat(
			[]byte("\xf3\x48\xcd\xc9\xc9\x07\x00"), secondHello,
		), "HelloHello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			live := pool.Live()
			in := bytes.Clone(tt.data)
			b, err := Inflate(in, max(len(tt.want), 1))
			if err != nil {
				t.Fatal(err)
			}
			if string(b.B) != tt.want {
				t.Errorf("got %d bytes %.40q, want %d bytes %.40q", len(b.B), b.B, len(tt.want), tt.want)
			}
			b.Release()
			if !bytes.Equal(in, tt.data) {
				t.Error("the input was written to")
			}
			if len(tt.want) > 1 {
				if _, err := Inflate(tt.data, len(tt.want)-1); err != ErrInflatedSize {
					t.Errorf("one byte over the limit: got %v", err)
				}
			}
			if pool.Live() != live {
				t.Errorf("%d buffers leaked", pool.Live()-live)
			}
		})
	}
}

// secondHello is "Hello" as a reference to the message before, RFC 7692 section 7.2.3.2.
var secondHello = []byte("\xf2\x00\x11\x00\x00")

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestInflateInvalid(t *testing.T) {
	good := reference(t, []byte(strings.Repeat("some text, ", 100)), 6, false)
	tests := map[string][]byte{
		"refers to the last message": secondHello,
		"reserved block type":        {0x06},
		"wrong length of a block":    []byte("\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00"),
		"trailing garbage":           append(bytes.Clone(good), 0xff, 0xff),
		"too many final blocks":      append(bytes.Repeat([]byte{0x03, 0x00}, maxFinalBlocks), 0),
		"with the tail":              append(bytes.Clone(good), deflateTail...)[:len(good)+3],
	}
	for i := 1; i < len(good); i++ {
		tests[fmt.Sprintf("cut at %d", i)] = good[:i]
	}
	live := pool.Live()
	for name, data := range tests {
		if b, err := Inflate(data, 10_000); !errors.Is(err, ErrInflate) {
			t.Errorf("%s: got %v %q", name, err, b.B)
		}
	}
	if pool.Live() != live {
		t.Errorf("%d buffers leaked", pool.Live()-live)
	}
}

// A bomb of 64 MiB costs what its limit allows, not what it would become.
func TestInflateBomb(t *testing.T) {
	var z bytes.Buffer
	w, err := flate.NewWriter(&z, 6)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 64 {
		w.Write(zeros)
	}
	w.Flush()
	const limit = 1<<20 + 1000
	// A copy of the input, and buffers that double up to the limit: 1/4, 1/2, 1 MiB.
	const ceiling = 128<<10 + 2<<20 + limit
	n := alloctest.Bytes(ceiling, func() {
		if _, err := Inflate(z.Bytes(), limit); err != ErrInflatedSize {
			t.Fatalf("got %v", err)
		}
	})
	t.Logf("%d bytes of bomb allocated %d bytes", z.Len(), n)
	if n > ceiling {
		t.Errorf("more than %d bytes", ceiling)
	}
}

// wirePart is a frame of a compressed variant.
type wirePart struct {
	op       ws.OpCode
	deflated bool
	data     string
}

// readWire reads a frame as a client does.
func readWire(t *testing.T, f []byte) (parts []wirePart) {
	t.Helper()
	for r := bytes.NewReader(f); r.Len() > 0; {
		h, err := ws.ReadHeader(r)
		if err != nil || !h.Fin || h.Masked || h.Rsv&^4 != 0 {
			t.Fatalf("bad header %+v %v", h, err)
		}
		data := make([]byte, h.Length)
		if _, err := io.ReadFull(r, data); err != nil {
			t.Fatal(err)
		}
		p := wirePart{op: h.OpCode, deflated: h.Rsv != 0, data: string(data)}
		if p.deflated {
			// By the standard library, with a fresh window.
			data, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader(inflateTail))))
			if err != nil {
				t.Fatal(err)
			}
			p.data = string(data)
		}
		parts = append(parts, p)
	}
	return parts
}

func TestDeflatedFrame(t *testing.T) {
	text := func(n int) string { return strings.Repeat("4[1,2,3] ", n)[:n] }
	frame := func(parts ...wirePart) []byte {
		var b []byte
		for _, p := range parts {
			b = append(AppendWSHeader(b, p.op, len(p.data)), p.data...)
		}
		return b
	}
	tests := []struct {
		name  string
		parts []wirePart // deflated tells what is wanted
	}{
		{"below the threshold", []wirePart{{ws.OpText, false, text(199)}}},
		{"at the threshold", []wirePart{{ws.OpText, true, text(200)}}},
		{"long length", []wirePart{{ws.OpText, true, text(70_000)}}},
		{"much", []wirePart{{ws.OpBinary, true, text(1_500_000)}}},
		{"noise", []wirePart{{ws.OpBinary, false, string(noise(5000))}}},
		{"small parts of a large frame", []wirePart{{ws.OpText, false, text(150)}, {ws.OpBinary, false, text(150)}}},
		{"attachments", []wirePart{{ws.OpText, false, text(50)}, {ws.OpBinary, true, text(5000)}, {ws.OpBinary, false, string(noise(5000))}, {ws.OpBinary, false, ""}}},
		{"twice the same", []wirePart{{ws.OpText, true, text(500)}, {ws.OpText, true, text(500)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			live := pool.Live()
			plain := frame(tt.parts...)
			want := false
			for _, p := range tt.parts {
				want = want || p.deflated
			}
			f := NewDeflatedFrame(plain, 200)
			if f == nil {
				if want {
					t.Fatal("not compressed")
				}
				return
			}
			if !want {
				t.Fatal("compressed")
			}
			got := readWire(t, f.Bytes())
			if fmt.Sprint(got) != fmt.Sprint(tt.parts) {
				t.Errorf("got %.200v\nwant %.200v", got, tt.parts)
			}
			if f.Len() >= len(plain) {
				t.Errorf("%d bytes became %d", len(plain), f.Len())
			}
			f.Release()
			if pool.Live() != live {
				t.Errorf("%d buffers leaked", pool.Live()-live)
			}
		})
	}
}

// What a compressor makes of noise is the largest that a message can become.
func TestMaxDeflated(t *testing.T) {
	for _, n := range []int{0, 1, 10, 1000, 65_535, 65_536} {
		for _, level := range []int{flate.HuffmanOnly, 1, 6} {
			if z := 1 + len(reference(t, noise(n), level, true)); z > MaxDeflated(n) {
				t.Errorf("%d bytes at level %d become %d, more than %d", n, level, z, MaxDeflated(n))
			}
		}
	}
}

func FuzzInflate(f *testing.F) {
	text := []byte(strings.Repeat("some text, ", 20))
	for level := flate.HuffmanOnly; level <= 9; level += 3 {
		f.Add(reference(f, text, level, false))
		f.Add(append(reference(f, text, level, true), 0))
	}
	f.Add(secondHello)
	f.Add([]byte("\x03\x00\x03\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1000
		// As a message, it survives the way through a compressor.
		plain := NewBinaryFrame(data)
		defer plain.Release()
		if z := NewDeflatedFrame(plain.Bytes(), 0); z != nil {
			defer z.Release()
			r := bytes.NewReader(z.Bytes())
			if h, err := ws.ReadHeader(r); err != nil || h.Rsv != 4 || h.Length != int64(r.Len()) {
				t.Fatalf("header %+v, %v", h, err)
			}
			back, err := Inflate(z.Bytes()[z.Len()-r.Len():], len(data))
			if err != nil || !bytes.Equal(back.B, data) {
				t.Fatalf("%q came back as %v, %v", data, back, err)
			}
			back.Release()
		}
		b, err := Inflate(data, limit)
		if err != nil {
			if err != ErrInflatedSize && !errors.Is(err, ErrInflate) {
				t.Fatal(err)
			}
			return
		}
		defer b.Release()
		if len(b.B) > limit || cap(b.B) > 2*(limit+1) {
			t.Fatalf("%d bytes, room for %d", len(b.B), cap(b.B))
		}
		// The standard library agrees, as far as it goes: it stops at a final block.
		want, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader(inflateTail))))
		if len(data) > 0 && (err != nil || !bytes.HasPrefix(b.B, want)) {
			t.Fatalf("got %q, the standard library %q %v", b.B, want, err)
		}
	})
}

func TestDeflateAllocations(t *testing.T) {
	if invariants.Enabled {
		t.Skip("memory is not recycled")
	}
	plain := NewTextFrame(Message, strings.Repeat(`{"some":"text"},`, 200))
	z := reference(t, plain.Bytes(), 6, false)
	for what, f := range map[string]func(){
		"NewDeflatedFrame": func() { NewDeflatedFrame(plain.Bytes(), 1024).Release() },
		"Inflate": func() {
			b, err := Inflate(z, 10_000)
			if err != nil {
				t.Fatal(err)
			}
			b.Release()
		},
	} {
		for range 10 {
			f()
		}
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
}

func BenchmarkDeflate(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		text := strings.Repeat(`{"id":17,"name":"somebody","price":12.5},`, size/40+1)[:size]
		f := NewTextFrame(Message, text)
		z := reference(b, []byte(text), 6, false)
		b.Run(fmt.Sprintf("op=deflate/size=%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				NewDeflatedFrame(f.Bytes(), 1024).Release()
			}
		})
		b.Run(fmt.Sprintf("op=inflate/size=%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				buf, err := Inflate(z, size)
				if err != nil {
					b.Fatal(err)
				}
				buf.Release()
			}
		})
	}
	// The dearest there is: nothing but the descriptions of empty blocks.
	b.Run("op=inflate/hostile", func(b *testing.B) {
		z := emptyBlocks(64 << 10)
		b.SetBytes(int64(len(z)))
		b.ReportAllocs()
		for b.Loop() {
			buf, err := Inflate(z, 1<<20)
			if err != nil {
				b.Fatal(err)
			}
			buf.Release()
		}
	})
}

// emptyBlocks returns n bytes of blocks, each with Huffman tables of its own and
// without content.
func emptyBlocks(n int) []byte {
	var out []byte
	var bits int
	put := func(v uint, n int) {
		for i := range n {
			if bits%8 == 0 {
				out = append(out, 0)
			}
			out[len(out)-1] |= byte(v>>i&1) << (bits % 8)
			bits++
		}
	}
	for len(out) < n {
		put(0, 1)  // not final
		put(2, 2)  // dynamic tables
		put(0, 5)  // 257 literals
		put(0, 5)  // 1 distance
		put(14, 4) // 18 code lengths
		for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1} {
			if symbol == 18 || symbol == 1 {
				put(1, 3)
			} else {
				put(0, 3)
			}
		}
		put(1, 1) // 138 and 118 zeros
		put(138-11, 7)
		put(1, 1)
		put(118-11, 7)
		put(0, 1) // length 1 for the end of the block
		put(0, 1) // length 1 for the distance
		put(0, 1) // the end of the block
	}
	put(0, 3) // a stored block, padded
	return out
}
