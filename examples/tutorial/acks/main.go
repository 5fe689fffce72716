// Command acks answers its clients, and asks them.
//
//	cd examples && npm ci
//	go run ./tutorial/acks
//	node tutorial/acks/client.js
package main

import (
	"context"
	"errors"
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
	srv, err := sio.New(sio.Config{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}

	// What the handler returns is the answer.
	sio.OnAck2(srv, "divide", func(ctx context.Context, s *sio.Socket, a, b float64) (float64, error) {
		if b == 0 {
			return 0, &sio.Error{Message: "division by zero", Data: map[string]float64{"a": a}}
		}
		return a / b, nil
	})
	// An answer of several values, which is given later.
	srv.Handle("later", sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		kept := m.Clone()
		time.AfterFunc(10*time.Millisecond, func() { _ = kept.Ack("done", 2) })
		return nil
	}))
	// A handler that never answers: the client's time-out ends the wait.
	srv.Handle("never", sio.HandlerFunc(func(context.Context, *sio.Socket, *sio.Message) error { return nil }))

	// The other way round: the server asks, and waits for at most a second.
	sio.On0(srv, "ask me", func(ctx context.Context, s *sio.Socket) error {
		name, err := sio.Call[string](ctx, s.Timeout(time.Second), "name?")
		fmt.Println("name:", name, err)
		_, err = sio.Call[string](ctx, s.Timeout(50*time.Millisecond), "silence?")
		fmt.Println("timed out:", errors.Is(err, sio.ErrAckTimeout))
		return s.Emit("thanks")
	})

	log.Fatal(srv.ListenAndServe(*addr))
}
