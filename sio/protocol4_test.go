package sio

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
)

var allowOld = Config{Engine: eio.Config{AllowEIO3: true}}

// old opens a WebSocket of a client of protocol 4, which is in "/" once the server
// says so, and returns its session id.
func (r *rig) old(query string) (*peer, string) {
	r.t.Helper()
	nc, err := r.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	p := &peer{t: r.t, r: r, nc: nc, br: bufio.NewReader(nc)}
	r.t.Cleanup(p.close)
	fmt.Fprintf(nc, strings.Replace(upgradeRequest, "EIO=4", "EIO=3", 1), query, r.addr, "")
	resp, err := http.ReadResponse(p.br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		r.t.Fatal(resp, err)
	}
	open := p.next().data
	sid, _, _ := strings.Cut(strings.TrimPrefix(open, `0{"sid":"`), `"`)
	if sid == open {
		r.t.Fatalf("got %q, want OPEN", open)
	}
	return p, sid
}

// oldJoined is old for a server that lets everybody in.
func (r *rig) oldJoined(query string) (*peer, *Socket) {
	r.t.Helper()
	p, sid := r.old(query)
	p.want("40")
	s := r.srv.Socket(sid)
	if s == nil {
		r.t.Fatalf("no socket %s", sid)
	}
	return p, s
}

func TestOldClientIsInRoot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, allowOld)
		var order []string
		r.srv.Use(func(_ context.Context, s *Socket) error {
			order = append(order, "middleware")
			return s.Join("early")
		})
		r.srv.OnConnect(func(_ context.Context, s *Socket) error { return s.Emit("welcome", s.ID()) })
		reasons := make(chan Reason, 1)
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { reasons <- reason })
		OnAck(r.srv, "echo", func(_ context.Context, _ *Socket, v []byte) ([]byte, error) { return v, nil })

		p, s := r.oldJoined("&a=b")
		p.want(`42["welcome","` + s.ID() + `"]`)
		if s.ID() != s.Conn().ID() || s.Conn().Protocol() != 3 || len(order) != 1 {
			t.Errorf("id %s, session %s, %v", s.ID(), s.Conn().ID(), order)
		}
		if got := s.Rooms(); len(got) != 2 {
			t.Errorf("rooms %q", got)
		}
		auth := map[string]any{"untouched": true}
		if err := s.Auth(&auth); err != nil || len(auth) != 1 {
			t.Errorf("auth %v, %v", auth, err)
		}
		if q := s.Handshake().Info().Query; q["EIO"] != "3" || q["a"] != "b" {
			t.Errorf("query %v", q)
		}

		// Attachments have a type in front.
		p.send(`451-7["echo",{"_placeholder":true,"num":0}]`)
		p.sendBinary("\x04xyz")
		p.want(`461-7[{"_placeholder":true,"num":0}]`)
		p.wantBinary("\x04xyz")

		// It never has to join anything.
		time.Sleep(40 * time.Second)
		p.send("2")
		p.want("3")
		time.Sleep(40 * time.Second)
		p.send("2")
		p.want("3")

		p.send("41")
		if got := <-reasons; got != ClientDisconnect {
			t.Errorf("reason %q", got)
		}
		p.send("40") // and may come back
		p.want("40", `42["welcome","`+s.ID()+`"]`)
		p.close()
		if got := <-reasons; got != TransportClose {
			t.Errorf("reason %q", got)
		}
	})
}

