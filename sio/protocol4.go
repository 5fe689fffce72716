package sio

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// Clients of Socket.IO protocol 4, which are those of Engine.IO v3: the JavaScript clients 1
// and 2. What is different from protocol 5:
//
//   - they are in "/" from the beginning, without asking;
//   - a socket's id is known to the client beforehand: the session's id in "/",
//     and "/chat#<session id>" elsewhere;
//   - the answer to a CONNECT has no payload, and a refusal has any;
//   - a query behind a namespace is what is the auth payload now: "/chat?token=x".
//
// Source: https://github.com/socketio/socket.io-protocol/tree/v4

// old reports whether the client speaks protocol 4.
func (c *client) old() bool { return c.sess.Protocol() == 3 }

// socketID returns the id of a new socket of this client.
func (c *client) socketID(nsp string) string {
	switch {
	case !c.old():
		return newID()
	case nsp == "/":
		return c.sess.ID()
	}
	return nsp + "#" + c.sess.ID()
}

// splitQuery cuts off what old clients write behind the name of a namespace.
func splitQuery(nsp []byte) (name []byte, query string) {
	nsp, _, _ = bytes.Cut(nsp, []byte{'#'})
	name, q, _ := bytes.Cut(nsp, []byte{'?'})
	return name, string(q)
}

// maxQueryPairs bounds the query of a namespace, as Node does.
const maxQueryPairs = 1000

// queryAuth returns a CONNECT packet whose auth payload is the query, or nil if that is
// empty. Values are strings, and lists of strings for keys given several times.
func queryAuth(query string) *codec.In {
	values := make(map[string]any)
	n := 0
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		if n++; n > maxQueryPairs {
			break
		}
		key, value, _ := strings.Cut(pair, "=")
		key, value = unescaped(key), unescaped(value)
		switch old := values[key].(type) {
		case nil:
			values[key] = value
		case string:
			values[key] = []string{old, value}
		case []string:
			values[key] = append(old, value)
		}
	}
	if len(values) == 0 {
		return nil
	}
	text, err := json.Marshal(values)
	if err != nil {
		return nil // cannot be: strings
	}
	in, err := codec.JSON.NewDecoder(nil).Text(append([]byte{'0'}, text...))
	if err != nil {
		return nil // cannot be: an object
	}
	defer in.Release()
	return in.Clone()
}

// unescaped undoes the escapes of a query; what has bad ones is taken as it stands.
func unescaped(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// encodeConnect returns the answer to the client's CONNECT.
func (s *Socket) encodeConnect() *pool.Frame {
	p := s.c.srv.cfg.Parser
	if s.c.old() {
		return p.(codec.ParserV4).EncodeConnectV4(s.nsp)
	}
	pid := ""
	if s.resume != nil {
		pid = s.resume.pid
	}
	return p.EncodeConnect(s.nsp, s.id, pid)
}

// encodeRefusal returns the answer to a CONNECT that failed. An old client gets the
// data alone, or else the text alone, except for a namespace that does not exist.
func (s *Socket) encodeRefusal(text string, data any) (*pool.Frame, error) {
	p := s.c.srv.cfg.Parser
	if !s.c.old() {
		return p.EncodeConnectError(s.nsp, text, data)
	}
	v := data
	switch {
	case s.ns == nil:
		v = map[string]string{"message": text}
	case v == nil:
		v = text
	}
	return p.(codec.ParserV4).EncodeErrorV4(s.nsp, v)
}
