// Command disconnects shows what a server sees of clients that go away and come back.
//
//	cd examples && npm ci
//	go run ./tutorial/disconnects
//	node tutorial/disconnects/client.js
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

	srv.OnConnect(func(ctx context.Context, s *sio.Socket) error {
		fmt.Println("connected")
		return s.Join("lobby")
	})
	// The rooms can still be read. Afterwards the socket is in none.
	srv.OnDisconnect(func(s *sio.Socket, r sio.Reason) {
		fmt.Println("disconnected:", string(r), "rooms:", len(s.Rooms()))
	})
	sio.OnAck(srv, "say", func(ctx context.Context, s *sio.Socket, text string) (sio.None, error) {
		fmt.Println("said:", text)
		return sio.None{}, nil
	})
	// The context of a handler ends when its socket disconnects.
	sio.On0(srv, "wait", func(ctx context.Context, s *sio.Socket) error {
		if err := s.Emit("waiting"); err != nil {
			return err
		}
		<-ctx.Done()
		fmt.Println("no longer:", context.Cause(ctx))
		return nil
	})
	sio.On0(srv, "kick me", func(ctx context.Context, s *sio.Socket) error {
		s.Disconnect(true)
		return nil
	})

	log.Fatal(srv.ListenAndServe(*addr))
}
