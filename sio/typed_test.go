package sio

import (
	"context"
	"fmt"
	"testing"

	"github.com/epio-go/epio/codec"
)

// ctxErr checks what every handler gets and returns nil.
func ctxErr(t *testing.T, ctx context.Context, s *Socket) error {
	if ctx != s.Context() || ctx.Err() != nil {
		t.Error("a handler's context should be the socket's")
	}
	return nil
}

func TestArities(t *testing.T) {
	type point struct{ X, Y int }
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 1)
		On0(r.srv, "on0", func(ctx context.Context, s *Socket) error { seen <- "on0"; return ctxErr(t, ctx, s) })
		On(r.srv, "on", func(ctx context.Context, s *Socket, a string) error { seen <- fmt.Sprint(a); return ctxErr(t, ctx, s) })
		On2(r.srv, "on2", func(ctx context.Context, s *Socket, a string, b int) error {
			seen <- fmt.Sprint(a, b)
			return ctxErr(t, ctx, s)
		})
		On3(r.srv, "on3", func(ctx context.Context, s *Socket, a string, b int, c point) error {
			seen <- fmt.Sprint(a, b, c)
			return ctxErr(t, ctx, s)
		})
		On4(r.srv, "on4", func(ctx context.Context, s *Socket, a string, b int, c point, d []bool) error {
			seen <- fmt.Sprint(a, b, c, d)
			return ctxErr(t, ctx, s)
		})
		OnAck0(r.srv, "ack0", func(ctx context.Context, s *Socket) (string, error) { return "ack0", ctxErr(t, ctx, s) })
		OnAck(r.srv, "ack", func(ctx context.Context, s *Socket, a string) (string, error) { return a, ctxErr(t, ctx, s) })
		OnAck2(r.srv, "ack2", func(ctx context.Context, s *Socket, a string, b int) (string, error) {
			return fmt.Sprint(a, b), ctxErr(t, ctx, s)
		})
		OnAck3(r.srv, "ack3", func(ctx context.Context, s *Socket, a string, b int, c point) (string, error) {
			return fmt.Sprint(a, b, c), ctxErr(t, ctx, s)
		})
		OnAck4(r.srv, "ack4", func(ctx context.Context, s *Socket, a string, b int, c point, d []bool) (string, error) {
			return fmt.Sprint(a, b, c, d), ctxErr(t, ctx, s)
		})
		p, _ := r.join()
		for _, test := range []struct{ on, args, want string }{
			{"0", ``, "0"},
			{"0", `,1,2`, "0"}, // more than wanted
			{"", `,"a"`, "a"},
			{"", ``, ""}, // fewer than wanted
			{"", `,null`, ""},
			{"", `,"a",2,3`, "a"},
			{"2", `,"a",2`, "a2"},
			{"2", `,"a"`, "a0"},
			{"2", ``, "0"},
			{"3", `,"a",2,{"X":3,"Y":4,"Z":5}`, "a2 {3 4}"},
			{"3", `,"a",2`, "a2 {0 0}"},
			{"4", `,"a",2,{"Y":4},[true,false]`, "a2 {0 4} [true false]"},
			{"4", `,"a",2,{},null,"more"`, "a2 {0 0} []"},
		} {
			on, ack := test.want, test.want
			if test.on == "0" {
				on, ack = "on0", "ack0"
			}
			p.send(`42["on` + test.on + `"` + test.args + `]`)
			wantFrom(t, seen, on)
			p.send(`425["ack` + test.on + `"` + test.args + `]`)
			p.want(`435["` + ack + `"]`)
		}
	})
}

func TestArgumentsThatDoNotFit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		no := func() error { t.Error("a handler was called with what does not fit"); return nil }
		On(r.srv, "on", func(context.Context, *Socket, int) error { return no() })
		On2(r.srv, "on2", func(context.Context, *Socket, string, int) error { return no() })
		On3(r.srv, "on3", func(context.Context, *Socket, string, string, int) error { return no() })
		On4(r.srv, "on4", func(context.Context, *Socket, string, string, string, int) error { return no() })
		OnAck(r.srv, "ack", func(context.Context, *Socket, int) (int, error) { return 0, no() })
		OnAck2(r.srv, "ack2", func(context.Context, *Socket, string, int) (int, error) { return 0, no() })
		OnAck3(r.srv, "ack3", func(context.Context, *Socket, string, string, int) (int, error) { return 0, no() })
		OnAck4(r.srv, "ack4", func(context.Context, *Socket, string, string, string, int) (int, error) { return 0, no() })
		p, _ := r.join()
		for _, name := range []string{"on", "on2", "on3", "on4", "ack", "ack2", "ack3", "ack4"} {
			p.send(`421["`+name+`","x","x","x","x"]`, `42["`+name+`","x","x","x","x"]`)
			p.want(`431[{"error":{"message":"internal error"}}]`)
		}
		p.wantNothing() // the connection stays
		r.wantLog("handler failed", "event=on3")
	})
}

