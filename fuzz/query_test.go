package fuzz

import (
	"net/url"
	"testing"
	"unicode/utf8"

	"github.com/epio-go/epio/internal/query"
)

// FuzzQuery reads the query of a URL. Where net/url accepts it as well, and where it is what
// JavaScript reads in the same way, both agree.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"EIO=4&transport=polling&sid=a-_Z&t=x", "%45IO=%34&a=b+c%2B", "a=%zz%4", "&&=&x=y&a==", "a=%ff%fe&%c3%a9", "j=0&b64=1;c=d"} {
		f.Add(seed)
	}
	type pair struct{ name, value string }
	read := func(raw string) (pairs []pair) {
		for {
			name, value, rest, ok := query.Next(raw)
			if !ok {
				return pairs
			}
			pairs, raw = append(pairs, pair{name, value}), rest
		}
	}
	f.Fuzz(func(t *testing.T, raw string) {
		pairs := read(raw)
		size, again := 0, ""
		for i, p := range pairs {
			size += len(p.name) + len(p.value)
			if i > 0 {
				again += "&"
			}
			again += url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value)
		}
		if len(pairs) > len(raw) || size > 3*len(raw) {
			t.Fatalf("%d bytes became %d parameters of %d bytes", len(raw), len(pairs), size)
		}
		if utf8.ValidString(raw) {
			back := read(again)
			if len(back) != len(pairs) {
				t.Fatalf("%q: %q became %q", raw, pairs, back)
			}
			for i, p := range pairs {
				if back[i] != p {
					t.Fatalf("%q: %q became %q", raw, p, back[i])
				}
			}
		}
		want, err := url.ParseQuery(raw)
		if err != nil {
			return // a bad escape, or a semicolon
		}
		got := make(url.Values)
		for _, p := range pairs {
			got.Add(p.name, p.value)
		}
		for name, values := range want {
			if !utf8.ValidString(name) {
				return // replaced in ours
			}
			for i, v := range values {
				if utf8.ValidString(v) && (len(got[name]) <= i || got[name][i] != v) {
					t.Fatalf("%q: %q is %q, net/url says %q", raw, name, got[name], values)
				}
			}
		}
	})
}
