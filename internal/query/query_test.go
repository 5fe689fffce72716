package query

import (
	"fmt"
	"strings"
	"testing"
)

// The expectations are what URLSearchParams in Node.js makes of these.
func TestNext(t *testing.T) {
	tests := map[string]string{
		"":                    "",
		"a=1":                 "a:1",
		"a=1&b=2":             "a:1 b:2",
		"a=1&a=2":             "a:1 a:2",
		"a":                   "a:",
		"a=":                  "a:",
		"=a":                  ":a",
		"=":                   ":",
		"&&a=1&&":             "a:1",
		"a=b=c":               "a:b=c",
		"a=1;b=2":             "a:1;b=2",
		"a[]=1&b[x]=2":        "a[]:1 b[x]:2",
		"a=x+y%20z":           "a:x y z",
		"+=+":                 " : ",
		"%41%3d%26=%2B":       "A=&:+",
		"a=%c3%a9%E2%82%ac":   "a:é€",
		"a=%zz%4&b=%":         "a:%zz%4 b:%",
		"a=%zz%41":            "a:%zzA",
		"a=%ff%fe":            "a:\ufffd\ufffd",
		"a=%00":               "a:\x00",
		"a=%F0%9F%98%80+%25x": "a:😀 %x",
	}
	for raw, want := range tests {
		var got []string
		for rest := raw; ; {
			name, value, r, ok := Next(rest)
			if !ok {
				break
			}
			got, rest = append(got, fmt.Sprintf("%s:%s", name, value)), r
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: got %q, want %q", raw, s, want)
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	n := testing.AllocsPerRun(100, func() {
		for raw, ok := "EIO=4&transport=polling&sid=x", true; ok; {
			_, _, raw, ok = Next(raw)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
