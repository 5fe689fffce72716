package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/epio-go/epio/bench/internal/ws"
)

// read decodes what a client sends. The third argument of a broadcast tells that the payload is binary.
func (s *faultyServer) read(p *peer, m []byte, op byte) (event string, args []string, id string) {
	switch {
	case s.wire == plain:
		events := map[byte]string{'j': "join", 'l': "leave", 'e': "echo", 'b': "bcast"}
		event, args = events[m[0]], []string{string(m[1:])}
		if event == "bcast" {
			args = strings.SplitN(args[0], " ", 2)
		}
	case s.wire == msgpack && op == ws.Binary:
		return s.readPack(m)
	case p.pending != "":
		args = []string{p.pending, string(m), "binary"}
		p.pending = ""
		return "bcast", args, ""
	case string(m) == "40":
		return "connect", nil, ""
	default:
		i := bytes.IndexByte(m, '[')
		var values []any
		if i < 2 || json.Unmarshal(m[i:], &values) != nil || len(values) < 2 {
			s.t.Errorf("unexpected %q", m)
			return "", nil, ""
		}
		if m[1] == '5' {
			p.pending = values[1].(string)
			return "", nil, ""
		}
		for _, v := range values[1:] {
			args = append(args, v.(string))
		}
		return values[0].(string), args, string(m[2:i])
	}
	return event, args, id
}

func (s *faultyServer) readPack(m []byte) (event string, args []string, id string) {
	n, p, _ := container(m, 0x80, 0xde)
	for range n {
		var key, value []byte
		var ok bool
		key, p, _ = text(p)
		value, p, ok = skip(p, 0)
		switch {
		case !ok:
			s.t.Errorf("unexpected %q", m)
			return "", nil, ""
		case string(key) == "type" && value[0] == 0:
			event = "connect"
		case string(key) == "id":
			id = string(value)
		case string(key) == "data" && event == "":
			n, p, _ := container(value, 0x90, 0xdc)
			for i := range n {
				var v []byte
				binary := p[0] >= 0xc4 && p[0] <= 0xc6
				v, p, _ = text(p)
				if i == 0 {
					event = string(v)
					continue
				}
				args = append(args, string(v))
				if binary {
					args = append(args, "binary")
				}
			}
		}
	}
	return event, args, id
}

func (s *faultyServer) connected() packet {
	if s.wire == msgpack {
		return packet{m: []byte(ws.PackConnected), op: ws.Binary}
	}
	return packet{m: []byte(`40{"sid":"x"}`), op: ws.Text}
}

func (s *faultyServer) ack(event, id string, payload []byte, op byte) packet {
	switch {
	case s.wire == plain:
		return packet{m: append([]byte(event[:1]), payload...), op: op}
	case s.wire == msgpack && payload == nil:
		return packet{m: []byte(ws.PackAck + id + ws.PackAckEmpty + ws.PackAckEnd), op: op}
	case s.wire == msgpack:
		m := ws.AppendString([]byte(ws.PackAck+id+ws.PackAckOne), payload)
		return packet{m: append(m, ws.PackAckEnd...), op: op}
	case payload == nil:
		return packet{m: []byte("43" + id + "[]"), op: op}
	}
	return packet{m: []byte("43" + id + `["` + string(payload) + `"]`), op: op}
}

func (s *faultyServer) delivery(payload []byte, binary bool, op byte) packet {
	switch {
	case s.wire == plain:
		return packet{m: append([]byte("m"), payload...), op: op}
	case s.wire == msgpack && binary:
		m := ws.AppendBinary([]byte(ws.PackMessage), payload)
		return packet{m: append(m, ws.PackMessageEnd...), op: op}
	case s.wire == msgpack:
		m := ws.AppendString([]byte(ws.PackMessage), payload)
		return packet{m: append(m, ws.PackMessageEnd...), op: op}
	case binary:
		return packet{m: []byte(`451-["msg",{"_placeholder":true,"num":0}]`), attachment: payload, op: ws.Text}
	}
	return packet{m: []byte(`42["msg","` + string(payload) + `"]`), op: op}
}
