// Command recovery gives clients that lost their connection what they missed, and their socket as it was.
//
//	cd examples && npm ci
//	go run ./recovery
//	node recovery/client.js
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/epio-go/epio/sio"
)

func main() {
	addr := flag.String("addr", ":3000", "address to listen on")
	flag.Parse()
	srv, err := sio.New(sio.Config{
		Recovery: &sio.Recovery{MaxDisconnection: 2 * time.Minute},
		Logger:   slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}

	srv.OnConnect(func(ctx context.Context, s *sio.Socket) error {
		if s.Recovered() {
			fmt.Println("back, in", len(s.Rooms()), "rooms, with", s.Data())
			return nil // nothing to set up: id, rooms and data are those of before
		}
		fmt.Println("new")
		s.SetData("a basket")
		return s.Join("news")
	})
	// Another client publishes.
	sio.OnAck(srv, "publish", func(ctx context.Context, s *sio.Socket, text string) (sio.None, error) {
		return sio.None{}, srv.To("news").Emit("news", text)
	})
	// Runs when the connection is lost, too: whether the client will be back is not known then.
	srv.OnDisconnect(func(s *sio.Socket, r sio.Reason) { fmt.Println("gone:", string(r)) })

	log.Fatal(srv.ListenAndServe(*addr))
}
