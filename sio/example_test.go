package sio_test

import (
	"context"
	"errors"
	"fmt"
	"log"
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

// Shutdown lets handlers finish.
func ExampleServer_Shutdown() {
	srv, _ := sio.New(sio.Config{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx))
	// Output: <nil>
}

// Clients that lose their connection for a while miss nothing.
func ExampleRecovery() {
	srv, err := sio.New(sio.Config{Recovery: &sio.Recovery{MaxDisconnection: 5 * time.Minute}})
	if err != nil {
		log.Fatal(err)
	}
	srv.OnConnect(func(_ context.Context, s *sio.Socket) error {
		if s.Recovered() {
			return nil // in its rooms, and sent what it missed
		}
		return s.Join("lobby")
	})
	log.Fatal(srv.ListenAndServe(":3000"))
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
