package sio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/epio-go/epio/eio"
)

// more of TestOddInputCloses: every spelling of a row. A packet that starts with "b"
// stands for an attachment.
func TestOddInputClosesInEverySpelling(t *testing.T) {
	const two = `{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}`
	attachments := func(n int) []string {
		s := make([]string, n)
		for i := range s {
			s[i] = "b"
		}
		return s
	}
	tests := map[string][][]string{
		"CONNECT payload": {
			{`40/chat,false`}, {`40/chat,true`}, {`40/chat,{`}, {`40/chat,{"a"}`}, {`40/chat,x`}, {`40/chat,{}x`}, {`40/chat,[{}]`},
		},
		"CONNECT_ERROR":      {{`44`}, {`44"x"`}, {`44/chat,{"message":"x"}`}},
		"DISCONNECT payload": {{`41{}`}, {`41""`}, {`41null`}, {`41/chat,[]`}},
		"type":               {{`48`}, {`49["x"]`}, {`4a`}, {`4 `}, {`4-`}, {`4["x"]`}, {`4/`}},
		"EVENT payload": {
			{`42[true]`},
			{`42[false]`},
			{`42[{}]`},
			{`42[[]]`},
			{`42"x"`},
			{`42null`},
			{`421`, `42[]`},
			{`42["x",]`},
			{`42["x"`},
			{`42[`},
			{`42["x"]x`},
			{`42abc["x"]`},
			{`42-1["x"]`},
			{`421.5["x"]`},
			{`42["\u"]`},
			{"42[\"\n\"]"},
			{`42{"0":"x","length":1}`},
		},
		"reserved name": {
			{`42["connect"]`},
			{`42["connect_error"]`},
			{`42["disconnect"]`},
			{`42["disconnecting"]`},
			{`42["newListener"]`},
			{`42["removeListener"]`},
			{`42["conn\u0065ct"]`},
			{`451-["disconnect",{"_placeholder":true,"num":0}]`, "b"},
		},
		"ACK payload": {{`431{}`}, {`431"x"`}, {`431null`}, {`431true`}, {`431[`}, {`431[1]x`}},
		"attachments": {
			{`45["x"]`},
			{`451["x"]`},
			{`45-["x"]`},
			{`450-["x"]`},
			{`45-1-["x"]`},
			{`451.5-["x"]`},
			{`45x-["x"]`},
			{`45`},
			{`451`},
			{`46["x"]`},
			{`460-1["x"]`},
			{`4611-1["x"]`},
			{`4611-["x"]`},
			{`4599999999999999999999-["x"]`},
			{`451e1-["x"]`},
		},
		"text while attachments are outstanding": {
			{`451-["x",{"_placeholder":true,"num":0}]`, `43`}, {`452-["x",` + two + `]`, "b", `42["x"]`}, {`461-1[{"_placeholder":true,"num":0}]`, `40/chat,`},
		},
		"attachment that nobody expects": {{"b"}, append([]string{`451-["x",{"_placeholder":true,"num":0}]`}, attachments(2)...), {`42["x"]`, "b"}},
		"placeholder": {
			{`451-["x",{"_placeholder":true,"num":1}]`, "b"},
			{`451-["x",{"_placeholder":true,"num":-1}]`, "b"},
			{`451-["x",{"_placeholder":true,"num":"0"}]`, "b"},
			{`451-["x",{"_placeholder":true}]`, "b"},
			{`451-["x",{"_placeholder":true,"num":0.5}]`, "b"},
			{`451-["x",{"_placeholder":true,"num":null}]`, "b"},
		},
		"not joined": {{`42/chat,1["x"]`}, {`43/chat,1[]`}, {`41/chat,`}, {`451-/chat,["x",{"_placeholder":true,"num":0}]`, "b"}, {`461-/chat,1[{"_placeholder":true,"num":0}]`, "b"}},
		"joined":     {{`40`}, {`40/,`}, {`40{}`}},
	}
	for row, sends := range tests {
		for _, send := range sends {
			t.Run(fmt.Sprintf("%s/%q", row, send), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := memory(t, Config{})
					r.srv.Of("/chat")
					called := make(chan Reason, 10)
					r.srv.OnDisconnect(func(_ *Socket, reason Reason) { called <- reason })
					p, _ := r.join()
					for _, s := range send {
						if s == "b" {
							p.sendBinary("b")
						} else {
							p.send(s)
						}
					}
					p.wantEnd()
					wantFrom(t, called, ForcedClose)
					wantNone(t, called)
					r.wantLog("protocol violation")
				})
			})
		}
	}
}

// TestOddInputGoesOn holds further rows where the connection goes on.
func TestOddInputGoesOn(t *testing.T) {
	for name, send := range map[string][]string{
		"one attachment in two places":   {`451-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`, "b"},
		"attachment nobody refers to":    {`452-["x",{"_placeholder":true,"num":1}]`, "b", "b"},
		"no placeholder at all":          {`451-["x"]`, "b"},
		"BINARY_EVENT without payload":   {`451-`, "b"},
		"EVENT with an id, no payload":   {`427`},
		"CONNECT with an id as payload":  {`40/chat,1`},
		"ten attachments":                {`4510-["x"]`, "b", "b", "b", "b", "b", "b", "b", "b", "b", "b"},
		"BINARY_ACK with an unknown id":  {`461-7[{"_placeholder":true,"num":0}]`, "b"},
		"CONNECT with an id":             {`40/chat,12`},
		"DISCONNECT, then CONNECT again": {`40/chat,`, `41/chat,`, `40/chat,`},
		"EVENT with a huge id":           {`42123456789012345678["x"]`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				r.srv.Of("/chat")
				OnAck0(r.srv, "after", func(context.Context, *Socket) (int, error) { return 1, nil })
				p, _ := r.join()
				for _, s := range send {
					switch {
					case s == "b":
						p.sendBinary("b")
					case strings.HasPrefix(s, "40/chat"):
						p.send(s)
						p.joined("/chat")
					default:
						p.send(s)
					}
				}
				p.send(`421["after"]`)
				p.want(`431[1]`)
			})
		})
	}
}

// TestTooBigForTheConnection holds what a handler of disconnects can find out about
// a message over the limit.
func TestTooBigForTheConnection(t *testing.T) {
	big := strings.Repeat("x", 3000)
	for name, send := range map[string]func(p *peer){
		"event":      func(p *peer) { p.send(`42["x","` + big + `"]`) },
		"attachment": func(p *peer) { p.send(`451-["x",{"_placeholder":true,"num":0}]`); p.sendBinary(big) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{Engine: eio.Config{MaxPayload: 2000}})
				causes := make(chan error, 1)
				r.srv.OnDisconnect(func(s *Socket, reason Reason) {
					_, err := s.Conn().Cause()
					causes <- fmt.Errorf("%s: %w", reason, err)
				})
				p, _ := r.join()
				send(p)
				err := <-causes
				se, ok := errors.AsType[*eio.SizeError](err)
				if !ok || se.Size < 3000 || se.Limit != 2000 || !strings.Contains(err.Error(), string(TransportError)+": ") {
					t.Errorf("cause is %v", err)
				}
			})
		})
	}
}
