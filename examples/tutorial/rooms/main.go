// Command rooms puts clients into rooms, and sends to them.
//
//	cd examples && npm ci
//	go run ./tutorial/rooms
//	node tutorial/rooms/client.js
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"slices"

	"github.com/epio-go/epio/sio"
)

func main() {
	addr := flag.String("addr", ":3000", "address to listen on")
	flag.Parse()
	srv, err := sio.New(sio.Config{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}

	sio.OnAck(srv, "join", func(ctx context.Context, s *sio.Socket, rooms []string) (sio.None, error) {
		return sio.None{}, s.Join(rooms...)
	})
	sio.OnAck(srv, "leave", func(ctx context.Context, s *sio.Socket, room string) (sio.None, error) {
		s.Leave(room)
		return sio.None{}, nil
	})
	sio.OnAck0(srv, "rooms", func(ctx context.Context, s *sio.Socket) ([]string, error) {
		rooms := s.Rooms()
		rooms = slices.DeleteFunc(rooms, func(room string) bool { return room == s.ID() })
		slices.Sort(rooms)
		return rooms, nil
	})
	// From the server: all in the rooms, without those who are in one of the others as well.
	sio.OnAck2(srv, "send", func(ctx context.Context, s *sio.Socket, to, except []string) (sio.None, error) {
		return sio.None{}, srv.To(to...).Except(except...).Emit("said", to, except)
	})
	// From the socket: not to the sender.
	sio.OnAck(srv, "say", func(ctx context.Context, s *sio.Socket, room string) (sio.None, error) {
		return sio.None{}, s.To(room).Emit("said", []string{room}, []string{"the sender"})
	})

	log.Fatal(srv.ListenAndServe(*addr))
}
