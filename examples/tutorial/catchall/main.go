// Command catchall watches every event, in both directions.
//
//	cd examples && npm ci
//	go run ./tutorial/catchall
//	node tutorial/catchall/client.js
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"

	"github.com/epio-go/epio/sio"
)

func main() {
	addr := flag.String("addr", ":3000", "address to listen on")
	flag.Parse()
	srv, err := sio.New(sio.Config{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}

	srv.HandleAny(sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		args, err := m.Args()
		fmt.Println("in:", m.Event(), args)
		return err
	}))
	srv.HandleAnyOutgoing(func(s *sio.Socket, event string, args []any) {
		fmt.Println("out:", event, args)
	})
	sio.On(srv, "double", func(ctx context.Context, s *sio.Socket, n int) error {
		return s.Emit("doubled", 2*n)
	})
	// Events that no handler is registered for.
	srv.HandleFallback(sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		return s.Emit("unknown", m.Event())
	}))

	log.Fatal(srv.ListenAndServe(*addr))
}
