package main

import "encoding/binary"

// parsePack reads a packet of socket.io-msgpack-parser: a map with the keys type, data, id
// and nsp in any order, of which only the shapes the servers under load send are known.
func parsePack(m []byte) (kind, []byte) {
	n, p, ok := container(m, 0x80, 0xde)
	if !ok {
		return unknown, nil
	}
	typ, id := -1, -1
	var data []byte
	for range n {
		var key, value []byte
		if key, p, ok = text(p); !ok {
			return unknown, nil
		}
		if value, p, ok = skip(p, 0); !ok {
			return unknown, nil
		}
		switch string(key) {
		case "type":
			typ = small(value)
		case "id":
			id = small(value)
		case "data":
			data = value
		}
	}
	if len(p) > 0 {
		return unknown, nil
	}
	if typ == 0 {
		return connected, nil
	}
	n, data, ok = container(data, 0x90, 0xdc)
	switch {
	case !ok:
	case typ == 3 && id == joinID:
		return joined, nil
	case typ == 3 && id == leaveID:
		return left, nil
	case typ == 3 && id == echoID && n == 1:
		if payload, _, ok := text(data); ok {
			return answer, payload
		}
	case typ == 2 && n == 2:
		event, data, ok := text(data)
		if !ok || string(event) != "msg" {
			break
		}
		if payload, _, ok := text(data); ok {
			return delivery, payload
		}
	}
	return unknown, nil
}

// container reads the head of a map (0x80, 0xde) or an array (0x90, 0xdc).
func container(p []byte, fix, wide byte) (n int, rest []byte, ok bool) {
	switch {
	case len(p) > 0 && p[0]&0xf0 == fix:
		return int(p[0] & 0xf), p[1:], true
	case len(p) > 2 && p[0] == wide:
		return int(binary.BigEndian.Uint16(p[1:])), p[3:], true
	}
	return 0, nil, false
}

// text reads a string or binary value.
func text(p []byte) (s, rest []byte, ok bool) {
	if len(p) == 0 {
		return nil, nil, false
	}
	head := 1
	switch b := p[0]; {
	case b&0xe0 == 0xa0:
		return split(p, 1, int(b&0x1f))
	case b == 0xd9 || b == 0xc4:
		head = 2
	case b == 0xda || b == 0xc5:
		head = 3
	case b == 0xdb || b == 0xc6:
		head = 5
	default:
		return nil, nil, false
	}
	if len(p) < head {
		return nil, nil, false
	}
	size := 0
	for _, b := range p[1:head] {
		size = size<<8 | int(b)
	}
	return split(p, head, size)
}

func split(p []byte, head, size int) (s, rest []byte, ok bool) {
	if len(p)-head < size {
		return nil, nil, false
	}
	return p[head : head+size : head+size], p[head+size:], true
}

// skip cuts off one value of any type.
func skip(p []byte, depth int) (value, rest []byte, ok bool) {
	if len(p) == 0 || depth > 8 {
		return nil, nil, false
	}
	if _, rest, ok := text(p); ok {
		return p[:len(p)-len(rest)], rest, true
	}
	for _, c := range [...]struct{ fix, wide, each byte }{{0x80, 0xde, 2}, {0x90, 0xdc, 1}} {
		n, rest, ok := container(p, c.fix, c.wide)
		if !ok {
			continue
		}
		for range n * int(c.each) {
			if _, rest, ok = skip(rest, depth+1); !ok {
				return nil, nil, false
			}
		}
		return p[:len(p)-len(rest)], rest, true
	}
	size := -1
	switch b := p[0]; {
	case b < 0x80 || b >= 0xe0 || b == 0xc0 || b == 0xc2 || b == 0xc3:
		size = 1
	case b == 0xcc || b == 0xd0:
		size = 2
	case b == 0xcd || b == 0xd1 || b == 0xd4:
		size = 3
	case b == 0xca || b == 0xce || b == 0xd2:
		size = 5
	case b == 0xcb || b == 0xcf || b == 0xd3:
		size = 9
	}
	if size < 0 || len(p) < size {
		return nil, nil, false
	}
	return p[:size], p[size:], true
}

// small reads an integer below 256, or returns -1.
func small(p []byte) int {
	switch {
	case len(p) == 1 && p[0] < 0x80:
		return int(p[0])
	case len(p) == 2 && p[0] == 0xcc:
		return int(p[1])
	}
	return -1
}
