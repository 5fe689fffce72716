package sio

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestOddInputCloses holds the rows of
// https://socket.io/docs/v4/socket-io-protocol/ and of the reference server's
// behaviour where the connection is closed: no packet before that, and every
// socket of the connection ends with the reason of the reference.
func TestOddInputCloses(t *testing.T) {
	for _, test := range []struct {
		name string
		send []string // after CONNECT to "/" was answered
	}{
		{"EVENT for a namespace not joined", []string{`42/chat,["x"]`}},
		{"ACK for a namespace not joined", []string{`43/chat,1[]`}},
		{"DISCONNECT for a namespace not joined", []string{`41/chat`}},
		{"BINARY_EVENT for a namespace not joined", []string{`450-/chat,["x"]`}},
		{"EVENT for an unknown namespace", []string{`42/nowhere,["x"]`}},
		{"EVENT after DISCONNECT", []string{`41`, `42["x"]`}},
		{"CONNECT twice", []string{`40`}},
		{"CONNECT twice, with auth", []string{`40{"a":1}`}},
		{"CONNECT with an array", []string{`40/chat,[]`}},
		{"CONNECT with a string", []string{`40/chat,"x"`}},
		{"CONNECT with null", []string{`40/chat,null`}},
		{"CONNECT_ERROR", []string{`44{"message":"x"}`}},
		{"DISCONNECT with a payload", []string{`41["x"]`}},
		{"unknown type", []string{`47`}},
		{"no type", []string{`4x`}},
		{"empty message", []string{`4`}},
		{"EVENT with an object", []string{`42{}`}},
		{"EVENT without a name", []string{`42[]`}},
		{"EVENT with a null name", []string{`42[null]`}},
		{"EVENT with bad JSON", []string{`42["x"`}},
		{"EVENT with trailing garbage", []string{`42["x"]]`}},
		{"EVENT with a reserved name", []string{`42["connect"]`}},
		{"EVENT with another reserved name", []string{`42["disconnecting"]`}},
		{"ACK with an object", []string{`431{}`}},
		{"BINARY_EVENT without attachments", []string{`450-["x"]`}},
		{"BINARY_EVENT with too many attachments", []string{`4511-["x"]`}},
		{"text instead of an attachment", []string{`451-["x",{"_placeholder":true,"num":0}]`, `42["x"]`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				r.srv.Of("/chat")
				called := make(chan Reason, 10)
				r.srv.OnDisconnect(func(_ *Socket, reason Reason) { called <- reason })
				p, _ := r.join()
				p.send(test.send...)
				p.wantEnd()
				want := ForcedClose
				if test.send[0] == "41" {
					want = ClientDisconnect
				}
				wantFrom(t, called, want)
				wantNone(t, called)
				r.wantLog("protocol violation")
			})
		})
	}
}

func TestOddInputBeforeAnyConnect(t *testing.T) {
	for _, packet := range []string{`42["x"]`, `421["x"]`, `431[]`, `41`, `451-["x"]`, `44`} {
		t.Run(packet, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				called := make(chan string, 1)
				r.srv.HandleAny(HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { called <- m.Event(); return nil }))
				p := r.websocket()
				p.send(packet)
				if packet == `451-["x"]` {
					p.sendBinary("x")
				}
				p.wantEnd()
				wantNone(t, called)
			})
		})
	}
}

func TestBinaryThatNobodyExpectsCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, _ := r.join()
		p.sendBinary("x")
		p.wantEnd()
	})
}

// TestOddInputIsAccepted holds the rows where the connection goes on.
func TestOddInputIsAccepted(t *testing.T) {
	for _, test := range []struct {
		name string
		send string
		want string // what the catch-all handler sees
	}{
		{"EVENT with a numeric name", `42[1,"a"]`, `1 ["a"]`},
		{"EVENT with an empty name", `42[""]`, ` []`},
		{"EVENT without payload", `42`, ` []`},
		{"EVENT named error", `42["error","a"]`, `error ["a"]`},
		{"EVENT named connection", `42["connection"]`, `connection []`},
		{"EVENT with an id of leading zeros", `42007["x"]`, `x []`},
		{"placeholder in a plain EVENT", `42["x",{"_placeholder":true,"num":0}]`, `x [{"_placeholder":true,"num":0}]`},
		{"ACK with an unknown id", `437["x"]`, ""},
		{"ACK without an id", `43["x"]`, ""},
		{"ACK without a payload", `437`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				seen := make(chan string, 1)
				r.srv.HandleAny(HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error {
					var args []string
					for i := range m.Len() {
						args = append(args, string(m.Raw(i)))
					}
					if m.Event() != "after" {
						seen <- m.Event() + " [" + strings.Join(args, " ") + "]"
					}
					return nil
				}))
				OnAck0(r.srv, "after", func(context.Context, *Socket) (int, error) { return 1, nil })
				p, _ := r.join()
				p.send(test.send, `421["after"]`)
				p.want(`431[1]`)
				if test.want != "" {
					wantFrom(t, seen, test.want)
				}
				wantNone(t, seen)
			})
		})
	}
}

