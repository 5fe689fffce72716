package sio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
)

// members is a msgpack packet, or a value in one.
type members = map[string]any

// pack sends a packet.
func (p *peer) pack(packet members) {
	p.t.Helper()
	b, err := msgp.AppendIntf(nil, packet)
	if err != nil {
		p.t.Fatal(err)
	}
	p.sendBinary(string(b))
}

// wantPack checks the next packet.
func (p *peer) wantPack(want members) {
	p.t.Helper()
	if got := p.unpack(); !reflect.DeepEqual(got, want) {
		p.t.Fatalf("got %v, want %v", got, want)
	}
}

// unpack returns the next packet. Integers are int64.
func (p *peer) unpack() members {
	p.t.Helper()
	got := p.next()
	if !got.binary {
		p.t.Fatalf("got %v, want a binary message", got)
	}
	v, rest, err := msgp.ReadMapStrIntfBytes([]byte(got.data), nil)
	if err != nil || len(rest) > 0 {
		p.t.Fatalf("got %v: %v, %d bytes left", got, err, len(rest))
	}
	return v
}

// joinPack joins a namespace and returns the server's end.
func (p *peer) joinPack(nsp string) *Socket {
	p.t.Helper()
	p.pack(members{"type": 0, "nsp": nsp})
	got := p.unpack()
	data, _ := got["data"].(members)
	sid, _ := data["sid"].(string)
	s := p.r.srv.namespace(nsp).Socket(sid)
	if got["type"] != int64(0) || got["nsp"] != nsp || s == nil {
		p.t.Fatalf("got %v, want CONNECT", got)
	}
	return s
}

// list is an argument list as it is received.
func list(v ...any) []any { return append([]any{}, v...) }

func TestMsgpack(t *testing.T) {
	for _, way := range []string{"websocket", "polling"} {
		t.Run(way, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{Parser: codec.Msgpack})
				open := r.websocket
				if way == "polling" {
					open = r.polling
				}
				testMsgpack(t, r, open)
			})
		})
	}
}

// testMsgpack goes through every kind of packet, both ways.
func testMsgpack(t *testing.T, r *rig, open func() *peer) {
	type point struct {
		X    float64   `json:"x"`
		Data []byte    `json:"data"`
		At   time.Time `json:"at"`
	}
	at := time.UnixMilli(1700000000123).UTC()
	date := msgp.RawExtension{Type: 0, Data: []byte{0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0x7b}}
	ns := r.srv.Of("/chat")
	ns.Use(func(_ context.Context, s *Socket) error {
		var auth struct{ Refuse bool }
		if err := s.Auth(&auth); err != nil || auth.Refuse {
			return &Error{Message: "no", Data: members{"code": 1}}
		}
		return nil
	})
	OnAck(ns, "move", func(_ context.Context, _ *Socket, p point) (point, error) {
		if !p.At.IsZero() {
			return p, fmt.Errorf("at %v", p.At)
		}
		return point{p.X + 1, append(p.Data, 2), at}, nil
	})
	OnAck0(ns, "fail", func(context.Context, *Socket) (None, error) { return None{}, &Error{Message: "m", Data: []byte{1}} })
	ns.Handle("pass", HandlerFunc(func(_ context.Context, s *Socket, m *Message) error {
		return s.Emit("passed", msgp.Raw(m.Raw(0)), json.RawMessage(`{"a":[1]}`))
	}))
	var outgoing []string
	ns.HandleAnyOutgoing(func(_ *Socket, event string, args []any) { outgoing = append(outgoing, fmt.Sprint(event, len(args))) })

	p := open()
	p.pack(members{"type": 0, "nsp": "/chat", "data": members{"refuse": true}})
	p.wantPack(members{"type": int64(4), "nsp": "/chat", "data": members{"message": "no", "data": members{"code": int64(1)}}})
	p.pack(members{"type": 0, "nsp": "/nowhere"})
	p.wantPack(members{"type": int64(4), "nsp": "/nowhere", "data": members{"message": "Invalid namespace"}})
	s := p.joinPack("/chat")

	p.pack(members{"type": 2, "nsp": "/chat", "id": 7, "options": members{}, "data": list("move", members{"x": 2, "data": []byte{1}})})
	p.wantPack(members{"type": int64(3), "nsp": "/chat", "id": int64(7), "data": list(members{"x": int64(3), "data": []byte{1, 2}, "at": &date})})
	p.pack(members{"type": 2, "nsp": "/chat", "id": 8, "data": list("fail")})
	p.wantPack(members{"type": int64(3), "nsp": "/chat", "id": int64(8), "data": list(members{"error": members{"message": "m", "data": []byte{1}}})})
	p.pack(members{"type": 2, "nsp": "/chat", "data": list("pass", members{"k": list([]byte{9}, nil)})})
	p.wantPack(members{"type": int64(2), "nsp": "/chat", "data": list("passed", members{"k": list([]byte{9}, nil)}, members{"a": list(int64(1))})})

	answer := make(chan point, 1)
	go func() {
		v, err := Call[point](context.Background(), s, "where?", "here")
		if err != nil {
			t.Error(err)
		}
		answer <- v
	}()
	p.wantPack(members{"type": int64(2), "nsp": "/chat", "id": int64(0), "data": list("where?", "here")})
	p.pack(members{"type": 3, "nsp": "/chat", "id": 0, "data": list(members{"x": 5, "data": []byte{3}})})
	if v := receive(t, answer); v.X != 5 || !bytes.Equal(v.Data, []byte{3}) {
		t.Errorf("answered %+v", v)
	}

	s.Disconnect(false)
	p.wantPack(members{"type": int64(1), "nsp": "/chat"})
	if len(outgoing) != 2 || outgoing[0] != "passed2" || outgoing[1] != "where?1" {
		t.Errorf("outgoing: %v", outgoing)
	}
}

