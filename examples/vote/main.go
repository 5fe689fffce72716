// Command vote asks all clients in a room, and counts the answers as they come.
//
//	cd examples && npm ci
//	go run ./vote
//	node vote/client.js
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"time"

	"github.com/epio-go/epio/sio"
)

type result struct {
	Yes    int `json:"yes"`
	No     int `json:"no"`
	Silent int `json:"silent"` // no answer in time
	Odd    int `json:"odd"`    // gone, or an answer that is neither true nor false
}

func main() {
	addr := flag.String("addr", ":3000", "address to listen on")
	patience := flag.Duration("patience", time.Second, "how long to wait for an answer")
	flag.Parse()
	srv, err := sio.New(sio.Config{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}

	sio.OnAck0(srv, "register", func(ctx context.Context, s *sio.Socket) (sio.None, error) {
		return sio.None{}, s.Join("voters")
	})
	sio.OnAck(srv, "ask", func(ctx context.Context, s *sio.Socket, question string) (result, error) {
		var r result
		for answer, err := range sio.Gather[bool](ctx, srv.To("voters").Timeout(*patience), "vote", question) {
			switch {
			case errors.Is(err, sio.ErrAckTimeout):
				r.Silent++
			case err != nil:
				r.Odd++
			case answer.Value:
				r.Yes++
			default:
				r.No++
			}
			// Everybody sees the votes come in.
			if err := srv.Emit("count", r.Yes+r.No); err != nil {
				return r, err
			}
		}
		return r, nil
	})
	// The first answer is enough.
	sio.OnAck0(srv, "anybody there?", func(ctx context.Context, s *sio.Socket) (string, error) {
		name, err := sio.Call[string](ctx, srv.To("voters").Timeout(*patience), "name?")
		if errors.Is(err, sio.ErrNoReceivers) {
			return "", &sio.Error{Message: "nobody"}
		}
		return name, err
	})

	log.Fatal(srv.ListenAndServe(*addr))
}
