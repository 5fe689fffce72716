// Command bench-refs-rival is a Socket.IO server with zishang520/socket.io, the other
// Go implementation that follows the current protocol. Its events are those of
// bench/server: join(room) with acknowledgement, leave(room) with acknowledgement,
// bcast(room, payload) and echo(payload).
package main

import (
	"net/http"

	"github.com/epio-go/epio/bench/refs/internal/serve"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

func main() { serve.Main("bench-refs-rival", newServer()) }

func newServer() http.Handler {
	io := socket.NewServer(nil, nil)
	// The only error is that of a name that takes no listeners.
	io.On("connection", func(args ...any) {
		s := args[0].(*socket.Socket)
		s.On("join", func(args ...any) {
			if room, ack := roomAndAck(args); ack != nil {
				s.Join(room)
				ack([]any{}, nil)
			}
		})
		s.On("leave", func(args ...any) {
			if room, ack := roomAndAck(args); ack != nil {
				s.Leave(room)
				ack([]any{}, nil)
			}
		})
		s.On("bcast", func(args ...any) {
			if len(args) < 2 {
				return
			}
			if room, ok := args[0].(string); ok {
				io.To(socket.Room(room)).Emit("msg", args[1])
			}
		})
		s.On("echo", func(args ...any) {
			if len(args) < 2 {
				return
			}
			if ack, ok := args[1].(socket.Ack); ok {
				ack(args[:1], nil)
			}
		})
	})
	opts := socket.DefaultServerOptions()
	opts.SetServeClient(false)
	return io.ServeHandler(opts)
}

// roomAndAck returns the arguments of join and leave; the ack is nil when they are
// something else.
func roomAndAck(args []any) (socket.Room, socket.Ack) {
	if len(args) < 2 {
		return "", nil
	}
	room, ok := args[0].(string)
	ack, isAck := args[1].(socket.Ack)
	if !ok || !isAck {
		return "", nil
	}
	return socket.Room(room), ack
}
