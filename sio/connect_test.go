package sio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAuth(t *testing.T) {
	type creds struct {
		Token string `json:"token"`
		N     int    `json:"n"`
	}
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		r.srv.Use(func(_ context.Context, s *Socket) error {
			c := creds{N: -1}
			if err := s.Auth(&c); err != nil {
				return &Error{Message: "bad auth"}
			}
			s.SetData(c)
			return nil
		})
		for _, test := range []struct {
			auth string
			want creds
		}{
			{`{"token":"t","n":3}`, creds{"t", 3}},
			{`{"token":"é","extra":[1,{}]}`, creds{"é", -1}},
			{`{}`, creds{"", -1}},
			{``, creds{"", -1}},
		} {
			p := r.websocket()
			s := p.join("/", test.auth)
			if c, ok := DataOf[creds](s); !ok || c != test.want {
				t.Errorf("auth %q gave %v, want %v", test.auth, c, test.want)
			}
			if _, ok := DataOf[string](s); ok {
				t.Error("DataOf a wrong type")
			}
			var again creds // still there later
			if err := s.Handshake().Auth(&again); err != nil || again.Token != test.want.Token {
				t.Errorf("auth again: %v, %v", again, err)
			}
		}
		p := r.websocket()
		p.send(`40{"token":3}`)
		p.want(`44{"message":"bad auth"}`)
	})
}

func TestMiddlewaresRunInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 10)
		var verdict error
		for i := range 3 {
			r.srv.Use(func(_ context.Context, s *Socket) error {
				seen <- fmt.Sprint(i, s.Connected(), r.srv.Socket(s.ID()) != nil)
				if i == 1 {
					return verdict
				}
				return nil
			})
		}
		r.srv.OnConnect(func(_ context.Context, s *Socket) error { seen <- fmt.Sprint("on ", s.Connected()); return nil })
		r.srv.OnDisconnect(func(*Socket, Reason) { seen <- "disconnect" })
		p := r.websocket()
		for _, test := range []struct {
			err  error
			want string
		}{
			{&Error{Message: "no"}, `44{"message":"no"}`},
			{&Error{Message: "no", Data: map[string]any{"code": 7}}, `44{"message":"no","data":{"code":7}}`},
			{&Error{Message: "no", Data: []byte("raw")}, `44{"message":"no","data":"cmF3"}`},
			{fmt.Errorf("secret: %w", &Error{Message: "no"}), `44{"message":"no"}`},
			{errors.New("secret"), `44{"message":"connection refused"}`},
			{&Error{Message: "no", Data: make(chan int)}, `44{"message":"no"}`},
		} {
			verdict = test.err
			p.send("40")
			p.want(test.want)
			wantFrom(t, seen, "0 false false", "1 false false")
			wantNone(t, seen)
		}
		r.wantLog("connect refused", "secret")
		verdict = nil
		p.join("/") // a refusal can be mended on the same connection
		wantFrom(t, seen, "0 false false", "1 false false", "2 false false", "on true")
	})
}

func TestPanicInAMiddleware(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		ns := r.srv.Of("/p")
		ns.Use(func(context.Context, *Socket) error { panic("hunter2") })
		p := r.websocket()
		p.send("40/p,")
		p.want(`44/p,{"message":"connection refused"}`)
		p.join("/")
		r.wantLog("level=ERROR", "middleware panicked", "hunter2", "connect_test.go")
	})
}

func TestClientGoneDuringAMiddleware(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		causes := make(chan error, 2)
		r.srv.Use(func(ctx context.Context, s *Socket) error {
			s.Join("room")
			<-ctx.Done()
			causes <- context.Cause(ctx)
			wantErr(t, s.Emit("x"), ErrClosed)
			wantErr(t, s.Join("y"), ErrClosed)
			return nil
		})
		r.srv.Use(func(context.Context, *Socket) error { t.Error("the next middleware runs for nobody"); return nil })
		r.srv.OnConnect(func(context.Context, *Socket) error { t.Error("connected"); return nil })
		r.srv.OnDisconnect(func(*Socket, Reason) { t.Error("disconnected without having been connected") })
		p := r.websocket()
		p.send("40")
		p.wantNothing()
		p.close()
		wantFrom(t, causes, error(TransportClose))
		synctest.Wait()
		if n := r.srv.root.index.Len(); n != 0 || r.srv.root.index.HasRoom("room") {
			t.Errorf("%d members, room %v", n, r.srv.root.index.HasRoom("room"))
		}
	})
}

func TestJoinAndEmitInAMiddleware(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		inside, open := make(chan struct{}), make(chan struct{})
		r.srv.Use(func(_ context.Context, s *Socket) error {
			must(t, s.Join("room"))
			must(t, s.Emit("early", 1))
			close(inside)
			<-open
			return nil
		})
		p := r.websocket()
		p.send("40")
		p.want(`42["early",1]`) // at once, as the reference does
		<-inside
		must(t, r.srv.To("room").Emit("not yet"))
		must(t, r.srv.Emit("not yet"))
		p.wantNothing()
		close(open)
		p.joined("/")
		must(t, r.srv.To("room").Emit("now"))
		p.want(`42["now"]`)
	})
}

func TestRefusedSocketLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		var kept *Socket
		r.srv.Use(func(_ context.Context, s *Socket) error { kept = s; s.Join("room"); return &Error{Message: "no"} })
		p := r.websocket()
		p.send("40")
		p.want(`44{"message":"no"}`)
		synctest.Wait()
		wantErr(t, kept.Emit("x"), ErrClosed)
		wantErr(t, kept.Join("x"), ErrClosed)
		if kept.Connected() || context.Cause(kept.Context()) != ServerDisconnect || r.srv.root.index.HasRoom("room") {
			t.Error("a refused socket lives on")
		}
	})
}

func TestErrorOfAConnectHandlerDisconnects(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("no") },
		"panic": func() error { panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{})
				gone := make(chan Reason, 1)
				r.srv.OnConnect(func(context.Context, *Socket) error { return fail() })
				r.srv.OnConnect(func(context.Context, *Socket) error { t.Error("the next connect handler runs"); return nil })
				r.srv.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
				p := r.websocket()
				p.send("40")
				p.joined("/")
				p.want("41")
				wantFrom(t, gone, ServerDisconnect)
				r.wantLog("connect handler failed")
				p.send("40") // the connection stays
				p.joined("/")
			})
		})
	}
}

func TestConnectHandlersRunBeforeEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		seen := make(chan string, 5)
		r.srv.OnConnect(func(_ context.Context, s *Socket) error {
			time.Sleep(time.Second)
			seen <- "first"
			return s.Join("a")
		})
		r.srv.OnConnect(func(_ context.Context, s *Socket) error {
			rooms := s.Rooms()
			slices.Sort(rooms)
			if !slices.Contains(rooms, "a") || !slices.Contains(rooms, s.ID()) || len(rooms) != 2 {
				t.Errorf("rooms %q", rooms)
			}
			seen <- "second"
			return nil
		})
		On0(r.srv, "x", func(context.Context, *Socket) error { seen <- "x"; return nil })
		p := r.websocket()
		p.together("40", `42["x"]`)
		wantFrom(t, seen, "first", "second", "x")
	})
}

// While others broadcast all the time, the first packet a client gets is the
// answer to its CONNECT, and it misses nothing after that.
func TestConnectPrecedesEveryBroadcast(t *testing.T) {
	r := loopback(t, Config{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				r.srv.Emit("n", i)
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	for range 100 {
		p := r.websocket()
		p.send("40")
		p.joined("/")
		last := -1
		for range 20 {
			var i int
			if _, err := fmt.Sscanf(p.next().data, `42["n",%d]`, &i); err != nil || last >= 0 && i != last+1 {
				t.Fatalf("got %d after %d (%v)", i, last, err)
			}
			last = i
		}
		p.close()
	}
}

func TestConnectTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{ConnectTimeout: 10 * time.Second})
		r.srv.Of("/closed").Use(func(context.Context, *Socket) error { return &Error{Message: "no"} })
		start := time.Now()
		p := r.websocket()
		time.Sleep(9 * time.Second)
		p.send("40/closed,") // a refusal does not count
		p.want(`44/closed,{"message":"no"}`)
		p.wantEnd()
		if d := time.Since(start); d < 10*time.Second || d > 10*time.Second+100*time.Millisecond {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestJoiningEndsTheConnectTimeoutForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{ConnectTimeout: 10 * time.Second})
		p := r.websocket()
		time.Sleep(9 * time.Second)
		p.join("/")
		p.send("41")
		time.Sleep(15 * time.Second)
		p.wantNothing()
		p.join("/")
	})
}

func TestConnectTimeoutDefault(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		start := time.Now()
		p := r.polling()
		for {
			got, err := p.read(time.Minute)
			if err != nil {
				break
			}
			if got.data == "2" {
				p.send("3")
			}
		}
		if d := time.Since(start); d < 45*time.Second || d > 46*time.Second {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p := r.websocketWith("&a=1&b=2&b=3&c=%zz;d", "Origin: http://x\r\nCookie: c=1\r\nX-Many: 1\r\nX-Many: 2\r\n")
		s := p.join("/", `{"k":1}`)
		req := s.Request()
		if req.URL.Query().Get("a") != "1" || req.Header.Get("Origin") != "http://x" {
			t.Errorf("request %v", req)
		}
		h := s.Handshake()
		if h.Request().Host != "memory" || h.Engine().RemoteAddr() != "client" || h.Issued() != time.Now() {
			t.Errorf("handshake %v %v %v", h.Request().Host, h.Engine().RemoteAddr(), h.Issued())
		}
		i := h.Info()
		if i.URL != "/socket.io/?EIO=4&transport=websocket&a=1&b=2&b=3&c=%zz;d" || !i.XDomain || i.Secure || i.Address != "client" ||
			fmt.Sprint(i.Auth) != "map[k:1]" || i.Query["a"] != "1" || i.Query["b"] != "3" || i.Query["c"] != "%zz;d" ||
			i.Headers["x-many"] != "1, 2" || i.Headers["cookie"] != "c=1" || i.Headers["host"] != "memory" ||
			i.Issued != time.Now().UnixMilli() || !strings.HasPrefix(i.Time, "Sat Jan 01 2000 00:00:00 GMT+0000") {
			t.Errorf("info %+v", i)
		}
		s.Conn().DropHandshake()
		if s.Request() != nil || !h.Issued().IsZero() || h.Engine() != nil || fmt.Sprint(h.Info().Auth) != "map[k:1]" {
			t.Error("the dropped handshake is still there")
		}
		q := r.websocket()
		if i := q.join("/").Handshake().Info(); fmt.Sprint(i.Auth) != "map[]" {
			t.Errorf("no auth is described as %v", i.Auth)
		}
	})
}
