package codec

import (
	"math"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// mpWalker checks msgpack without decoding it, in one pass and without
// allocating: every value is complete, nesting is bounded, keys of maps are
// strings or numbers. It visits each element, and an element has a byte at least,
// so a count that is larger than the input costs no more than what is there. What
// it has accepted may be decoded by code that believes the counts.
//
// The functions of msgp for byte slices are not used on input that has not been
// through here: they make room for as many elements as a header claims, at every
// level of nesting.
type mpWalker struct {
	p     []byte
	depth int // levels that may still be opened
	room  int // bytes of binary data that may still come

	illFormed bool // there are strings that are not UTF-8
	exts      bool // there are extensions
	times     bool // there are timestamps other than JavaScript's
}

// Further negative positions.
const (
	mpDeep = -2
	mpFull = -3
)

// mpError translates a negative position.
func mpError(i int) error {
	switch i {
	case mpDeep:
		return ErrDepth
	case mpFull:
		return ErrAttachmentBytes
	}
	return ErrPayload
}

// value walks over the value at i and returns the position behind it, or a
// negative one.
func (w *mpWalker) value(i int) int {
	// Most values are one byte, or short text.
	if i < len(w.p) {
		switch c := w.p[i]; {
		case c < 0x80, c >= 0xe0, c == 0xc0:
			return i + 1
		case c >= 0xa0 && c < 0xc0:
			end := i + 1 + int(c&0x1f)
			if end > len(w.p) {
				return mpBad
			}
			w.text(w.p[i+1 : end])
			return end
		}
	}
	t, i := mpNext(w.p, i)
	if i < 0 {
		return i
	}
	return w.rest(&t, i)
}

// rest walks over what follows the token t.
func (w *mpWalker) rest(t *mpToken, i int) int {
	switch t.kind {
	case mpStr:
		w.text(t.data)
	case mpExt:
		w.exts = true
		w.times = w.times || t.ext == msgp.MsgTimeExtension || t.ext == msgp.TimeExtension
		fallthrough
	case mpBin:
		if w.room -= len(t.data); w.room < 0 {
			return mpFull
		}
	case mpArray:
		if w.depth--; w.depth < 0 {
			return mpDeep
		}
		for range t.n {
			if i = w.value(i); i < 0 {
				return i
			}
		}
		w.depth++
	case mpMap:
		if w.depth--; w.depth < 0 {
			return mpDeep
		}
		for range t.n {
			if _, i = w.key(i); i < 0 {
				return i
			}
			if i = w.value(i); i < 0 {
				return i
			}
		}
		w.depth++
	}
	return i
}

// text looks at a string.
func (w *mpWalker) text(p []byte) {
	if !utf8.Valid(p) {
		w.illFormed = true
	}
}

// key walks over the key of a map.
func (w *mpWalker) key(i int) (t mpToken, end int) {
	t, end = mpNext(w.p, i)
	if end < 0 {
		return t, end
	}
	switch t.kind {
	case mpStr:
		w.text(t.data)
	case mpUint, mpInt, mpFloat:
	default:
		return t, mpBad // JavaScript writes only strings
	}
	return t, end
}

// own checks that p is one value, made by the application.
func (w *mpWalker) own(p []byte) error {
	*w = mpWalker{p: p, depth: maxValueDepth, room: math.MaxInt}
	switch end := w.value(0); {
	case end == mpDeep:
		return ErrValueTooDeep
	case end != len(p):
		return errNotMsgpack
	}
	return nil
}
