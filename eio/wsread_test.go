package eio

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
)

func TestValidUTF8Prefix(t *testing.T) {
	tests := []struct {
		in string
		n  int
		ok bool
	}{
		{"", 0, true},
		{"abc", 3, true},
		{"€", 3, true},
		{"a\xe2", 1, true},
		{"a\xe2\x82", 1, true},
		{"\xf0\x9f\x98", 0, true},
		{"€\xf0\x9f", 3, true},
		{"a\x80", 0, false},
		{"\xff", 0, false},
		{"\xff\xe2", 0, false},
		{"\xc0", 0, false},                    // overlong whatever follows
		{"\xed\xa0", 0, false},                // a surrogate whatever follows
		{"\xf4\x90", 0, false},                // beyond U+10FFFF whatever follows
		{"\xe2\x82\xac\xac", 3, false},        // a stray continuation
		{"\x82\x82\x82\x82", 0, false},        //
		{"\xf0\x9f\x98\x80\xf0\x9f", 4, true}, //
		{"\xe2a", 0, false},                   // cut by an ASCII byte
	}
	for _, tt := range tests {
		n, ok := validUTF8Prefix([]byte(tt.in))
		if ok != tt.ok || (ok && n != tt.n) {
			t.Errorf("%q: got %d %v, want %d %v", tt.in, n, ok, tt.n, tt.ok)
		}
	}
}

// readAll feeds stream to a reader in pieces of the given sizes (the last one repeats)
// and returns what comes out, one line per message, and the error.
func readAll(stream []byte, limit int, pieces ...int) (out []string, err error) {
	return wsReader{}.readAll(stream, limit, pieces...)
}

func (r wsReader) readAll(stream []byte, limit int, pieces ...int) (out []string, err error) {
	defer r.release()
	var have []byte
	for len(stream) > 0 || len(have) > 0 {
		if len(stream) == 0 {
			return out, nil
		}
		n := len(stream)
		if len(pieces) > 0 {
			n = min(max(pieces[0], 1), n)
			if len(pieces) > 1 {
				pieces = pieces[1:]
			}
		}
		have = append(have, stream[:n]...)
		stream = stream[n:]
		for len(have) > 0 {
			before := bytes.Clone(have)
			m, n, err := r.next(have, limit)
			if err != nil {
				return out, err
			}
			if n == 0 {
				if !bytes.Equal(before, have) {
					panic("bytes changed that were not consumed")
				}
				break
			}
			if !bytes.Equal(before[n:], have[n:]) {
				panic("bytes changed behind what was consumed")
			}
			// A message in progress has no more memory than it may need once it is complete.
			if r.frag != nil && cap(r.frag.buf.B) > 2*codec.MaxDeflated(limit)+1024 {
				panic(fmt.Sprintf("%d bytes of memory for a limit of %d", cap(r.frag.buf.B), limit))
			}
			if m.op != ws.OpContinuation {
				out = append(out, fmt.Sprintf("%d %x", m.op, m.data))
			}
			m.release()
			have = have[n:]
		}
	}
	return out, nil
}

// FuzzWSReader checks that the reader survives anything, keeps to its limit, and does
// not care how the stream is cut into pieces.
func FuzzWSReader(f *testing.F) {
	for _, frames := range [][][]byte{
		{textFrame("4hello"), clientFrame(0x82, []byte{1, 2})},
		{clientFrame(0x01, []byte("4\xe2")), clientFrame(0x89, nil), clientFrame(0x80, []byte("\x82\xac"))},
		{clientFrame(0x88, []byte{3, 232})},
		{clientFrame(0x82, make([]byte, 300))},
		{{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}},
		{{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0}},
		{{0xff, 0xff}},
	} {
		f.Add(slices.Concat(frames...), uint8(3), uint8(70))
	}
	f.Fuzz(func(t *testing.T, stream []byte, first, rest uint8) {
		checkReader(t, wsReader{}, stream, int(first), int(rest))
	})
}

// checkReader has r read stream at once and in pieces.
func checkReader(t *testing.T, r wsReader, stream []byte, first, rest int) {
	const limit = 200
	whole, err := r.readAll(bytes.Clone(stream), limit)
	cut, errCut := r.readAll(bytes.Clone(stream), limit, first, rest)
	if !slices.Equal(whole, cut) {
		t.Errorf("in one piece %q, in several %q", whole, cut)
	}
	kind := func(err error) error {
		for _, k := range []error{ErrWebSocketProtocol, ErrWebSocketUTF8, ErrWebSocketDeflate, ErrMessageTooBig} {
			if errors.Is(err, k) {
				return k
			}
		}
		if err != nil {
			t.Errorf("unknown error %v", err)
		}
		return nil
	}
	if kind(err) != kind(errCut) {
		t.Errorf("in one piece %v, in several %v", err, errCut)
	}
	for _, m := range whole {
		var op ws.OpCode
		var data []byte
		fmt.Sscanf(m, "%d %x", &op, &data)
		if len(data) > limit || (op.IsControl() && len(data) > 125) {
			t.Errorf("message of %d bytes", len(data))
		}
		if op == ws.OpText && !utf8.Valid(data) {
			t.Errorf("invalid text %q", data)
		}
	}
}

// FuzzWSRoundTrip checks that what a client frames, in any number of fragments, is
// what comes out.
func FuzzWSRoundTrip(f *testing.F) {
	f.Add([]byte("hello"), uint8(2), true)
	f.Add(bytes.Repeat([]byte("x"), 300), uint8(1), false)
	f.Fuzz(func(t *testing.T, data []byte, fragment uint8, binary bool) {
		op := ws.OpBinary
		if !binary {
			data = bytes.ToValidUTF8(data, []byte("?"))
			op = ws.OpText
		}
		var stream []byte
		first := byte(op)
		for rest := data; ; {
			n := len(rest)
			if fragment > 0 {
				n = min(n, int(fragment)*100)
			}
			if n == len(rest) {
				stream = append(stream, clientFrame(0x80|first, rest)...)
				break
			}
			stream = append(stream, clientFrame(first, rest[:n])...)
			first, rest = 0, rest[n:]
		}
		got, err := readAll(stream, max(len(data), 1))
		if want := fmt.Sprintf("%d %x", op, data); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("got %.80q %v, want %.80q", got, err, want)
		}
	})
}