// tallied counts how often it is encoded.
type tallied struct{ times *int }

func (c tallied) MarshalMsg(b []byte) ([]byte, error) {
	*c.times++
	return msgp.AppendString(b, "counted"), nil
}

func TestMsgpackBroadcastIsEncodedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Parser: codec.Msgpack})
		peers := make([]*peer, 4)
		for i := range peers {
			if peers[i] = r.websocket(); i == 3 {
				peers[i] = r.polling()
			}
			must(t, peers[i].joinPack("/").Join("room"))
		}
		times := 0
		must(t, r.srv.To("room").Emit("news", tallied{&times}, []byte{1}))
		for _, p := range peers {
			p.wantPack(members{"type": int64(2), "nsp": "/", "data": list("news", "counted", []byte{1})})
		}
		if times != 1 {
			t.Errorf("encoded %d times", times)
		}
	})
}

func TestMsgpackGather(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Parser: codec.Msgpack})
		a, b := r.websocket(), r.polling()
		sa, sb := a.joinPack("/"), b.joinPack("/")
		c := gatheringAll(context.Background(), t, r.srv)
		for i, p := range []*peer{a, b} {
			p.wantPack(members{"type": int64(2), "nsp": "/", "id": int64(0), "data": list("ask")})
			p.pack(members{"type": 3, "nsp": "/", "id": 0, "data": list(10 + i)})
		}
		wantItems(t, c, map[string]item{sa.ID(): {v: 10}, sb.ID(): {v: 11}})
		r.wantSettled(sa, sb)
	})
}

func TestMsgpackViolations(t *testing.T) {
	for name, send := range map[string]func(p *peer){
		"text message":         func(p *peer) { p.send(`42["x"]`) },
		"no msgpack":           func(p *peer) { p.sendBinary("\xc1") },
		"truncated":            func(p *peer) { p.sendBinary("\x83\xa4type\x02") },
		"reserved event name":  func(p *peer) { p.pack(members{"type": 2, "nsp": "/", "data": list("connect")}) },
		"namespace not joined": func(p *peer) { p.pack(members{"type": 2, "nsp": "/chat", "data": list("x")}) },
		"joined twice":         func(p *peer) { p.pack(members{"type": 0, "nsp": "/"}) },
		"too deep": func(p *peer) {
			p.pack(members{"type": 2, "nsp": "/", "data": list("x", msgp.Raw(bytes.Repeat([]byte{0x91}, 200)))})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{Parser: codec.Msgpack})
				r.srv.Of("/chat")
				called := make(chan Reason, 10)
				r.srv.OnDisconnect(func(_ *Socket, reason Reason) { called <- reason })
				p := r.websocket()
				p.joinPack("/")
				send(p)
				p.wantEnd()
				wantFrom(t, called, Reason(eio.ForcedClose))
				r.wantLog("protocol violation")
			})
		})
	}
}

// TestMsgpackKeepsMessages clones a message and reads it after its handler.
func TestMsgpackKeepsMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Parser: codec.Msgpack})
		kept := make(chan *Message, 1)
		r.srv.Handle("keep", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
			if m.Attachments() != 0 || m.Len() != 2 {
				return errors.New("unexpected message")
			}
			kept <- m.Clone()
			return nil
		}))
		p := r.websocket()
		p.joinPack("/")
		p.pack(members{"type": 2, "nsp": "/", "id": 1, "data": list("keep", "text", []byte{1, 2})})
		m := receive(t, kept)
		p.pack(members{"type": 2, "nsp": "/", "data": list("nobody", "TEXT", []byte{8, 9})})
		args, err := m.Args()
		if err != nil || !reflect.DeepEqual(args, list("text", []byte{1, 2})) {
			t.Errorf("%v, %v", args, err)
		}
		must(t, m.Ack(args...))
		p.wantPack(members{"type": int64(3), "nsp": "/", "id": int64(1), "data": list("text", []byte{1, 2})})
	})
}
