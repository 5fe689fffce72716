package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
)

// session is one that polls.
type session struct {
	sid     string
	waiting *client // its GET has no answer yet
	out     []byte  // packets for the next GET
	probed  bool    // on its way to a WebSocket: no GET waits any more
}

var (
	ok       = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok")
	text     = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: "
	sidParam = []byte("&sid=")
)

// http answers the first request of p and returns its size, 0 when it is incomplete.
func (s *server) http(c *client, p []byte) int {
	i := bytes.Index(p, []byte("\r\n\r\n"))
	if i < 0 {
		return 0
	}
	head, n := p[:i], i+4
	line, _, _ := bytes.Cut(head, []byte(" HTTP/1.1\r\n"))
	_, sid, _ := bytes.Cut(line, sidParam)
	switch {
	case bytes.HasPrefix(line, []byte("POST ")):
		size, err := strconv.Atoi(string(head[bytes.LastIndexByte(head, ' ')+1:]))
		if err != nil {
			s.doom(c)
			return n
		}
		if len(p) < n+size {
			return 0
		}
		if u := s.sessions[string(sid)]; u != nil {
			s.posted(u, p[n:n+size])
		}
		s.write(c, ok)
		return n + size
	case bytes.Contains(line, []byte("transport=polling")):
		s.poll(c, s.sessions[string(sid)])
	case string(line) == "GET /":
		c.is = plain
		s.write(c, upgraded)
	case len(sid) > 0:
		c.is, c.session = socketio, s.sessions[string(sid)]
		s.write(c, upgraded)
	default:
		c.is = socketio
		s.write(c, hello)
	}
	return n
}

// poll answers a GET, now or when there is something. Without a session it opens one.
func (s *server) poll(c *client, u *session) {
	if u == nil {
		u = &session{sid: fmt.Sprintf("%020d", len(s.sessions)+c.fd<<20)}
		for s.sessions[u.sid] != nil {
			u.sid += "x"
		}
		s.sessions[u.sid] = u
		u.out = append(u.out, `0{"sid":"`+u.sid+`","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`...)
	}
	c.session = u
	u.waiting = c
	if u.probed {
		u.out = append(u.out, '6')
	}
	s.answer(u)
}

// answer answers a waiting GET when there is something.
func (s *server) answer(u *session) {
	if u.waiting == nil || len(u.out) == 0 {
		return
	}
	s.frame = strconv.AppendInt(append(s.frame[:0], text...), int64(len(u.out)), 10)
	s.frame = append(append(s.frame, "\r\n\r\n"...), u.out...)
	u.out = u.out[:0]
	c := u.waiting
	u.waiting = nil
	s.write(c, s.frame)
}

// posted handles the packets of a POST.
func (s *server) posted(u *session, body []byte) {
	for m := range bytes.SplitSeq(body, []byte{0x1e}) {
		var reply []byte
		binary := len(m) > 0 && m[0] == 'b'
		if binary {
			raw, err := base64.StdEncoding.AppendDecode(nil, m[1:])
			if err != nil {
				return
			}
			reply = s.pack(nil, raw)
		} else {
			reply = s.text(nil, m)
		}
		if reply == nil {
			continue
		}
		if len(u.out) > 0 {
			u.out = append(u.out, 0x1e)
		}
		if binary {
			u.out = base64.StdEncoding.AppendEncode(append(u.out, 'b'), reply)
		} else {
			u.out = append(u.out, reply...)
		}
	}
	s.answer(u)
}

// probe answers the probe of an upgrade, and ends the session's GET.
func (s *server) probe(c *client) []byte {
	u := c.session
	if u == nil {
		return nil
	}
	u.probed = true
	if u.waiting != nil {
		u.out = append(u.out, '6')
		s.answer(u)
	}
	return []byte("3probe")
}

// forget ends the session of a client that is dropped.
func (s *server) forget(c *client) {
	if c.is == socketio || c.session.waiting == c {
		delete(s.sessions, c.session.sid)
	}
}
