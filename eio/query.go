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
}

// parseQuery reads the raw query string. Of a parameter given twice the first
// one counts. A value that cannot be unescaped is taken as it stands.
func parseQuery(raw string) (q query) {
	var seen [4]bool
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
		}
	}
	return q
}
