package codec

import "testing"

// What looks like a marker and is none is passed over: one with a number that was not given out, one that goes on, one that is no
// base64 behind the nonce.
func TestFindMarker(t *testing.T) {
	marker := func(i int) string { return string(appendMarker(nil, i)) }
	for name, text := range map[string]string{
		"none":         `["text"]`,
		"not given":    `[` + marker(3) + `]`,
		"goes on":      `[` + marker(0)[:quotedLen-1] + `x"]`,
		"cut short":    `[` + marker(0)[:quotedLen-1] + ` `,
		"no base64":    `[` + marker(0)[:quotedLen-9] + `!!!!!!!!"]`,
		"other length": `[` + marker(0)[:quotedLen-3] + `A="]`,
	} {
		if pos, _ := findMarker([]byte(text), 3); pos >= 0 {
			t.Errorf("%s: found at %d", name, pos)
		}
		if pos, i := findMarker([]byte(text+marker(2)), 3); pos != len(text) || i != 2 {
			t.Errorf("%s: marker %d found at %d, want that behind, at %d", name, i, pos, len(text))
		}
	}
}
