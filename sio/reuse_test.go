package sio

import (
	"context"
	"fmt"
	"testing"
)

// Handlers are functions: one may serve many events, namespaces and sockets.
func TestOneHandlerServesMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		where := func(_ context.Context, s *Socket, n int) (string, error) {
			return fmt.Sprint(s.Namespace().Name(), n), nil
		}
		hello := func(_ context.Context, s *Socket) error { return s.Emit("hello") }
		for _, ns := range []*Namespace{r.srv.Of("/"), r.srv.Of("/chat"), r.srv.Of("/t/{id}")} {
			ns.OnConnect(hello)
			OnAck(ns, "where", where)
			OnAck(ns, "wo", where)
		}
		p := r.websocket()
		for _, nsp := range []string{"", "/chat,", "/t/1,"} {
			p.send("40" + nsp)
			if got := p.next().data; len(got) < 20 || got[:2] != "40" {
				t.Fatalf("got %q", got)
			}
			p.want("42" + nsp + `["hello"]`)
		}
		OnAck(r.srv.namespace("/t/1"), "own", where) // and be added anywhere, later
		p.send(`421["where",1]`, `42/chat,2["where",2]`, `42/chat,3["wo",3]`, `42/t/1,4["wo",4]`, `42/t/1,5["own",5]`)
		got := map[string]bool{}
		for range 5 {
			got[p.next().data] = true
		}
		for _, want := range []string{`431["/1"]`, `43/chat,2["/chat2"]`, `43/chat,3["/chat3"]`, `43/t/1,4["/t/14"]`, `43/t/1,5["/t/15"]`} {
			if !got[want] {
				t.Errorf("%s is missing in %v", want, got)
			}
		}
	})
}
