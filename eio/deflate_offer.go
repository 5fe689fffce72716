package eio

import "strings"

// The answers to an offer of permessage-deflate. Only the second names the window of
// our compressor; it may be given only to a client that has asked.
const (
	deflateAnswer       = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	deflateAnswerWindow = deflateAnswer + "; server_max_window_bits=15"
)

// negotiate returns the answer to the Sec-WebSocket-Extensions of a request, several joined
// by commas, or "" if there is nothing to say. Then nothing is compressed.
func (srv *Server) negotiate(extensions string) string {
	if srv.cfg.PerMessageDeflate == nil || extensions == "" {
		return ""
	}
	return negotiateDeflate(extensions)
}

// negotiateDeflate returns the answer to the first acceptable offer of permessage-deflate:
//
//	permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate
//
// An offer is declined if it breaks the rules of the extension or asks for a window of our
// compressor that is not the usual one, of 2^15 bytes. A header that is not well-formed
// offers nothing.
//
// Source: RFC 6455 section 9.1, RFC 7692 sections 5 and 7.
func negotiateDeflate(header string) (answer string) {
	p := offerParser{rest: header}
	for {
		p.space()
		if p.rest == "" {
			return answer
		}
		if p.skip(',') {
			continue // an empty element
		}
		name := p.token()
		o := deflateOffer{ok: name == "permessage-deflate"}
		for p.space(); p.skip(';'); p.space() {
			p.space()
			key := p.token()
			p.space()
			value, has := "", false
			if p.skip('=') {
				p.space()
				value, has = p.value(), true
			}
			o.param(key, value, has)
		}
		if p.bad || (p.rest != "" && !p.skip(',')) {
			return ""
		}
		if answer == "" && o.ok {
			answer = o.answer()
		}
	}
}

// deflateOffer is one offer of permessage-deflate.
type deflateOffer struct {
	ok   bool // acceptable so far
	seen [4]bool
}

// The places of the parameters in deflateOffer.seen.
const (
	serverNoContextTakeover = iota
	clientNoContextTakeover
	serverMaxWindowBits
	clientMaxWindowBits
)

// param judges a parameter.
//
// Source: RFC 7692 section 7.1.
func (o *deflateOffer) param(key, value string, has bool) {
	var i int
	var valid bool
	switch key {
	case "server_no_context_takeover":
		i, valid = serverNoContextTakeover, !has
	case "client_no_context_takeover":
		i, valid = clientNoContextTakeover, !has
	case "server_max_window_bits":
		// Smaller windows are valid, too, but we have none.
		i, valid = serverMaxWindowBits, value == "15"
	case "client_max_window_bits":
		// A hint that we need not take: the decompressor has the largest window.
		i, valid = clientMaxWindowBits, !has || windowBits(value)
	}
	if !valid || o.seen[i] {
		o.ok = false
	}
	o.seen[i] = true
}

func (o *deflateOffer) answer() string {
	if o.seen[serverMaxWindowBits] {
		return deflateAnswerWindow
	}
	return deflateAnswer
}

// windowBits reports whether v is a number from 8 to 15, without leading zeros.
func windowBits(v string) bool {
	if len(v) == 1 {
		return v == "8" || v == "9"
	}
	return len(v) == 2 && v[0] == '1' && v[1] >= '0' && v[1] <= '5'
}

// offerParser reads a Sec-WebSocket-Extensions header.
type offerParser struct {
	rest string
	bad  bool // not well-formed
}

func (p *offerParser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// skip skips one c, if that is what is next.
func (p *offerParser) skip(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// token reads a token.
func (p *offerParser) token() string {
	n := 0
	for n < len(p.rest) && tokenByte[p.rest[n]] {
		n++
	}
	t := p.rest[:n]
	p.rest = p.rest[n:]
	p.bad = p.bad || n == 0
	return t
}

// value reads a token or a quoted string, which must contain a token.
func (p *offerParser) value() string {
	if !p.skip('"') {
		return p.token()
	}
	var b strings.Builder
	for i := 0; i < len(p.rest); i++ {
		c := p.rest[i]
		if c == '"' {
			p.rest = p.rest[i+1:]
			p.bad = p.bad || b.Len() == 0
			return b.String()
		}
		if c == '\\' && i+1 < len(p.rest) {
			i++
			c = p.rest[i]
		}
		if !tokenByte[c] {
			break
		}
		b.WriteByte(c)
	}
	p.bad = true
	return ""
}
