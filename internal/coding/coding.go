// Package coding chooses the content coding of HTTP answers.
package coding

import "strings"

// The content codings we have.
const (
	Gzip    = "gzip"
	Deflate = "deflate" // which is the zlib format
)

// Choose returns the coding that a client with this Accept-Encoding likes best, gzip
// of equals, or "" for none:
//
//	gzip, deflate, br
//	deflate;q=0.5, *;q=0.1, identity;q=0
//
// Source: RFC 9110 section 12.5.3.
func Choose(accept []string) string {
	gzip, deflate, identity, rest := -1, -1, 0, 0
	for _, line := range accept {
		for item := range strings.SplitSeq(line, ",") {
			name, q := parseCoding(item)
			switch {
			case strings.EqualFold(name, Gzip), strings.EqualFold(name, "x-gzip"):
				gzip = max(gzip, q)
			case strings.EqualFold(name, Deflate):
				deflate = max(deflate, q)
			case strings.EqualFold(name, "identity"):
				identity = q
			case name == "*":
				rest = q
			}
		}
	}
	if gzip < 0 {
		gzip = rest
	}
	if deflate < 0 {
		deflate = rest
	}
	switch best := max(gzip, deflate); {
	case best == 0 || best < identity:
		return ""
	case best == gzip:
		return Gzip
	}
	return Deflate
}

// parseCoding splits "gzip;q=0.5" into the name and the weight in thousandths. One that is
// not well-formed has the weight 0.
func parseCoding(item string) (name string, q int) {
	name, params, weighted := strings.Cut(item, ";")
	name = strings.Trim(name, " \t")
	if !weighted {
		return name, 1000
	}
	key, value, _ := strings.Cut(strings.Trim(params, " \t"), "=")
	if !strings.EqualFold(key, "q") || len(value) == 0 || len(value) > 5 || (len(value) > 1 && value[1] != '.') {
		return name, 0
	}
	for i, unit := 0, 1000; i < len(value); i++ {
		if i == 1 {
			continue // the point
		}
		if value[i] < '0' || value[i] > '9' {
			return name, 0
		}
		q += int(value[i]-'0') * unit
		unit /= 10
	}
	if q > 1000 {
		return name, 0
	}
	return name, q
}
