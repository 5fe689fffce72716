package eio

import (
	"bytes"
	"strings"
)

// head is a request head as the direct door reads it: a strict subset of HTTP/1.1 that
// covers what WebSocket clients send. The strings are parts of the block that was parsed.
type head struct {
	opening
	path   string // undecoded
	query  string
	origin string

	upgrade bool // "Connection: upgrade" and "Upgrade: websocket"

	extensions string // all Sec-WebSocket-Extensions
}

// findHead returns the size of the complete request head at the start of p,
// blank line included, or 0. scanned is how much of p an earlier call has seen.
func findHead(p []byte, scanned int) int {
	from := max(scanned-3, 0)
	if i := bytes.Index(p[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return 0
}

// bareHead reports whether a request head without CR before some of its line feeds, which
// findHead does not know, may be complete. Such requests are net/http's business.
func bareHead(p []byte, scanned int) bool {
	p = p[max(scanned-2, 0):]
	return bytes.Contains(p, []byte("\n\n")) || bytes.Contains(p, []byte("\n\r\n"))
}

// parseHead parses a complete request head, blank line included:
//
//	GET /engine.io/?EIO=4&transport=websocket HTTP/1.1
//	Host: example.com
//	Connection: Upgrade
//	Upgrade: websocket
//	Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
//	Sec-WebSocket-Version: 13
//
// ok is false for everything that is not plainly of this form, be it valid HTTP
// (a body, a folded line, an absolute target) or not. Such requests are net/http's business.
//
// Source: RFC 9112 sections 3 and 5.
func parseHead(raw string) (h head, ok bool) {
	line, rest, found := strings.Cut(raw, "\r\n")
	if !found {
		return h, false
	}
	method, line, _ := strings.Cut(line, " ")
	target, proto, _ := strings.Cut(line, " ")
	if !isToken(method) || proto != "HTTP/1.1" || !validTarget(target) {
		return h, false
	}
	h.method = method
	h.path, h.query, _ = strings.Cut(target, "?")

	var connection, upgrade bool
	hosts := 0
	for {
		line, rest, found = strings.Cut(rest, "\r\n")
		if !found {
			return h, false
		}
		if line == "" {
			break
		}
		name, value, found := strings.Cut(line, ":")
		if !found || !isToken(name) {
			return h, false
		}
		value = strings.Trim(value, " \t")
		isOrigin := len(name) == 6 && strings.EqualFold(name, "Origin")
		if !isOrigin && !validHeaderValue(value) {
			return h, false // the Origin is judged by verify
		}
		switch len(name) {
		case 4:
			if strings.EqualFold(name, "Host") {
				if !validHost(value) {
					return h, false
				}
				hosts++
			}
		case 6:
			if isOrigin {
				if h.origin != "" || strings.ContainsAny(value, "\n\x00") {
					return h, false
				}
				h.origin = value
			} else if strings.EqualFold(name, "Expect") {
				return h, false
			}
		case 7:
			if strings.EqualFold(name, "Upgrade") {
				upgrade = upgrade || hasToken(value, "websocket")
			}
		case 10:
			if strings.EqualFold(name, "Connection") {
				connection = connection || hasToken(value, "upgrade")
			}
		case 14:
			if strings.EqualFold(name, "Content-Length") {
				return h, false
			}
		case 17:
			if strings.EqualFold(name, "Transfer-Encoding") {
				return h, false
			} else if strings.EqualFold(name, "Sec-WebSocket-Key") {
				if h.key != "" || value == "" {
					return h, false
				}
				h.key = value
			}
		case 22:
			if strings.EqualFold(name, "Sec-WebSocket-Protocol") {
				if h.protocols != "" || value == "" {
					return h, false
				}
				h.protocols = value
			}
		case 21:
			if strings.EqualFold(name, "Sec-WebSocket-Version") {
				if h.version != "" || value == "" {
					return h, false
				}
				h.version = value
			}
		case 24:
			if strings.EqualFold(name, "Sec-WebSocket-Extensions") {
				if h.extensions != "" {
					value = h.extensions + "," + value
				}
				h.extensions = value
			}
		}
	}
	h.upgrade = connection && upgrade
	return h, hosts == 1 && rest == ""
}

// validTarget reports whether t is an origin-form target of visible ASCII with
// complete percent escapes in its path.
func validTarget(t string) bool {
	if t == "" || t[0] != '/' {
		return false
	}
	for i := range len(t) {
		if t[i] <= ' ' || t[i] >= 0x7f || t[i] == '#' {
			return false
		}
	}
	return true
}

// validHost reports whether s has only characters that a host and port can have, for net/http
// as well; it may be empty.
func validHost(s string) bool {
	for i := range len(s) {
		if !hostByte[s[i]] {
			return false
		}
	}
	return true
}

// Source: RFC 3986 section 3.2.2.
var hostByte = byteSet("!$%&'()*+,-.:;=[]_~" + alphanumeric)

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenByte = byteSet("!#$%&'*+-.^_`|~" + alphanumeric)

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func byteSet(members string) (t [256]bool) {
	for i := range len(members) {
		t[members[i]] = true
	}
	return t
}
