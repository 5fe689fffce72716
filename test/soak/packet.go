package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// Types of Socket.IO packets.
const (
	tConnect = iota
	tDisconnect
	tEvent
	tAck
	tConnectError
	tBinaryEvent
	tBinaryAck
)

// packet is a Socket.IO packet of either parser.
type packet struct {
	typ  int // tEvent and tAck also with attachments
	nsp  string
	id   int // -1: none
	data any // []any for events and acknowledgements
	want int // attachments that have not come yet
}

// message is one of Engine.IO.
type message struct {
	binary bool
	data   []byte
}

// encode makes the messages of a packet.
func (p packet) encode(parser string) ([]message, error) {
	if parser == "msgpack" {
		m := map[string]any{"type": p.typ, "nsp": p.nsp}
		if p.id >= 0 {
			m["id"] = p.id
		}
		if p.data != nil {
			m["data"] = p.data
		}
		b, err := msgp.AppendIntf(nil, m)
		return []message{{true, b}}, err
	}
	var bins []message
	data := extract(p.data, &bins)
	var b bytes.Buffer
	typ := p.typ
	if len(bins) > 0 {
		typ += tBinaryEvent - tEvent
	}
	b.WriteByte('0' + byte(typ))
	if len(bins) > 0 {
		fmt.Fprintf(&b, "%d-", len(bins))
	}
	if p.nsp != "/" {
		b.WriteString(p.nsp + ",")
	}
	if p.id >= 0 {
		b.WriteString(strconv.Itoa(p.id))
	}
	if data != nil {
		text, err := json.Marshal(data)
		if err != nil {
			return nil, err
		}
		b.Write(text)
	}
	return append([]message{{false, b.Bytes()}}, bins...), nil
}

// extract replaces bytes in v by placeholders.
func extract(v any, bins *[]message) any {
	switch v := v.(type) {
	case []byte:
		*bins = append(*bins, message{true, v})
		return map[string]any{"_placeholder": true, "num": len(*bins) - 1}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = extract(v[i], bins)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = extract(v[k], bins)
		}
		return out
	}
	return v
}

// decoder puts packets together.
type decoder struct {
	parser string
	part   *packet // waits for attachments
	bins   [][]byte
}

var errPacket = errors.New("ill-formed packet")

// add takes a message and returns the packet it completes, if any.
func (d *decoder) add(m message) (*packet, error) {
	switch {
	case d.parser == "msgpack":
		return decodeMsgpack(m)
	case m.binary:
		if d.part == nil {
			return nil, fmt.Errorf("%w: a binary message that nothing has announced", errPacket)
		}
		d.bins = append(d.bins, m.data)
		if len(d.bins) < d.part.want {
			return nil, nil
		}
		p := d.part
		p.data = d.fill(p.data)
		d.part, d.bins = nil, nil
		return p, nil
	case d.part != nil:
		return nil, fmt.Errorf("%w: text between attachments: %.100q", errPacket, m.data)
	}
	p, err := decodeText(string(m.data))
	if err == nil && p.want > 0 {
		d.part = p
		return nil, nil
	}
	return p, err
}

func decodeText(s string) (*packet, error) {
	bad := fmt.Errorf("%w: %.100q", errPacket, s)
	if s == "" || s[0] < '0' || s[0] > '6' {
		return nil, bad
	}
	p := &packet{typ: int(s[0] - '0'), nsp: "/", id: -1}
	s = s[1:]
	if p.typ == tBinaryEvent || p.typ == tBinaryAck {
		n, rest, ok := strings.Cut(s, "-")
		want, err := strconv.Atoi(n)
		if !ok || err != nil {
			return nil, bad
		}
		p.want, s = want, rest
		p.typ -= tBinaryEvent - tEvent
	}
	if strings.HasPrefix(s, "/") {
		nsp, rest, _ := strings.Cut(s, ",")
		p.nsp, s = nsp, rest
	}
	if n := len(s) - len(strings.TrimLeft(s, "0123456789")); n > 0 {
		p.id, _ = strconv.Atoi(s[:n])
		s = s[n:]
	}
	if s != "" {
		if err := json.Unmarshal([]byte(s), &p.data); err != nil {
			return nil, bad
		}
	}
	return p, nil
}

// fill is the inverse of extract.
func (d *decoder) fill(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = d.fill(v[i])
		}
	case map[string]any:
		if v["_placeholder"] == true {
			if n, ok := integer(v["num"]); ok && n >= 0 && n < len(d.bins) {
				return d.bins[n]
			}
			return nil
		}
		for k := range v {
			v[k] = d.fill(v[k])
		}
	}
	return v
}

func decodeMsgpack(m message) (*packet, error) {
	if !m.binary {
		return nil, fmt.Errorf("%w: text in msgpack: %.100q", errPacket, m.data)
	}
	v, rest, err := msgp.ReadIntfBytes(m.data)
	if err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: %.100q, %v", errPacket, m.data, err)
	}
	f, ok := v.(map[string]any)
	if !ok {
		return nil, errPacket
	}
	p := &packet{id: -1, data: f["data"]}
	if p.typ, ok = integer(f["type"]); !ok {
		return nil, errPacket
	}
	if p.nsp, ok = f["nsp"].(string); !ok {
		return nil, errPacket
	}
	if n, ok := integer(f["id"]); ok {
		p.id = n
	}
	return p, nil
}

// integer returns a number of either parser.
func integer(v any) (int, bool) {
	switch v := v.(type) {
	case float64:
		return int(v), v == float64(int(v))
	case int64:
		return int(v), true
	case uint64:
		return int(v), true
	case int:
		return v, true
	}
	return 0, false
}