func TestNoneAcknowledgesWithoutArguments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		OnAck0(r.srv, "none", func(context.Context, *Socket) (None, error) { return None{}, nil })
		OnAck0(r.srv, "nil", func(context.Context, *Socket) (any, error) { return nil, nil })
		p, _ := r.join()
		p.send(`421["none"]`, `422["nil"]`, `42["none"]`)
		p.want(`431[]`, `432[null]`)
		p.wantNothing()
	})
}

func TestBinaryBothWays(t *testing.T) {
	type file struct {
		Name string `json:"name"`
		Data []byte `json:"data"`
	}
	for _, transport := range []string{"websocket", "polling"} {
		t.Run(transport, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				OnAck(r.srv, "upload", func(_ context.Context, s *Socket, f file) (file, error) {
					return file{f.Name + "!", append(f.Data, 0xff)}, s.Emit("raw", f.Data, []any{f.Data, "x"})
				})
				p := r.websocket()
				if transport == "polling" {
					p = r.polling()
				}
				s := p.join("/")
				p.send(`451-1["upload",{"name":"n","data":{"_placeholder":true,"num":0}}]`)
				p.sendBinary("\x00\x01")
				p.want(`452-["raw",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1},"x"]]`)
				p.wantBinary("\x00\x01")
				p.wantBinary("\x00\x01")
				p.want(`461-1[{"name":"n!","data":{"_placeholder":true,"num":0}}]`)
				p.wantBinary("\x00\x01\xff")

				got := make(chan file, 1)
				go func() {
					f, err := Call[file](context.Background(), s, "download", []byte{})
					if err != nil {
						t.Error(err)
					}
					got <- f
				}()
				p.want(`451-0["download",{"_placeholder":true,"num":0}]`)
				p.wantBinary("")
				p.send(`461-0[{"name":"a","data":{"_placeholder":true,"num":0}}]`)
				p.sendBinary("abc")
				if f := receive(t, got); f.Name != "a" || string(f.Data) != "abc" {
					t.Errorf("got %v", f)
				}
			})
		})
	}
}

func TestMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		done := make(chan struct{})
		var clone *Message
		r.srv.Handle("m", HandlerFunc(func(_ context.Context, s *Socket, m *Message) error {
			defer close(done)
			if m.Event() != "m" || m.Socket() != s || m.Len() != 3 || !m.HasAck() || m.Attachments() != 1 || string(m.Raw(0)) != `{"a":1}` {
				t.Errorf("message %q %d %v %d %q", m.Event(), m.Len(), m.HasAck(), m.Attachments(), m.Raw(0))
			}
			args, err := m.Args()
			if err != nil || fmt.Sprint(args) != "[map[a:1] x [1]]" {
				t.Errorf("args %v, %v", args, err)
			}
			var a struct{ A int }
			var b string
			var c []byte
			d := 7
			if err := m.Scan(&a, &b, &c, &d); err != nil || a.A != 1 || b != "x" || string(c) != "\x01" || d != 7 {
				t.Errorf("scanned %v %q %q %d, %v", a, b, c, d, err)
			}
			var n int
			if err, ok := m.Decode(1, &n).(*codec.DecodeError); !ok || err.Arg != 1 {
				t.Errorf("decoding a string into an int: %v", err)
			}
			clone = m.Clone()
			if err := clone.Ack("first"); err != nil {
				return err
			}
			return m.Ack("second") // answered already
		}))
		p, _ := r.join()
		p.send(`451-9["m",{"a":1},"x",{"_placeholder":true,"num":0}]`)
		p.sendBinary("\x01")
		p.want(`439["first"]`)
		<-done
		must(t, clone.Ack("third"))
		p.wantNothing()
	})
}

func TestAckAfterTheHandlerReturned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		clones := make(chan *Message, 2)
		r.srv.Handle("later", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { clones <- m.Clone(); return nil }))
		p, s := r.join()
		p.send(`421["later"]`, `422["later"]`)
		p.wantNothing()
		must(t, (<-clones).Ack("a", 2))
		p.want(`431["a",2]`)
		s.Disconnect(false)
		p.want("41")
		wantErr(t, (<-clones).Ack(), ErrClosed)
		p.wantNothing()
	})
}

// meanwhile does something while it is encoded.
type meanwhile struct{ do func() }

func (v meanwhile) MarshalJSON() ([]byte, error) {
	v.do()
	return []byte(`"late"`), nil
}

// Of two answers at the same time one is sent: the one that is encoded first.
func TestAckWhileAnotherIsEncoded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.srv.Handle("x", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
			return m.Ack(meanwhile{func() { must(t, m.Clone().Ack("first")) }})
		}))
		p, _ := r.join()
		p.send(`421["x"]`)
		p.want(`431["first"]`)
		p.wantNothing()
	})
}

func TestAckThatCannotBeEncoded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		OnAck0(r.srv, "bad", func(context.Context, *Socket) (any, error) { return make(chan int), nil })
		p, _ := r.join()
		p.send(`421["bad"]`)
		p.want(`431[{"error":{"message":"internal error"}}]`)
	})
}
