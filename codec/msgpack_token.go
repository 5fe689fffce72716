package codec

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// mpKind is the kind of a msgpack value.
type mpKind uint8

const (
	mpNil mpKind = iota
	mpBool
	mpUint  // an integer from 0 up, however it was written
	mpInt   // a negative integer
	mpFloat // of either size
	mpStr
	mpBin
	mpExt
	mpArray
	mpMap
)

// String returns the kind in words, for errors.
func (k mpKind) String() string {
	return [...]string{"nil", "boolean", "integer", "integer", "float", "string", "binary", "extension", "array", "map"}[k]
}

// mpToken is one scalar value, or the beginning of an array or a map.
type mpToken struct {
	kind mpKind
	fix  bool // of an extension: one of the five fixed sizes
	ext  int8 // the extension's type
	// n is the integer (two's complement when negative), the float's bits, 1 for
	// true, or the number of elements, or of pairs, that follow.
	n    uint64
	data []byte // of strings, binary and extensions; an alias
}

// mpBad is the position that says that a value is malformed or incomplete.
const mpBad = -1

// mpNext reads the token at p[i] and returns it with the position behind it. That
// is mpBad, without any cost, when bytes are missing or when p[i] is 0xc1, which
// means nothing. The count of an array or a map is not checked.
//
// Source: https://github.com/msgpack/msgpack/blob/master/spec.md#formats
func mpNext(p []byte, i int) (t mpToken, end int) {
	if i >= len(p) {
		return t, mpBad
	}
	c := p[i]
	i++
	switch {
	case c < 0x80:
		return mpToken{kind: mpUint, n: uint64(c)}, i
	case c < 0x90:
		return mpToken{kind: mpMap, n: uint64(c & 0x0f)}, i
	case c < 0xa0:
		return mpToken{kind: mpArray, n: uint64(c & 0x0f)}, i
	case c < 0xc0:
		if end = i + int(c&0x1f); end > len(p) {
			return t, mpBad
		}
		return mpToken{kind: mpStr, data: p[i:end:end]}, end
	case c >= 0xe0:
		return mpToken{kind: mpInt, n: uint64(int64(int8(c)))}, i
	}
	// From here on most formats have an integer of 1, 2, 4 or 8 bytes behind the
	// first byte.
	switch c {
	case 0xc0:
		return mpToken{kind: mpNil}, i
	case 0xc2, 0xc3:
		return mpToken{kind: mpBool, n: uint64(c & 1)}, i
	case 0xc4, 0xc5, 0xc6:
		n, i := mpBig(p, i, 1<<(c-0xc4))
		return mpData(p, i, n, mpToken{kind: mpBin})
	case 0xc7, 0xc8, 0xc9:
		n, i := mpBig(p, i, 1<<(c-0xc7))
		return mpExtension(p, i, n, false)
	case 0xca:
		n, i := mpBig(p, i, 4)
		return mpToken{kind: mpFloat, n: math.Float64bits(float64(math.Float32frombits(uint32(n))))}, i
	case 0xcb:
		n, i := mpBig(p, i, 8)
		return mpToken{kind: mpFloat, n: n}, i
	case 0xcc, 0xcd, 0xce, 0xcf:
		n, i := mpBig(p, i, 1<<(c-0xcc))
		return mpToken{kind: mpUint, n: n}, i
	case 0xd0, 0xd1, 0xd2, 0xd3:
		size := 1 << (c - 0xd0)
		n, i := mpBig(p, i, size)
		shift := 64 - 8*size
		t = mpToken{kind: mpUint, n: uint64(int64(n<<shift) >> shift)}
		if int64(t.n) < 0 {
			t.kind = mpInt
		}
		return t, i
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return mpExtension(p, i, 1<<(c-0xd4), true)
	case 0xd9, 0xda, 0xdb:
		n, i := mpBig(p, i, 1<<(c-0xd9))
		return mpData(p, i, n, mpToken{kind: mpStr})
	case 0xdc, 0xdd:
		n, i := mpBig(p, i, 2<<(c-0xdc))
		return mpToken{kind: mpArray, n: n}, i
	case 0xde, 0xdf:
		n, i := mpBig(p, i, 2<<(c-0xde))
		return mpToken{kind: mpMap, n: n}, i
	}
	return t, mpBad
}

