package sio_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/epio-go/epio/sio"
)

// Keys are package variables, one for each purpose.
var (
	userKey  = sio.NewKey[string]("user")
	countKey = sio.NewKey[int]("count")
)

// Values of any number of types stay with a socket, a namespace or the server.
func ExampleKey_holders() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	countKey.Set(srv, 40)
	srv.Use(func(ctx context.Context, s *sio.Socket) error {
		userKey.Set(s, "Ada")
		return nil
	})
	sio.OnAck0(srv, "who", func(ctx context.Context, s *sio.Socket) (string, error) {
		n, _ := countKey.Get(s.Server())
		user, err := userKey.Require(s)
		return fmt.Sprintf("%s, one of %d", user, n+2), err
	})
	sio.OnAck0(srv, "count", func(ctx context.Context, s *sio.Socket) (int, error) {
		return countKey.Require(s) // was never set with the socket: the event fails, the log says why
	})

	c := join(srv, "/")
	fmt.Println(c.call(`["who"]`))
	fmt.Println(c.call(`["count"]`))
	// Output:
	// ["Ada, one of 42"]
	// [{"error":{"message":"internal error"}}]
}

// Whoever registers a handler can take it out again.
func ExampleRegistration_Off() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	srv.HandleFallback(sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		return m.Ack("closed")
	}))
	shop := sio.OnAck0(srv, "buy", func(ctx context.Context, s *sio.Socket) (string, error) { return "here you are", nil })

	c := join(srv, "/")
	fmt.Println(c.call(`["buy"]`))
	shop.Off()
	fmt.Println(c.call(`["buy"]`))
	// Output:
	// ["here you are"]
	// ["closed"]
}

// A handler for the first event only.
func ExampleOnce_answers() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	srv.OnConnect(func(ctx context.Context, s *sio.Socket) error {
		sio.OnAck0(sio.Once(s), "ready", func(ctx context.Context, s *sio.Socket) (string, error) { return "go", nil })
		return nil
	})
	srv.HandleFallback(sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		return m.Ack("you are ready already")
	}))

	c := join(srv, "/")
	fmt.Println(c.call(`["ready"]`), c.call(`["ready"]`))
	// Output: ["go"] ["you are ready already"]
}

// Error hooks are told what goes wrong, behind the log.
func ExampleNamespace_OnError() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	told := make(chan error, 1)
	srv.OnError(func(s *sio.Socket, err error) { told <- err })
	sio.On(srv, "age", func(ctx context.Context, s *sio.Socket, age int) error {
		if age < 0 {
			return errors.New("not born yet")
		}
		return nil
	})

	c := join(srv, "/")
	c.emit(`["age",-1]`)
	if failed, ok := errors.AsType[*sio.EventError](<-told); ok {
		fmt.Println(failed.Event, "failed:", failed.Err)
	}
	// Output: age failed: not born yet
}

// What FetchSockets finds is a way to the sockets, wherever they are.
func ExampleRemoteSocket() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	srv.Use(func(ctx context.Context, s *sio.Socket) error {
		s.SetData(map[string]string{"name": "Ada"})
		return nil
	})
	c, _ := connectWith(srv, "/", "", func(event string) string { return `[true]` })

	found, err := srv.FetchSockets(context.Background())
	fmt.Println(len(found), err)
	for _, remote := range found {
		var data struct{ Name string }
		fmt.Println(len(remote.ID()), len(remote.Rooms()), remote.Handshake().URL)
		fmt.Println(remote.DecodeData(&data), data.Name)
		fmt.Println(sio.Call[bool](context.Background(), remote, "sure?"))
		fmt.Println(remote.Emit("hello"), remote.Join("lobby"))
	}
	fmt.Println(c.next())
	// Output:
	// 1 <nil>
	// 20 1 /socket.io/?EIO=4&transport=websocket
	// <nil> Ada
	// true <nil>
	// <nil> <nil>
	// ["hello"]
}
