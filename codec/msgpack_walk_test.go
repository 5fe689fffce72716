package codec

import (
	"encoding/binary"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// FuzzMsgpackWalk holds the walker against one that is written from the specification, without
// any attention to cost, and what it accepts against msgp.
func FuzzMsgpackWalk(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.packet(f), uint8(10), uint16(100))
	}
	for _, s := range []string{
		"\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff\xa1a", "\x91\x91\x91\x90", "\x81\x90\x01", "\xc1", "\xc7\xff\x00", "\xc9\xff\xff\xff\xff\x00",
		"\xdb\x00\x00\x00\x02a", "\xc6\x00\x00\x00\x01a", "\x82\x01\x02\xca\x7f\xc0\x00\x00\x03", "\xd4\x00\x00", "\xd8\x0500000000000000000",
	} {
		f.Add([]byte(s), uint8(3), uint16(1))
	}
	f.Fuzz(func(t *testing.T, p []byte, depth uint8, room uint16) {
		w := mpWalker{p: p, depth: int(depth), room: int(room)}
		end := w.value(0)
		left := int(room)
		want := slowWalk(p, int(depth), &left, false)
		if want < 0 {
			if end >= 0 {
				t.Fatalf("% x: accepted up to %d", p, end)
			}
			return
		}
		if end != len(p)-want {
			t.Fatalf("% x: the end is %d, want %d", p, end, len(p)-want)
		}
		if w.room != left {
			t.Fatalf("% x: %d bytes of binary counted, want %d", p, int(room)-w.room, int(room)-left)
		}
		if rest, err := msgp.Skip(p); err != nil || len(rest) != want {
			t.Fatalf("% x: msgp leaves %d bytes, %v, want %d", p, len(rest), err, want)
		}
	})
}

// slowWalk returns how many bytes there are behind the value that p begins with, or -1. key
// says that only what can be a key may come.
//
// Source: https://github.com/msgpack/msgpack/blob/master/spec.md#formats
func slowWalk(p []byte, depth int, room *int, key bool) int {
	if len(p) == 0 {
		return -1
	}
	c := p[0]
	p = p[1:]
	size := func(n int) (v uint64, ok bool) { // a big-endian integer of n bytes
		if len(p) < n {
			return 0, false
		}
		var b [8]byte
		copy(b[8-n:], p)
		p = p[n:]
		return binary.BigEndian.Uint64(b[:]), true
	}
	skip := func(n uint64, counts bool) int {
		if n > uint64(len(p)) {
			return -1
		}
		if counts {
			if key {
				return -1
			}
			if *room -= int(n); *room < 0 {
				return -1
			}
		}
		return len(p) - int(n)
	}
	several := func(n uint64, pairs bool) int {
		if key || depth == 0 {
			return -1
		}
		for range n {
			for part := range 2 {
				if !pairs && part == 0 {
					continue
				}
				left := slowWalk(p, depth-1, room, part == 0)
				if left < 0 {
					return -1
				}
				p = p[len(p)-left:]
			}
		}
		return len(p)
	}
	switch {
	case c <= 0x7f || c >= 0xe0:
		return len(p)
	case c <= 0x8f:
		return several(uint64(c&0xf), true)
	case c <= 0x9f:
		return several(uint64(c&0xf), false)
	case c <= 0xbf:
		return skip(uint64(c&0x1f), false)
	case c == 0xc0 || c == 0xc2 || c == 0xc3:
		return skip(0, true)
	case c >= 0xca && c <= 0xd3: // floats and integers
		return skip([]uint64{4, 8, 1, 2, 4, 8, 1, 2, 4, 8}[c-0xca], false)
	case c >= 0xd4 && c <= 0xd8: // fixext
		if len(p) == 0 {
			return -1
		}
		p = p[1:]
		return skip(1<<(c-0xd4), true)
	}
	form, ok := map[byte]struct {
		bytes int
		kind  string
	}{
		0xc4: {1, "bin"}, 0xc5: {2, "bin"}, 0xc6: {4, "bin"}, 0xc7: {1, "ext"}, 0xc8: {2, "ext"}, 0xc9: {4, "ext"}, 0xd9: {1, "str"}, 0xda: {2, "str"},
		0xdb: {4, "str"}, 0xdc: {2, "array"}, 0xdd: {4, "array"}, 0xde: {2, "map"}, 0xdf: {4, "map"},
	}[c]
	if !ok {
		return -1 // 0xc1
	}
	n, ok := size(form.bytes)
	if !ok {
		return -1
	}
	switch form.kind {
	case "str":
		return skip(n, false)
	case "ext":
		if len(p) == 0 {
			return -1
		}
		p = p[1:]
		return skip(n, true)
	case "bin":
		return skip(n, true)
	}
	return several(n, form.kind == "map")
}
