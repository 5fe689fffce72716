package sio_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
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

// The server is an http.Handler, too.
func ExampleServer_ServeHTTP() {
	srv, err := sio.New(sio.Config{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", srv)
	log.Fatal(http.ListenAndServe(":3000", mux))
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

// Names with wildcards make a namespace for every name that clients ask for.
func ExampleServer_Of() {
	srv, _ := sio.New(sio.Config{Logger: slog.Default()})
	defer srv.Close()
	tenants := srv.Of("/tenant/{id}")
	tenants.OnConnect(func(ctx context.Context, s *sio.Socket) error {
		return s.Emit("welcome", s.PathValue("id"))
	})
	fmt.Println(srv.Of("admin").Name(), tenants.Name())
	fmt.Println(tenants.Emit("news", "to the tenants that are here")) // nobody is
	// Output:
	// /admin /tenant/{id}
	// <nil>
}

// Handlers are typed. What OnAck's returns is the acknowledgement.
func ExampleOnAck() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	type account struct {
		Name  string `json:"name"`
		Photo []byte `json:"photo"` // binary in JavaScript
	}
	sio.OnAck(srv, "register", func(ctx context.Context, s *sio.Socket, a account) (string, error) {
		if a.Name == "" {
			return "", &sio.Error{Message: "a name is needed"} // the client may know
		}
		return "welcome, " + a.Name, nil
	})
	sio.On2(srv, "move", func(ctx context.Context, s *sio.Socket, x, y float64) error {
		return s.Broadcast().Volatile().Emit("moved", s.ID(), x, y)
	})
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

// Connect middlewares decide who may join a namespace.
func ExampleNamespace_Use() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	srv.Use(func(ctx context.Context, s *sio.Socket) error {
		var auth struct {
			Token string `json:"token"`
		}
		if err := s.Auth(&auth); err != nil {
			return err // told as "connection refused"
		}
		if auth.Token != "secret" {
			return &sio.Error{Message: "not authorized", Data: map[string]int{"retryAfter": 60}}
		}
		s.SetData(auth.Token)
		return nil
	})
}

// Event middlewares stand around the handling of every event.
func ExampleNamespace_Wrap() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	srv.Wrap(func(next sio.Handler) sio.Handler {
		return sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
			start := time.Now()
			err := next.Handle(ctx, s, m)
			slog.Debug("handled", "event", m.Event(), "took", time.Since(start), "err", err)
			return err
		})
	})
}

// A Target selects sockets by rooms and says how to send to them.
func ExampleTarget() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	news := srv.To("sports", "politics").Except("muted")
	fmt.Println(news.Emit("news", "nobody listens"))
	fmt.Println(news.Volatile().Emit("tick", 1))
	for s := range news.Sockets() {
		fmt.Println(s.ID())
	}
	fmt.Println(news.Join("readers"), news.Leave("readers"), news.Disconnect(false))
	// Output:
	// <nil>
	// <nil>
	// <nil> <nil> <nil>
}

// Call asks a client something.
func ExampleCall() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	sio.On(srv, "delete", func(ctx context.Context, s *sio.Socket, file string) error {
		sure, err := sio.Call[bool](ctx, s.Timeout(10*time.Second), "confirm", "delete "+file+"?")
		switch {
		case errors.Is(err, sio.ErrAckTimeout):
			return &sio.Error{Message: "too late"}
		case err != nil || !sure:
			return err
		}
		return s.Emit("deleted", file)
	})
	_, err := sio.Call[bool](context.Background(), srv.To("nobody"), "anyone?")
	fmt.Println(err)
	// Output: sio: nobody was selected
}

// Gather asks many clients and takes their answers as they come.
func ExampleGather() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	yes := 0
	for vote, err := range sio.Gather[bool](context.Background(), srv.To("voters").Timeout(time.Minute), "vote") {
		if err != nil {
			continue // this one did not answer in time, or left
		}
		if vote.Value {
			yes++
		}
	}
	fmt.Println(yes, "votes")
	// Output: 0 votes
}

// Shutdown lets handlers finish.
func ExampleServer_Shutdown() {
	srv, _ := sio.New(sio.Config{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx))
	// Output: <nil>
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
