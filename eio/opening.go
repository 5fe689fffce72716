package eio

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strings"
)

// opening is a WebSocket opening handshake as far as RFC 6455 section 4.2.1 judges it,
// from either door. A header that occurs several times has its values joined
// by ", ", which no key and no version survives.
type opening struct {
	method    string
	old       bool // HTTP/1.0
	key       string
	version   string
	protocols string // Sec-WebSocket-Protocol: "chat, superchat"
}

func openingOf(r *http.Request) opening {
	join := func(name string) string { return strings.Join(r.Header[name], ", ") }
	return opening{
		method:    r.Method,
		old:       !r.ProtoAtLeast(1, 1),
		key:       join("Sec-Websocket-Key"),
		version:   join("Sec-Websocket-Version"),
		protocols: join("Sec-Websocket-Protocol"),
	}
}

// check returns why o is not valid, or nil. Statuses and texts are those of the reference's
// WebSocket library, which says 400 where RFC 6455 section 4.4 suggests 426.
func (o *opening) check() *failure {
	status, problem, header := 0, "", ""
	switch {
	case o.method != http.MethodGet:
		status, problem = http.StatusMethodNotAllowed, "Invalid HTTP method"
	case o.old:
		problem = "Invalid HTTP version"
	case !validKey(o.key):
		problem = "Missing or invalid Sec-WebSocket-Key header"
	case o.version != "13":
		problem, header = "Missing or invalid Sec-WebSocket-Version header", "Sec-WebSocket-Version: 13\r\n"
	default:
		if _, ok := o.subprotocol(); ok {
			return nil
		}
		problem = "Invalid Sec-WebSocket-Protocol header"
	}
	return &failure{
		code: CodeBadRequest, message: problem, status: status, header: header,
		context: ErrorContext{Name: "TRANSPORT_HANDSHAKE_ERROR", Message: problem},
	}
}

// subprotocol returns the one the answer names: the first that was asked for, or none. The
// protocol on top is the same whatever it is called, but browsers give up when their
// request names some and the answer none. ok is false when the list is malformed.
func (o *opening) subprotocol() (first string, ok bool) {
	if o.protocols == "" {
		return "", true
	}
	for name := range strings.SplitSeq(o.protocols, ",") {
		name = strings.Trim(name, " \t")
		if !isToken(name) {
			return "", false
		}
		if first == "" {
			first = name
		}
	}
	return first, true
}

// validKey reports whether key is the base64 form of 16 bytes.
func validKey(key string) bool {
	if len(key) != 24 || key[22] != '=' || key[23] != '=' {
		return false
	}
	for i := range 22 {
		switch b := key[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '+', b == '/':
		default:
			return false
		}
	}
	return true
}

// appendAccept appends the Sec-WebSocket-Accept value for key.
func appendAccept(dst []byte, key string) []byte {
	var buf [24 + 36]byte
	n := copy(buf[:], key)
	n += copy(buf[n:], "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
	sum := sha1.Sum(buf[:n])
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}