// mpBig reads a big-endian integer of size bytes.
func mpBig(p []byte, i, size int) (uint64, int) {
	if len(p)-i < size {
		return 0, mpBad
	}
	switch size {
	case 1:
		return uint64(p[i]), i + 1
	case 2:
		return uint64(binary.BigEndian.Uint16(p[i:])), i + 2
	case 4:
		return uint64(binary.BigEndian.Uint32(p[i:])), i + 4
	default:
		return binary.BigEndian.Uint64(p[i:]), i + 8
	}
}

// mpData completes t with n bytes of content, which begin at i.
func mpData(p []byte, i int, n uint64, t mpToken) (mpToken, int) {
	if i < 0 || n > uint64(len(p)-i) {
		return t, mpBad
	}
	end := i + int(n)
	t.data = p[i:end:end]
	return t, end
}

// mpExtension reads the type and n bytes of content.
func mpExtension(p []byte, i int, n uint64, fix bool) (mpToken, int) {
	if i < 0 || i == len(p) {
		return mpToken{}, mpBad
	}
	return mpData(p, i+1, n, mpToken{kind: mpExt, fix: fix, ext: int8(p[i])})
}

// Extension type 0 is what the reference encoder uses for three things, which
// only the first byte of the value tells apart: d4 (1 byte) is undefined, d7 (8
// bytes) is a Date, and the forms with an explicit length are an ArrayBuffer or a
// typed array. An ArrayBuffer of 8 bytes begins with c7.

// undefined reports whether t is JavaScript's undefined.
func (t *mpToken) undefined() bool {
	return t.kind == mpExt && t.ext == 0 && t.fix && len(t.data) == 1
}

// null reports whether t is nil or undefined.
func (t *mpToken) null() bool { return t.kind == mpNil || t.undefined() }

// bytes returns the content of binary data: of the format's own type, or an
// ArrayBuffer.
func (t *mpToken) bytes() ([]byte, bool) {
	if t.kind == mpBin || t.kind == mpExt && t.ext == 0 && !t.fix {
		return t.data, true
	}
	return nil, false
}

// time returns the time of a Date, or of a timestamp as Go programs write it:
// the format's own (type -1), or that of msgp (type 5).
func (t *mpToken) time() (time.Time, bool) {
	if t.kind != mpExt {
		return time.Time{}, false
	}
	d := t.data
	switch {
	case t.ext == 0 && t.fix && len(d) == 8:
		return time.UnixMilli(int64(binary.BigEndian.Uint64(d))).UTC(), true
	case t.ext == msgp.TimeExtension && len(d) == 12:
		return time.Unix(int64(binary.BigEndian.Uint64(d)), int64(int32(binary.BigEndian.Uint32(d[8:])))).UTC(), true
	case t.ext == msgp.MsgTimeExtension && len(d) == 4:
		return time.Unix(int64(binary.BigEndian.Uint32(d)), 0).UTC(), true
	case t.ext == msgp.MsgTimeExtension && len(d) == 8:
		n := binary.BigEndian.Uint64(d)
		return time.Unix(int64(n&(1<<34-1)), int64(n>>34)).UTC(), true
	case t.ext == msgp.MsgTimeExtension && len(d) == 12:
		return time.Unix(int64(binary.BigEndian.Uint64(d[4:])), int64(binary.BigEndian.Uint32(d))).UTC(), true
	}
	return time.Time{}, false
}

// float returns a number as JavaScript has it.
func (t *mpToken) float() (float64, bool) {
	switch t.kind {
	case mpUint:
		return float64(t.n), true
	case mpInt:
		return float64(int64(t.n)), true
	case mpFloat:
		return math.Float64frombits(t.n), true
	}
	return 0, false
}

// uint returns a number that is an integer from 0 to 2^64-1.
func (t *mpToken) uint() (uint64, bool) {
	switch t.kind {
	case mpUint:
		return t.n, true
	case mpFloat:
		f := math.Float64frombits(t.n)
		if f >= 0 && f < 1<<64 && f == math.Trunc(f) {
			return uint64(f), true
		}
	}
	return 0, false
}

// int returns a number that is an integer from -2^63 to 2^63-1.
func (t *mpToken) int() (int64, bool) {
	switch t.kind {
	case mpUint:
		return int64(t.n), t.n <= math.MaxInt64
	case mpInt:
		return int64(t.n), true
	case mpFloat:
		f := math.Float64frombits(t.n)
		if f >= -1<<63 && f < 1<<63 && f == math.Trunc(f) {
			return int64(f), true
		}
	}
	return 0, false
}
