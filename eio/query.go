package eio

import (
	"strings"

	params "github.com/epio-go/epio/internal/query"
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

// parseQuery reads the raw query string, as lenient as the reference. Of a parameter
// given twice the last one counts.
func parseQuery(raw string) (q query) {
	for {
		name, value, rest, ok := params.Next(raw)
		if !ok {
			return q
		}
		raw = rest
		switch name {
		case "EIO":
			q.eio = value
		case "transport":
			q.transport = value
		case "sid":
			q.sid = value
		case "b64":
			q.base64 = value != ""
		case "j":
			q.script, q.callback = true, digits(value)
		}
	}
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
