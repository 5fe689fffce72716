// Command broadcast passes what one client says on to others.
//
//	cd examples && npm ci
//	go run ./tutorial/broadcast
//	node tutorial/broadcast/client.js
package main

import (
	"context"
	"flag"
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

	sio.On(srv, "to all", func(ctx context.Context, s *sio.Socket, text string) error {
		return srv.Emit("said", "all", text)
	})
	sio.On(srv, "to others", func(ctx context.Context, s *sio.Socket, text string) error {
		return s.Broadcast().Emit("said", "others", text)
	})
	// An id is the name of a room with one socket in it.
	sio.On2(srv, "to one", func(ctx context.Context, s *sio.Socket, id, text string) error {
		return srv.To(id).Emit("said", "one", text)
	})
	sio.OnAck0(srv, "sync", func(context.Context, *sio.Socket) (sio.None, error) { return sio.None{}, nil })

	log.Fatal(srv.ListenAndServe(*addr))
}
