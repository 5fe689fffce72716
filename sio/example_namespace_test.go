package sio_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/epio-go/epio/sio"
)

// Names with wildcards make a namespace for every name that clients ask for.
func ExampleServer_Of() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	tenants := srv.Of("/tenant/{id}")
	tenants.OnConnect(func(ctx context.Context, s *sio.Socket) error {
		return s.Emit("welcome", s.PathValue("id"))
	})

	seven, eight := join(srv, "/tenant/7"), join(srv, "/tenant/8")
	fmt.Println(seven.next(), eight.next())
	srv.Of("/tenant/7").Emit("news", "for one tenant")
	tenants.Emit("news", "for all")
	fmt.Println(seven.next(), seven.next())
	fmt.Println(eight.next())

	_, refused := connect(srv, "/nowhere", "")
	fmt.Println(refused)
	// Output:
	// ["welcome","7"] ["welcome","8"]
	// ["news","for one tenant"] ["news","for all"]
	// ["news","for all"]
	// {"message":"Invalid namespace"}
}

// A function decides which names exist. It is asked when there is no such namespace yet, so who may join is for Use to say.
func ExampleServer_OfFunc() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	games := srv.OfFunc(func(ctx context.Context, name string, h *sio.Handshake) bool {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "/game-"))
		return err == nil && n < 1000
	})
	sio.OnAck0(games, "where", func(ctx context.Context, s *sio.Socket) (string, error) {
		return s.Namespace().Name(), nil
	})

	c := join(srv, "/game-17")
	fmt.Println(c.call(`["where"]`))
	_, refused := connect(srv, "/game-1000", "")
	fmt.Println(refused)
	// Output:
	// ["/game-17"]
	// {"message":"Invalid namespace"}
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
			return err
		}
		switch auth.Token {
		case "secret":
			s.SetData("Ada") // for the handlers
			return nil
		case "":
			return &sio.Error{Message: "not authorized", Data: map[string]string{"see": "/login"}}
		}
		return errors.New("forged token") // for the log
	})
	sio.OnAck0(srv, "who am i", func(ctx context.Context, s *sio.Socket) (any, error) { return s.Data(), nil })

	c, _ := connect(srv, "/", `{"token":"secret"}`)
	fmt.Println(c.call(`["who am i"]`))
	for _, auth := range []string{`{}`, `{"token":"x"}`} {
		_, refused := connect(srv, "/", auth)
		fmt.Println(refused)
	}
	// Output:
	// ["Ada"]
	// {"message":"not authorized","data":{"see":"/login"}}
	// {"message":"connection refused"}
}

// What a middleware stores, handlers get back in its own type.
func ExampleDataOf() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	type session struct {
		User   string
		Clicks int
	}
	srv.Use(func(ctx context.Context, s *sio.Socket) error {
		s.SetData(&session{User: s.Request().URL.Query().Get("transport")})
		return nil
	})
	sio.OnAck0(srv, "click", func(ctx context.Context, s *sio.Socket) (int, error) {
		ses, ok := sio.DataOf[*session](s)
		if !ok {
			return 0, errors.New("no session")
		}
		ses.Clicks++ // handlers of one socket run one at a time
		return ses.Clicks, nil
	})

	c := join(srv, "/")
	fmt.Println(c.call(`["click"]`), c.call(`["click"]`))
	// Output: [1] [2]
}

// The reason is known, and so are the rooms, for the last time.
func ExampleNamespace_OnDisconnect() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	gone := make(chan struct{})
	srv.OnConnect(func(ctx context.Context, s *sio.Socket) error { return s.Join("lobby") })
	srv.OnDisconnect(func(s *sio.Socket, r sio.Reason) {
		fmt.Println(string(r), len(s.Rooms()), "rooms")
		fmt.Println("the same from the context:", errors.Is(context.Cause(s.Context()), r))
		close(gone)
	})

	c := join(srv, "/")
	c.leave()
	<-gone
	// Output:
	// client namespace disconnect 2 rooms
	// the same from the context: true
}
