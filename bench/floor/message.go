package main

import (
	"bytes"

	"github.com/epio-go/epio/bench/internal/ws"
)

// attachment stands for a binary payload that follows.
const attachment = `{"_placeholder":true,"num":0}]`

var (
	upgraded  = []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + ws.Accept + "\r\n\r\n")
	hello     = ws.Append(bytes.Clone(upgraded), ws.Text, false, []byte(`0{"sid":"aaaaaaaaaaaaaaaaaaaa","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`))
	connected = []byte(`40{"sid":"bbbbbbbbbbbbbbbbbbbb"}`)
	packed    = []byte(ws.PackConnected)
	goodbye   = ws.Append(nil, ws.Close, false, nil)
)

// message answers the first frame of p and returns its size, 0 when it is incomplete.
func (s *server) message(c *client, p []byte) int {
	m, op, n, err := ws.Next(p)
	if err != nil {
		if err == ws.ErrClosed {
			s.write(c, goodbye)
		}
		s.doom(c)
		return len(p)
	}
	if n == 0 {
		return 0
	}
	var reply []byte
	switch {
	case c.is == plain:
		reply = s.letter(c, m, op)
	case c.room != nil:
		s.attach(c, m)
	case op == ws.Binary:
		reply = s.pack(c, m)
	default:
		reply = s.text(c, m)
	}
	if reply != nil {
		s.send(c, op, reply)
	}
	return n
}

// send sends one frame.
func (s *server) send(c *client, op byte, m []byte) {
	s.frame = ws.Append(s.frame[:0], op, false, m)
	s.write(c, s.frame)
}

// broadcast sends one frame to a room, each member by a write of its own.
func (s *server) broadcast(r *room, op byte, m []byte) {
	s.frame = ws.Append(s.frame[:0], op, false, m)
	if r == nil {
		return
	}
	for _, c := range r.members {
		s.write(c, s.frame)
	}
}

// text handles a packet in Socket.IO's own encoding and returns the answer, or nil.
func (s *server) text(c *client, m []byte) []byte {
	switch {
	case bytes.HasPrefix(m, []byte(`42["bcast","`)):
		name, rest, _ := bytes.Cut(m[len(`42["bcast","`):], []byte(`",`))
		s.out = append(append(s.out[:0], `42["msg",`...), rest...)
		s.broadcast(s.rooms[string(name)], ws.Text, s.out)
	case bytes.HasPrefix(m, []byte(`451-["bcast","`)):
		name, _, _ := bytes.Cut(m[len(`451-["bcast","`):], []byte(`"`))
		c.room = s.rooms[string(name)]
	case len(m) > 4 && m[0] == '4' && m[1] == '2':
		return s.call(c, m[2:])
	case string(m) == "40":
		return connected
	case string(m) == "2probe":
		return s.probe(c)
	}
	return nil
}

// attach sends the broadcast whose attachment has come: two frames, one write.
func (s *server) attach(c *client, m []byte) {
	s.frame = ws.Append(s.frame[:0], ws.Text, false, []byte(`451-["msg",`+attachment))
	s.frame = ws.Append(s.frame, ws.Binary, false, m)
	for _, member := range c.room.members {
		s.write(member, s.frame)
	}
	c.room = nil
}

// call answers 9["echo",x], 1["join","room"] and 2["leave","room"].
func (s *server) call(c *client, m []byte) []byte {
	s.out = append(append(s.out[:0], "43"...), m[0])
	m = m[1:]
	if x, ok := bytes.CutPrefix(m, []byte(`["echo",`)); ok {
		return append(append(s.out, '['), x...)
	}
	if x, ok := bytes.CutPrefix(m, []byte(`["join","`)); ok {
		s.join(c, x[:len(x)-2])
	} else if x, ok := bytes.CutPrefix(m, []byte(`["leave","`)); ok {
		s.leave(c, x[:len(x)-2])
	}
	return append(s.out, "[]"...)
}

// pack handles a packet of socket.io-msgpack-parser and returns the answer, or nil.
func (s *server) pack(c *client, m []byte) []byte {
	if x, ok := bytes.CutPrefix(m, []byte(ws.PackBroadcast)); ok {
		name, payload := short(x)
		s.out = append(append(s.out[:0], ws.PackMessage...), payload[:len(payload)-len(ws.PackBroadcastEnd)]...)
		s.broadcast(s.rooms[string(name)], ws.Binary, append(s.out, ws.PackMessageEnd...))
		return nil
	}
	x, ok := bytes.CutPrefix(m, []byte(ws.PackCall))
	if !ok {
		return packed
	}
	id := x[len(x)-len(ws.PackCallEnd)-1]
	s.out = append(append(s.out[:0], ws.PackAck...), id)
	x = x[:len(x)-len(ws.PackCallEnd)-1-len(ws.PackCallID)]
	if payload, ok := bytes.CutPrefix(x, []byte(ws.PackEcho)); ok {
		s.out = append(append(s.out, ws.PackAckOne...), payload...)
		return append(s.out, ws.PackAckEnd...)
	}
	if x, ok := bytes.CutPrefix(x, []byte(ws.PackJoin)); ok {
		name, _ := short(x)
		s.join(c, name)
	} else if x, ok := bytes.CutPrefix(x, []byte(ws.PackLeave)); ok {
		name, _ := short(x)
		s.leave(c, name)
	}
	return append(append(s.out, ws.PackAckEmpty...), ws.PackAckEnd...)
}

// short cuts a string of less than 32 bytes off.
func short(p []byte) (s, rest []byte) {
	n := int(p[0]&0x1f) + 1
	return p[1:n], p[n:]
}

// letter handles a message to a server without Socket.IO.
func (s *server) letter(c *client, m []byte, op byte) []byte {
	switch m[0] {
	case 'b':
		name, payload, _ := bytes.Cut(m[1:], []byte(" "))
		s.out = append(append(s.out[:0], 'm'), payload...)
		s.broadcast(s.rooms[string(name)], op, s.out)
		return nil
	case 'j':
		s.join(c, m[1:])
	case 'l':
		s.leave(c, m[1:])
	case 'e':
		return m
	}
	return m[:1]
}
