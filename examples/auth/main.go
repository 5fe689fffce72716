// Command auth lets clients in by a token, administrators into a namespace of their own, and nobody too fast.
//
//	cd examples && npm ci
//	go run ./auth
//	node auth/client.js
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"

	"github.com/epio-go/epio/sio"
)

type user struct {
	Name  string
	Admin bool
	left  int // events it may still send; a real limit would grow with time
}

var tokens = map[string]user{
	"ada's token": {Name: "Ada", Admin: true},
	"bob's token": {Name: "Bob"},
}

func main() {
	addr := flag.String("addr", ":3000", "address to listen on")
	flag.Parse()
	srv, err := sio.New(sio.Config{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	admin := srv.Of("/admin")
	for _, ns := range []*sio.Namespace{srv.Of("/"), admin} {
		ns.Use(authenticate)
		ns.Wrap(limit)
	}
	admin.Use(adminsOnly)

	sio.OnAck0(srv, "who am i?", func(ctx context.Context, s *sio.Socket) (string, error) {
		u, _ := sio.DataOf[*user](s)
		return u.Name, nil
	})
	sio.OnAck(admin, "ban", func(ctx context.Context, s *sio.Socket, name string) (sio.None, error) {
		return sio.None{}, srv.To("user:" + name).Disconnect(true)
	})
	log.Fatal(srv.ListenAndServe(*addr))
}

// authenticate finds out who it is, and refuses strangers.
func authenticate(ctx context.Context, s *sio.Socket) error {
	var auth struct {
		Token string `json:"token"`
	}
	if err := s.Auth(&auth); err != nil {
		return fmt.Errorf("auth: %w", err) // the client reads "connection refused"
	}
	u, ok := tokens[auth.Token]
	if !ok {
		return &sio.Error{Message: "not authorized", Data: map[string]string{"logIn": "/login"}}
	}
	u.left = 3
	s.SetData(&u)
	return s.Join("user:" + u.Name)
}

// adminsOnly comes after authenticate.
func adminsOnly(ctx context.Context, s *sio.Socket) error {
	if u, ok := sio.DataOf[*user](s); !ok || !u.Admin {
		return &sio.Error{Message: "administrators only"}
	}
	return nil
}

// limit refuses events without running their handlers. One event of a socket is handled at a time, so u needs no lock.
func limit(next sio.Handler) sio.Handler {
	return sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		u, ok := sio.DataOf[*user](s)
		if !ok || u.left == 0 {
			return &sio.Error{Message: "slow down"}
		}
		u.left--
		return next.Handle(ctx, s, m)
	})
}
