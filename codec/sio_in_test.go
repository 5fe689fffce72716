package codec

import (
	"strings"
	"testing"

	"github.com/epio-go/epio/internal/invariants"
)

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}

func TestInRange(t *testing.T) {
	in := eventWith(t, `1`)
	mustPanic(t, "Raw(-1)", func() { in.Raw(-1) })
	mustPanic(t, "Raw(1)", func() { in.Raw(1) })
}

func TestInUseAfterRelease(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("only test builds check this: -race or -tags invariants")
	}
	in, err := feed(nil, `2["e",1]`)
	if err != nil {
		t.Fatal(err)
	}
	in.Release()
	mustPanic(t, "Event", func() { in.Event() })
	mustPanic(t, "Decode", func() { in.Decode(0, new(any)) })
	mustPanic(t, "Clone", func() { in.Clone() })
	mustPanic(t, "a second Release", func() { in.Release() })
}

// A packet costs about what it holds, whatever a client packs into it.
func TestInSize(t *testing.T) {
	for name, text := range map[string]string{
		"small":             `2["e",1]`,
		"one big argument":  `2["e","` + strings.Repeat("x", 100_000) + `"]`,
		"many arguments":    `2["e"` + strings.Repeat(",1", 50_000) + `]`,
		"many placeholders": `51-["e"` + strings.Repeat(","+ph(0), 5_000) + `]`,
	} {
		in, err := feed(nil, text)
		if err != nil {
			t.Fatal(err)
		}
		if in == nil {
			if in, err = feed(nil, text, "\x00a"); err != nil {
				t.Fatal(err)
			}
		}
		if size := in.Size(); size < len(text) || size > 8*len(text)+128 {
			t.Errorf("%s: %d bytes for %d", name, size, len(text))
		}
		in.Release()
	}
}

// What an odd packet needed is not kept with the recycled struct.
func TestInReleaseDropsBigSlices(t *testing.T) {
	if invariants.Enabled {
		t.Skip("test builds do not recycle packets")
	}
	in, err := feed(nil, `2["e"`+strings.Repeat(",1", 1000)+`]`)
	if err != nil {
		t.Fatal(err)
	}
	in.Release()
	if cap(in.args) > 64 {
		t.Errorf("%d arguments kept", cap(in.args))
	}
}
