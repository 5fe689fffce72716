package eio

import (
	"net/url"
	"strings"
)

// query holds the parameters of a request that the protocol knows.
type query struct {
	eio       string
	transport string
	sid       string // empty counts as none
	base64    bool   // any non-empty b64
	script    bool   // j is present: answers to polls are scripts
	callback  string // the digits of j
}

// v3 reports whether the client speaks Engine.IO v3: whatever does not ask for 4, as
// in the reference.
func (q *query) v3() bool { return q.eio != "4" }

// parseQuery reads the raw query string. Of a parameter given twice the first
// one counts. A value that cannot be unescaped is taken as it stands.
func parseQuery(raw string) (q query) {
	var seen [5]bool
	for len(raw) > 0 {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		key, value, _ := strings.Cut(pair, "=")
		if strings.ContainsAny(key, "%+") {
			if k, err := url.QueryUnescape(key); err == nil {
				key = k
			}
		}
		var i int
		switch key {
		case "EIO":
			i = 0
		case "transport":
			i = 1
		case "sid":
			i = 2
		case "b64":
			i = 3
		case "j":
			i = 4
		default:
			continue
		}
		if seen[i] {
			continue
		}
		seen[i] = true
		if strings.ContainsAny(value, "%+") {
			if v, err := url.QueryUnescape(value); err == nil {
				value = v
			}
		}
		switch i {
		case 0:
			q.eio = value
		case 1:
			q.transport = value
		case 2:
			q.sid = value
		case 3:
			q.base64 = value != ""
		case 4:
			q.script, q.callback = true, digits(value)
		}
	}
	return q
}

// digits returns the digits in s.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}
