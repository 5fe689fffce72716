package sio

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/epio-go/epio/codec"
)

func TestErrorHooks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		got := make(chan error, 10)
		r.srv.OnError(func(_ *Socket, err error) { got <- err })
		r.srv.OnError(func(*Socket, error) { panic("in the hook") })
		own := errors.New("own")
		On0(r.srv, "fails", func(context.Context, *Socket) error { return own })
		On0(r.srv, "panics", func(context.Context, *Socket) error { panic("in the handler") })
		On(r.srv, "typed", func(context.Context, *Socket, int) error { return nil })
		On0(r.srv, "fine", func(context.Context, *Socket) error { return nil })
		r.srv.HandleAny(HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
			if m.Event() == "any" {
				return own
			}
			return nil
		}))
		r.srv.OnDisconnect(func(*Socket, Reason) { panic("at the end") })
		p, s := r.join()
		extra := make(chan error, 10)
		s.OnError(func(of *Socket, err error) {
			if of != s {
				t.Error("the error of another socket")
			}
			extra <- err
		})
		next := func(event string) error {
			t.Helper()
			e, ok := errors.AsType[*EventError](receive(t, got))
			if !ok || e.Event != event {
				t.Fatalf("got %v, want an *EventError of %q", e, event)
			}
			if err := receive(t, extra); err != error(e) {
				t.Errorf("the socket's own hook gets %v", err)
			}
			return e
		}
		p.send(`42["fine"]`, `42["fails"]`, `42["panics"]`, `42["typed","text"]`, `42["any"]`)
		wantErr(t, next("fails"), own)
		if _, ok := errors.AsType[*PanicError](next("panics")); !ok {
			t.Error("a panic should be a *PanicError")
		}
		if e, ok := errors.AsType[*codec.DecodeError](next("typed")); !ok || e.Arg != 0 {
			t.Errorf("got %v, want a *codec.DecodeError", e)
		}
		wantErr(t, next("any"), own)
		r.wantLog("error hook failed", "in the hook")
		p.send("41")
		next("disconnect")
		wantNone(t, got)
	})
}

func TestErrorHookOfAFailedConnectHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		got := make(chan error, 10)
		r.srv.OnError(func(_ *Socket, err error) { got <- err })
		r.srv.OnConnect(func(context.Context, *Socket) error { return ErrReservedEvent })
		p := r.websocket()
		p.send("40")
		e, ok := errors.AsType[*EventError](receive(t, got))
		if !ok || e.Event != "connect" || !errors.Is(e, ErrReservedEvent) {
			t.Errorf("got %v", e)
		}
	})
}

// Every socket of a connection hears what its client did, before the disconnect handlers
// run, and nobody else does.
func TestErrorHookOfAViolation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		type note struct{ nsp, what string }
		got := make(chan note, 10)
		for _, nsp := range []string{"/", "/a"} {
			ns := r.srv.Of(nsp)
			ns.OnError(func(s *Socket, err error) {
				if _, ok := errors.AsType[*ViolationError](err); !ok {
					t.Errorf("got %v", err)
				}
				got <- note{nsp, err.Error()}
			})
			ns.OnDisconnect(func(s *Socket, r Reason) { got <- note{nsp, string(r)} })
		}
		for _, test := range []struct{ packet, want string }{
			{"4x", "sio: protocol violation: codec: "},
			{`42/elsewhere,["x"]`, "sio: protocol violation: sio: packet for a namespace that was not joined"},
		} {
			p := r.websocket()
			p.join("/")
			p.join("/a")
			q, _ := r.join() // does not hear it
			p.send(test.packet)
			seen := map[string][]string{}
			for range 4 {
				n := receive(t, got)
				seen[n.nsp] = append(seen[n.nsp], n.what)
			}
			for nsp, list := range seen {
				if len(list) != 2 || len(list[0]) < len(test.want) || list[0][:len(test.want)] != test.want || list[1] != "forced close" {
					t.Errorf("%s: got %q", nsp, list)
				}
			}
			q.close() // no violation
			if n := receive(t, got); n != (note{"/", "transport close"}) {
				t.Errorf("got %v", n)
			}
			synctest.Wait()
			wantNone(t, got)
		}
	})
}