func TestOldClientOnPolling(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, allowOld)
		url := "http://memory/socket.io/?EIO=3&transport=polling"
		get := func(url string) string {
			t.Helper()
			resp, err := r.http.Get(url)
			must(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			must(t, err)
			return string(body)
		}
		// The first response has nothing but OPEN.
		open := get(url)
		_, packet, _ := strings.Cut(open, ":")
		sid, _, _ := strings.Cut(strings.TrimPrefix(packet, `0{"sid":"`), `"`)
		if fmt.Sprintf("%d:%s", len(packet), packet) != open {
			t.Errorf("first response %q", open)
		}
		if got := get(url + "&sid=" + sid); got != "2:40" {
			t.Errorf("second response %q", got)
		}
		r.srv.Emit("news", []byte{1, 2}, "€")
		want := "\x00\x03\x02\xff" + `451-["news",{"_placeholder":true,"num":0},` + "\"€\"]\x01\x03\xff\x04\x01\x02"
		if got := get(url + "&sid=" + sid); got[4:] != want[4:] {
			t.Errorf("a broadcast is %q, want %q", got, want)
		}
	})
}

func TestOldClientNamespaces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, allowOld)
		chat := r.srv.Of("/chat")
		sockets := make(chan *Socket, 1)
		chat.OnConnect(func(_ context.Context, s *Socket) error { sockets <- s; return nil })
		got := make(chan string, 1)
		On(chat, "say", func(_ context.Context, _ *Socket, text string) error { got <- text; return nil })
		reasons := make(chan Reason, 1)
		chat.OnDisconnect(func(_ *Socket, reason Reason) { reasons <- reason })

		p, root := r.oldJoined("")
		for _, test := range []struct {
			connect string
			auth    map[string]any
		}{
			{"40/chat", nil},
			{"40/chat,", nil},
			{"40/chat?", nil},
			{`40/chat,{"token":"ignored"}`, nil},
			{"40/chat?token=abc&empty=&list=1&list=2&sp=a%20b+c&bad=%zz&&flag,", map[string]any{
				"token": "abc", "empty": "", "list": []any{"1", "2"}, "sp": "a b c", "bad": "%zz", "flag": "",
			}},
			{"40/chat?x=%ff#fragment=1", map[string]any{"x": "\ufffd"}},
			{"40/chat#fragment?x=1", nil},
		} {
			p.send(test.connect)
			p.want("40/chat,")
			s := <-sockets
			if want := "/chat#" + root.ID(); s.ID() != want || chat.Socket(want) != s {
				t.Errorf("%s: id %s, want %s", test.connect, s.ID(), want)
			}
			var auth map[string]any
			if err := s.Auth(&auth); err != nil || !reflect.DeepEqual(auth, test.auth) {
				t.Errorf("%s: auth %#v (%v), want %#v", test.connect, auth, err, test.auth)
			}
			p.send(`42/chat,["say","plain"]`, `42/chat?x=1,["say","query"]`)
			if a, b := <-got, <-got; a != "plain" || b != "query" {
				t.Errorf("%s: %q, %q", test.connect, a, b)
			}
			p.send("41/chat?x=1,")
			if r := <-reasons; r != ClientDisconnect {
				t.Errorf("%s: reason %q", test.connect, r)
			}
		}

		// A query without bounds.
		p.send("40/chat?" + strings.Repeat("a&", 5000) + "z=1")
		p.want("40/chat,")
		var auth map[string]any
		must(t, (<-sockets).Auth(&auth))
		if list, _ := auth["a"].([]any); len(list) != maxQueryPairs || len(auth) != 1 {
			t.Errorf("%d values of %d keys", len(list), len(auth))
		}
	})
}

// TestOldClientRejoins shows that a client whose id is always the same can come back to a
// namespace while the disconnect handlers, or the middlewares, of its last visit still run.
func TestOldClientRejoins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, allowOld)
		chat := r.srv.Of("/chat")
		leave, left := make(chan struct{}), make(chan Reason, 2)
		chat.OnDisconnect(func(_ *Socket, reason Reason) {
			<-leave
			left <- reason
		})
		p, _ := r.oldJoined("")
		p.send("40/chat")
		p.want("40/chat,")
		p.send("41/chat,", "40/chat")
		p.wantNothing()
		close(leave)
		p.want("40/chat,")
		if reason := <-left; reason != ClientDisconnect {
			t.Errorf("left by %q", reason)
		}

		// A client that goes away meanwhile is not waited for.
		leave = make(chan struct{})
		p.send("41/chat,", "40/chat")
		p.wantNothing()
		p.close()
		synctest.Wait()
		close(leave)
		if reason := <-left; reason != ClientDisconnect {
			t.Errorf("left by %q", reason)
		}
	})
}

func TestOldClientRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, allowOld)
		for name, err := range map[string]error{
			"/data":     &Error{Message: "nope", Data: map[string]int{"a": 1}},
			"/text":     &Error{Message: "nope"},
			"/internal": errors.New("the password is hunter2"),
			"/broken":   &Error{Message: "nope", Data: make(chan int)},
		} {
			r.srv.Of(name).Use(func(context.Context, *Socket) error { return err })
		}
		p, _ := r.oldJoined("")
		for _, test := range [][2]string{
			{"40/data?x=1", `44/data,{"a":1}`},
			{"40/text", `44/text,"nope"`},
			{"40/internal", `44/internal,"connection refused"`},
			{"40/broken", `44/broken,"nope"`},
			{"40/nowhere", `44/nowhere,{"message":"Invalid namespace"}`},
			{"40/nowhere?x=1", `44/nowhere,{"message":"Invalid namespace"}`},
		} {
			p.send(test[0])
			p.want(test[1])
		}
	})
}

// A client that is refused in "/" has joined nothing, and time is limited.
func TestOldClientRefusedInRoot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := allowOld
		cfg.ConnectTimeout = time.Second
		r := memory(t, cfg)
		r.srv.Use(func(context.Context, *Socket) error { return &Error{Message: "closed today"} })
		p, _ := r.old("")
		p.want(`44"closed today"`)
		start := time.Now()
		p.wantEnd()
		if e := time.Since(start); e < time.Second/2 || e > 2*time.Second {
			t.Errorf("ended after %v", e)
		}
	})
}

func TestOldClientViolations(t *testing.T) {
	for _, packet := range []string{"40", "40,", "40/?x=1", `42/chat,["x"]`, `42/chat?x=1,["x"]`, "41/chat", `44"x"`, "43/chat,1[]", "47", "4"} {
		t.Run(packet, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, allowOld)
				r.srv.Of("/chat")
				p, _ := r.oldJoined("")
				p.send(packet)
				p.wantEnd()
			})
		})
	}
}

