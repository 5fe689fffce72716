package main

import (
	"bytes"
	"fmt"

	"github.com/epio-go/epio/bench/internal/ws"
)

// protocol is what is spoken inside WebSocket frames.
type protocol int

const (
	socketio protocol = iota // Socket.IO with its own JSON encoding
	msgpack                  // Socket.IO with socket.io-msgpack-parser
	plain                    // one letter and a payload, for servers without Socket.IO
)

var protocols = map[string]protocol{"socketio": socketio, "msgpack": msgpack, "plain": plain}

// kind says what a message is for.
type kind int

const (
	unknown   kind = iota
	opened         // Engine.IO's handshake
	connected      // answer to CONNECT
	joined         // acknowledgement of a join
	left           // acknowledgement of a leave
	answer         // acknowledgement of an echo, with the payload
	delivery       // "msg" with the payload
	announced      // "msg" or an acknowledgement whose payload is the next binary frame
	ping
	pong // answer to the probe of an upgrade
	noop
)

// Acknowledgement ids. One call of a kind is under way on a socket at most, except
// for joins and leaves, whose answers are alike.
const (
	joinID  = 1
	leaveID = 2
	echoID  = 9
)

// target returns the path and query of the handshake for a transport.
func (p protocol) target(transport, sid string) string {
	if p == plain {
		return "/"
	}
	t := "/socket.io/?EIO=4&transport=" + transport
	if sid != "" {
		t += "&sid=" + sid
	}
	return t
}

// op returns the opcode of a message. binary tells whether the payload in it is.
func (p protocol) op(binary bool) byte {
	if p == msgpack || p == plain && binary {
		return ws.Binary
	}
	return ws.Text
}

// connect appends CONNECT for the namespace "/".
func (p protocol) connect(dst []byte) []byte {
	if p == msgpack {
		return append(dst, ws.PackConnect...)
	}
	return append(dst, "40"...)
}

// member appends a join or leave.
func (p protocol) member(dst []byte, join bool, room []byte) []byte {
	switch {
	case p == plain && join:
		return append(append(dst, 'j'), room...)
	case p == plain:
		return append(append(dst, 'l'), room...)
	case p == msgpack && join:
		return p.call(append(append(dst, ws.PackCall...), ws.PackJoin...), room, joinID)
	case p == msgpack:
		return p.call(append(append(dst, ws.PackCall...), ws.PackLeave...), room, leaveID)
	case join:
		dst = append(dst, `421["join","`...)
	default:
		dst = append(dst, `422["leave","`...)
	}
	return append(append(dst, room...), `"]`...)
}

// call appends the rest of a msgpack event with an acknowledgement.
func (p protocol) call(dst, argument []byte, id byte) []byte {
	dst = append(ws.AppendString(dst, argument), ws.PackCallID...)
	return append(append(dst, id), ws.PackCallEnd...)
}

// echo appends a call that is answered with the payload.
func (p protocol) echo(dst, payload []byte) []byte {
	switch p {
	case plain:
		return append(append(dst, 'e'), payload...)
	case msgpack:
		return p.call(append(append(dst, ws.PackCall...), ws.PackEcho...), payload, echoID)
	}
	return append(append(append(dst, `429["echo","`...), payload...), `"]`...)
}

// broadcast appends a broadcast to room. In Socket.IO's own encoding a binary payload is
// not in it but follows as a frame.
func (p protocol) broadcast(dst, room, payload []byte, binary bool) []byte {
	switch {
	case p == plain:
		dst = append(append(append(dst, 'b'), room...), ' ')
		return append(dst, payload...)
	case p == msgpack:
		dst = ws.AppendString(append(dst, ws.PackBroadcast...), room)
		if binary {
			dst = ws.AppendBinary(dst, payload)
		} else {
			dst = ws.AppendString(dst, payload)
		}
		return append(dst, ws.PackBroadcastEnd...)
	case binary:
		dst = append(append(dst, `451-["bcast","`...), room...)
		return append(dst, `",{"_placeholder":true,"num":0}]`...)
	}
	dst = append(append(dst, `42["bcast","`...), room...)
	return append(append(append(dst, `","`...), payload...), `"]`...)
}

// parse reads a message. The payload, a part of m, is that of an answer or a delivery.
func (p protocol) parse(m []byte, op byte) (k kind, payload []byte) {
	switch {
	case p == plain:
		return parsePlain(m)
	case op == ws.Binary && p == msgpack:
		return parsePack(m)
	case op == ws.Binary:
		return delivery, m // the attachment of an announced message
	}
	return parseText(m)
}

func parsePlain(m []byte) (kind, []byte) {
	switch {
	case len(m) == 0:
	case m[0] == 'm':
		return delivery, m[1:]
	case m[0] == 'e':
		return answer, m[1:]
	case string(m) == "j":
		return joined, nil
	case string(m) == "l":
		return left, nil
	}
	return unknown, nil
}

// parseText reads a text message of Engine.IO.
func parseText(m []byte) (kind, []byte) {
	var rest []byte
	cut := func(prefix string) (ok bool) {
		rest, ok = bytes.CutPrefix(m, []byte(prefix))
		return ok
	}
	switch {
	case string(m) == "2":
		return ping, nil
	case string(m) == "3probe":
		return pong, nil
	case string(m) == "6":
		return noop, nil
	case cut("0"):
		return opened, rest
	case cut("40"):
		return connected, nil
	case cut("431["):
		return joined, nil
	case cut("432["):
		return left, nil
	case cut(`439["`):
		if payload, ok := bytes.CutSuffix(rest, []byte(`"]`)); ok {
			return answer, payload
		}
	case cut(`42["msg","`):
		if payload, ok := bytes.CutSuffix(rest, []byte(`"]`)); ok {
			return delivery, payload
		}
	case cut(`451-["msg",{`):
		// The order of the keys is the server's.
		if string(rest) == `"_placeholder":true,"num":0}]` || string(rest) == `"num":0,"_placeholder":true}]` {
			return announced, nil
		}
	}
	return unknown, nil
}

// quote shows the beginning of a message in an error.
func quote(m []byte) string {
	if len(m) > 80 {
		return fmt.Sprintf("%q… (%d bytes)", m[:80], len(m))
	}
	return fmt.Sprintf("%q", m)
}
