package codec

import (
	"strings"
	"testing"
)

const testRoom = "room-for-16-byte"

// TestOverwrite writes offsets into events, with and without what could be mistaken for
// the room.
func TestOverwrite(t *testing.T) {
	const offset = "ABCDabcd0123-_xy"
	for _, parser := range []Parser{JSON, Msgpack} {
		for _, nsp := range []string{"/", "/chat"} {
			for _, args := range [][]any{
				nil,
				{1, "text"},
				{testRoom, []byte(testRoom)},
				{strings.Repeat("long", 20_000), []byte{1, 2, 3}, map[string]any{testRoom: testRoom}},
			} {
				f, err := parser.EncodeEvent(nsp, -1, "event", append(append([]any(nil), args...), testRoom))
				if err != nil {
					t.Fatal(err)
				}
				want, err := parser.EncodeEvent(nsp, -1, "event", append(append([]any(nil), args...), offset))
				if err != nil {
					t.Fatal(err)
				}
				if !Overwrite(f.Bytes(), testRoom, offset) || string(f.Bytes()) != string(want.Bytes()) {
					t.Errorf("%s %s: got %q, want %q", parser.Name(), nsp, f.Bytes(), want.Bytes())
				}
				f.Release()
				want.Release()
			}
		}
	}
	f, err := JSON.EncodeEvent("/", -1, "event", []any{testRoom})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	if Overwrite(f.Bytes(), "something else!!", offset) || Overwrite(f.Bytes(), testRoom, "short") {
		t.Error("overwrote what is not there")
	}
}

func TestWithoutLast(t *testing.T) {
	for _, args := range [][]any{
		nil,
		{1, "text"},
		{"offset", "offset"},
		{[]byte("offset"), map[string]any{"b": []byte{1}}},
		{strings.Repeat("x", 65_530)}, // a shorter header afterwards
	} {
		f, err := JSON.EncodeEvent("/chat", -1, "event", append(append([]any(nil), args...), "offset"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := JSON.EncodeEvent("/chat", -1, "event", args)
		if err != nil {
			t.Fatal(err)
		}
		got := WithoutLast(f.Bytes(), "offset")
		if got == nil || string(got.Bytes()) != string(want.Bytes()) {
			t.Errorf("%.80v: got %v", args, got)
		}
		if other := WithoutLast(f.Bytes(), "other"); other != nil {
			t.Errorf("%.80v: removed %q", args, other.Bytes())
		}
		f.Release()
		want.Release()
		if got != nil {
			got.Release()
		}
	}
}