// A broadcast reaches everybody in the form that they read.
func TestBroadcastToOldAndNew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, allowOld)
		type receiver struct {
			*peer
			id         string
			attachment packet
		}
		var all []receiver
		add := func(p *peer, s *Socket, attachment packet) { all = append(all, receiver{p, s.ID(), attachment}) }
		for range 2 { // the second of a kind gets the same frame
			for query, want := range map[string]packet{"": {"\x01\x02", true}, "&b64=1": {"bAQI=", false}} {
				p := r.websocketWith(query, "")
				add(p, p.join("/"), want)
			}
			for query, want := range map[string]packet{"": {"\x04\x01\x02", true}, "&b64=1": {"b4AQI=", false}} {
				p, s := r.oldJoined(query)
				add(p, s, want)
			}
			p := r.polling()
			add(p, p.join("/"), packet{"\x01\x02", true})
		}
		check := func(emit func() error) {
			t.Helper()
			must(t, emit())
			for i, c := range all {
				if got, want := c.next(), `451-["news",{"_placeholder":true,"num":0}]`; got.data != want {
					t.Errorf("receiver %d got %v", i, got)
				}
				if got := c.next(); got != c.attachment {
					t.Errorf("receiver %d got %v, want %v", i, got, c.attachment)
				}
			}
		}
		check(func() error { return r.srv.Emit("news", []byte{1, 2}) })
		must(t, r.srv.Emit("news", "text"))
		for _, c := range all {
			c.want(`42["news","text"]`)
		}
		check(func() error { return r.srv.All().Emit("news", []byte{1, 2}) })

		// With acknowledgements, in each client's own form as well.
		done := make(chan map[string]string, 1)
		go func() {
			answers := make(map[string]string)
			for a, err := range Gather[[]byte](context.Background(), r.srv.All(), "vote", []byte{1, 2}) {
				if err != nil {
					t.Error(err)
				}
				answers[a.ID] = string(a.Value)
			}
			done <- answers
		}()
		for _, c := range all {
			var id int
			if _, err := fmt.Sscanf(c.next().data, "451-%d[", &id); err != nil {
				t.Fatal(err)
			}
			c.next()
			c.send(fmt.Sprintf(`461-%d[{"_placeholder":true,"num":0}]`, id))
			if strings.HasPrefix(c.attachment.data, "\x04") {
				c.sendBinary("\x04yes")
			} else if strings.HasPrefix(c.attachment.data, "b4") {
				c.send("b4eWVz")
			} else {
				c.sendBinary("yes")
			}
		}
		answers := <-done
		for _, c := range all {
			if answers[c.id] != "yes" {
				t.Errorf("%s answered %q", c.id, answers[c.id])
			}
		}

		// Volatile packets take the same way.
		old := all[2]
		must(t, r.srv.To(old.id).Volatile().Emit("news", []byte{1, 2}))
		if got := old.next(); !strings.HasPrefix(got.data, "451-") {
			t.Errorf("got %v", got)
		}
		if got := old.next(); got != old.attachment {
			t.Errorf("got %v, want %v", got, old.attachment)
		}
	})
}

// Each form is made once, and only if something differs.
func TestBroadcastForms(t *testing.T) {
	r := loopback(t, allowOld)
	r.join()
	begin := func(args ...any) *broadcast {
		target := r.srv.All()
		b, err := target.newBroadcast("e", args, nil)
		must(t, err)
		return b
	}
	text := begin("text", []string{"x"})
	for _, f := range []codec.Form{codec.FormPlain, codec.FormBase64, codec.FormV3, codec.FormV3Base64} {
		if text.forms.in(f, r.srv).frame != text.forms.in(codec.FormPlain, r.srv).frame {
			t.Errorf("text was rewritten for form %d", f)
		}
	}
	// On WebTransport text has another header, also once it is known that nothing is binary.
	if one := text.forms.in(codec.FormWebTransport, r.srv).frame; one == text.forms.in(codec.FormPlain, r.srv).frame || one != text.forms.in(codec.FormWebTransport, r.srv).frame {
		t.Error("text was not rewritten for WebTransport, or twice")
	}
	text.finish()

	binary := begin([]byte{1})
	seen := map[any]bool{binary.forms.in(codec.FormPlain, r.srv).frame: true}
	for _, f := range []codec.Form{codec.FormBase64, codec.FormV3, codec.FormV3Base64, codec.FormWebTransport} {
		one, two := binary.forms.in(f, r.srv).share(), binary.forms.in(f, r.srv).share()
		if one != two || seen[one] {
			t.Errorf("form %d: %p and %p", f, one, two)
		}
		seen[one] = true
		one.ReleaseN(2)
	}
	binary.finish()
	again := begin([]byte{2})
	if got := made(again); len(got) != 1 || again.forms.asked {
		t.Errorf("a recycled broadcast has the forms %v", got)
	}
	again.finish()
}

// onlyNew hides what the JSON parser can do for old clients.
type onlyNew struct{ codec.Parser }

func TestOldClientsNeedAParser(t *testing.T) {
	cfg := allowOld
	cfg.Parser = onlyNew{codec.JSON}
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "Parser") {
		t.Errorf("got %v", err)
	}
	cfg.Engine.AllowEIO3 = false
	srv, err := New(cfg)
	must(t, err)
	srv.Close()
}
