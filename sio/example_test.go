package sio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/epio-go/epio/sio"
)

// A chat server in one function.
func Example() {
	srv, err := sio.New(sio.Config{})
	if err != nil {
		log.Fatal(err)
	}
	chat := srv.Of("/chat")
	chat.OnConnect(func(ctx context.Context, s *sio.Socket) error { return s.Join("lobby") })
	type message struct {
		Room string `json:"room"`
		Text string `json:"text"`
	}
	sio.On(chat, "say", func(ctx context.Context, s *sio.Socket, m message) error {
		return s.To(m.Room).Emit("said", m.Text)
	})
	log.Fatal(srv.ListenAndServe(":3000"))
}

// All problems of a configuration are reported at once.
func ExampleNew_problems() {
	_, err := sio.New(sio.Config{QueueEvents: -1, AckTimeout: -time.Second})
	fmt.Println(err)
	if e, ok := errors.AsType[*sio.ConfigError](err); ok {
		fmt.Println("the first one is about", e.Field)
	}
	// Output:
	// sio: Config.AckTimeout: -1s is negative
	// sio: Config.QueueEvents: -1 is negative
	// the first one is about AckTimeout
}

// Registering an event twice is a mistake in the program.
func ExampleNamespace_Handle_twice() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	h := sio.HandlerFunc(func(context.Context, *sio.Socket, *sio.Message) error { return nil })
	srv.Handle("tick", h)
	defer func() { fmt.Println("panicked:", recover() != nil) }()
	srv.Handle("tick", h)
	// Output: panicked: true
}

// The server is an http.Handler, too: in any router, beside other routes.
func ExampleServer_ServeHTTP() {
	srv, err := sio.New(sio.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", srv)
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })
	web := httptest.NewServer(mux) // or http.ListenAndServe(":3000", mux)
	defer web.Close()

	fmt.Println(get(web.URL + "/hello"))
	fmt.Println(get(web.URL + "/socket.io/?EIO=4&transport=polling")[:8])
	// Output:
	// hello
	// 0{"sid":
}

// The server listens itself, and passes other requests on.
func ExampleServer_SetFallback() {
	srv, err := sio.New(sio.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	srv.SetFallback(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "a page") }))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(ln) // or srv.ListenAndServe(":3000")

	fmt.Println(get("http://" + ln.Addr().String() + "/"))
	// Output: a page
}

func get(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	return string(body)
}

// Shutdown lets handlers finish, tells the clients, and waits for the disconnect handlers.
func ExampleServer_Shutdown() {
	srv, _ := sio.New(sio.Config{})
	srv.OnDisconnect(func(s *sio.Socket, r sio.Reason) { fmt.Println("gone:", string(r)) })
	join(srv, "/")

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx))
	// Output:
	// gone: server shutting down
	// <nil>
}

// The limits, and what to do when a client is too slow for what it is sent.
func ExampleConfig() {
	cfg := sio.Config{
		AckTimeout: 5 * time.Second,
		WhenFull:   sio.DropWhenFull, // Emit then returns ErrBufferFull
		Logger:     slog.Default(),
	}
	cfg.Engine.MaxPayload = 100_000
	cfg.Engine.SendBuffer = 1 << 20
	cfg.Engine.MaxConns = 50_000
	srv, err := sio.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	fmt.Println(srv.Engine().Path(), srv.Engine().Sessions())
	// Output: /socket.io/ 0
}

func ExampleKey() {
	type account struct{ Name string }
	accounts := sio.NewKey[*account]("account")

	srv, _ := sio.New(sio.Config{})
	srv.Use(func(_ context.Context, s *sio.Socket) error {
		name, err := sio.AuthOf[string](s)
		if err != nil {
			return err
		}
		accounts.Set(s, &account{Name: name})
		return nil
	})
	sio.OnAck0(srv, "whoami", func(_ context.Context, s *sio.Socket) (string, error) {
		a, err := accounts.Require(s)
		if err != nil {
			return "", err
		}
		return a.Name, nil
	})
}

func ExampleOnce() {
	srv, _ := sio.New(sio.Config{})
	srv.OnConnect(func(_ context.Context, s *sio.Socket) error {
		sio.On(sio.Once(s), "introduce", func(_ context.Context, s *sio.Socket, name string) error {
			return s.Broadcast().Emit("joined", name)
		})
		return nil
	})
}

func ExampleCallServers() {
	srv, _ := sio.New(sio.Config{}) // with the adapter of a cluster
	sio.OnServerAck(srv, "load", func(_ context.Context, _ sio.None) (int, error) {
		n := 0
		for range srv.Sockets() {
			n++
		}
		return n, nil
	})
	loads, err := sio.CallServers[int](context.Background(), srv.ServerSide(), "load", nil)
	fmt.Println(loads, err) // what the other servers say: there are none
	// Output: [] <nil>
}
