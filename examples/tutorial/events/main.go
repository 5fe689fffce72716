// Command events receives events with all kinds of arguments.
//
//	cd examples && npm ci
//	go run ./tutorial/events
//	node tutorial/events/client.js
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"

	"github.com/epio-go/epio/sio"
)

// A drawing is an object in JavaScript. Bytes may be anywhere in it.
type drawing struct {
	Title  string   `json:"title"`
	Pixels []byte   `json:"pixels"`
	Tags   []string `json:"tags"`
}

func main() {
	addr := flag.String("addr", ":3000", "address to listen on")
	flag.Parse()
	srv, err := sio.New(sio.Config{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}

	sio.On0(srv, "knock", func(ctx context.Context, s *sio.Socket) error {
		fmt.Println("knock")
		return nil
	})
	sio.On3(srv, "hello", func(ctx context.Context, s *sio.Socket, n int, text string, list []float64) error {
		fmt.Println("hello", n, text, list)
		return nil
	})
	sio.On(srv, "draw", func(ctx context.Context, s *sio.Socket, d drawing) error {
		fmt.Println("draw", d.Title, d.Pixels, d.Tags)
		d.Tags = append(d.Tags, "seen")
		return s.Emit("drawn", d, len(d.Pixels))
	})
	// Without types: as many arguments as there are, decoded or left as they came.
	srv.Handle("anything", sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		args, err := m.Args()
		if err != nil {
			return err
		}
		fmt.Println("anything", args, string(m.Raw(0)))
		return s.Emit("anything", args...)
	}))

	log.Fatal(srv.ListenAndServe(*addr))
}