func TestEventWithoutPayloadReachesCatchAllsOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 4)
		tell := func(what string) Handler {
			return HandlerFunc(func(context.Context, *Socket, *Message) error { seen <- what; return nil })
		}
		r.srv.HandleAny(tell("any"))
		r.srv.HandleFallback(tell("fallback"))
		r.srv.Handle("", tell("handler"))
		p, _ := r.join()
		p.send("42")
		wantFrom(t, seen, "any")
		wantNone(t, seen)
		p.send(`42[""]`)
		wantFrom(t, seen, "any", "handler")
	})
}

// The reference closes the connection here; no official client does it, and
// waiting costs nothing.
func TestEventsMayFollowConnectAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		open := make(chan struct{})
		ns := r.srv.Of("/chat")
		ns.Use(func(context.Context, *Socket) error { <-open; return nil })
		OnAck(ns, "echo", func(_ context.Context, _ *Socket, v string) (string, error) { return v, nil })
		p := r.websocket()
		p.together(`40/chat,`, `42/chat,1["echo","a"]`, `42/chat,2["echo","b"]`)
		p.wantNothing()
		close(open)
		p.joined("/chat")
		p.want(`43/chat,1["a"]`, `43/chat,2["b"]`)
	})
}

func TestEventsBehindARefusedConnectAreDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		open := make(chan struct{})
		called := make(chan string, 1)
		r.srv.Use(func(context.Context, *Socket) error { <-open; return &Error{Message: "no"} })
		On0(r.srv, "x", func(context.Context, *Socket) error { called <- "x"; return nil })
		p := r.websocket()
		p.together(`40`, `421["x"]`)
		p.wantNothing()
		close(open)
		p.want(`44{"message":"no"}`)
		p.wantNothing()
		wantNone(t, called)
	})
}

func TestNamespaceCanBeJoinedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		ns := r.srv.Of("/chat")
		gone := make(chan string, 10)
		ns.OnDisconnect(func(s *Socket, reason Reason) { gone <- s.ID() + " " + string(reason) })
		OnAck0(ns, "id", func(_ context.Context, s *Socket) (string, error) { return s.ID(), nil })
		p := r.websocket()
		seen := map[string]bool{}
		for range 3 {
			s := p.join("/chat")
			if seen[s.ID()] || s.ID() == s.Conn().ID() {
				t.Fatalf("socket id %s is not new", s.ID())
			}
			seen[s.ID()] = true
			p.send(`42/chat,1["id"]`)
			p.want(fmt.Sprintf(`43/chat,1["%s"]`, s.ID()))
			p.send(`41/chat`)
			wantFrom(t, gone, s.ID()+" client namespace disconnect")
		}
		p.wantNothing()
	})
}

// DISCONNECT and CONNECT need not wait for each other.
func TestDisconnectWhileConnecting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		causes := make(chan error, 1)
		var attempts atomic.Int32
		r.srv.Use(func(ctx context.Context, s *Socket) error {
			if attempts.Add(1) == 1 {
				<-ctx.Done()
				causes <- context.Cause(ctx)
			}
			return nil
		})
		called := make(chan Reason, 1)
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { called <- reason })
		p := r.websocket()
		p.send("40")
		p.wantNothing()
		p.together("41", "40")
		p.joined("/")
		wantFrom(t, causes, error(ClientDisconnect))
		p.wantNothing()
		wantNone(t, called) // the first never connected
	})
}

func TestConnectionsHaveSocketsInSeveralNamespaces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		for _, name := range []string{"/a", "/b", "/c"} {
			OnAck0(r.srv.Of(name), "where", func(_ context.Context, s *Socket) (string, error) { return s.Namespace().Name(), nil })
		}
		p := r.websocket()
		a, b, c := p.join("/a"), p.join("/b"), p.join("/c")
		if a.ID() == b.ID() || b.ID() == c.ID() || a.Conn() != c.Conn() {
			t.Error("sockets of one connection should share it, not their ids")
		}
		p.send(`42/b,1["where"]`, `42/a,2["where"]`, `42/c,3["where"]`)
		got := map[string]bool{p.next().data: true, p.next().data: true, p.next().data: true}
		for _, w := range []string{`43/b,1["/b"]`, `43/a,2["/a"]`, `43/c,3["/c"]`} {
			if !got[w] {
				t.Errorf("got %v, want %s", got, w)
			}
		}
		p.send(`41/a`)
		must(t, b.Emit("still"))
		p.want(`42/b,["still"]`)
	})
}

func TestMaxNamespaces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{MaxNamespaces: 2})
		for _, name := range []string{"/a", "/b", "/c"} {
			r.srv.Of(name)
		}
		p := r.websocket()
		p.join("/a")
		p.join("/b")
		p.send("41/a") // makes room
		p.join("/c")
		p.send("40/a,")
		p.wantEnd()
		r.wantLog("too many namespaces")
	})
}

func TestUnknownNamespaceIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.srv.Of("/x")
		p := r.websocket()
		p.send("40/nowhere,", "40/x?a=1,") // the query belongs to the name
		got := map[string]bool{p.next().data: true, p.next().data: true}
		for _, w := range []string{`44/nowhere,{"message":"Invalid namespace"}`, `44/x?a=1,{"message":"Invalid namespace"}`} {
			if !got[w] {
				t.Errorf("got %v, want %s", got, w)
			}
		}
		p.join("/") // the connection goes on
		if n := len(slices.Collect(r.srv.Namespaces())); n != 2 {
			t.Errorf("%d namespaces exist, want 2", n)
		}
	})
}
