package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/epio-go/epio/sio"
)

// register has the events of the page.
func register(srv *sio.Server) {
	var calls atomic.Int64
	srv.OnConnect(func(_ context.Context, s *sio.Socket) error {
		fmt.Println("connect", s.ID(), s.Transport())
		return nil
	})
	srv.OnDisconnect(func(s *sio.Socket, r sio.Reason) { fmt.Println("disconnect", s.ID(), s.Transport(), string(r)) })

	// say goes to everybody, whatever their transport.
	sio.On(srv.Of("/"), "say", func(_ context.Context, s *sio.Socket, text string) error {
		return srv.Emit("said", s.Transport().String(), text)
	})
	// bytes does the same with binary, in two attachments.
	sio.On(srv.Of("/"), "bytes", func(_ context.Context, s *sio.Socket, data []byte) error {
		return srv.Emit("got", s.Transport().String(), data, []byte{})
	})
	// count is answered with what was sent and a number.
	sio.OnAck(srv.Of("/"), "count", func(_ context.Context, _ *sio.Socket, v any) ([]any, error) {
		return []any{v, calls.Add(1)}, nil
	})
	sio.OnAck0(srv.Of("/"), "transport", func(_ context.Context, s *sio.Socket) (string, error) {
		return s.Transport().String(), nil
	})
	// kick ends the socket, or the whole connection.
	sio.On(srv.Of("/"), "kick", func(_ context.Context, s *sio.Socket, all bool) error {
		s.Disconnect(all)
		return nil
	})
}
