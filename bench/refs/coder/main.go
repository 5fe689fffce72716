// Command bench-refs-coder is a plain WebSocket server with coder/websocket. As in
// that library's chat example, broadcasts go through a channel per connection, which
// one goroutine writes from, and a client that lets its channel fill up is closed.
// Answers are written by the goroutine that reads: Conn.Write may be called from
// several.
package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"
	"github.com/epio-go/epio/bench/refs/internal/plain"
	"github.com/epio-go/epio/bench/refs/internal/serve"
)

func main() { serve.Main("bench-refs-coder", newServer()) }

const (
	queue    = 256     // broadcasts that may wait for one client
	maxBytes = 1 << 20 // of a message
)

type server struct {
	rooms *plain.Rooms[*client]
}

func newServer() *server { return &server{rooms: plain.NewRooms[*client]()} }

// client is one connection.
type client struct {
	conn   *websocket.Conn
	cancel context.CancelFunc
	send   chan message // sent to by all readers, received from by the writer; never closed
}

type message struct {
	kind websocket.MessageType
	data []byte // shared by all receivers
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // it has answered
	}
	conn.SetReadLimit(maxBytes)
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{conn: conn, cancel: cancel, send: make(chan message, queue)}
	// New goroutines, so that what net/http keeps for the request can be collected.
	go c.write(ctx)
	go s.read(ctx, c)
}

func (s *server) read(ctx context.Context, c *client) {
	defer func() {
		s.rooms.LeaveAll(c)
		c.cancel()
		c.conn.CloseNow()
	}()
	for {
		kind, m, err := c.conn.Read(ctx)
		if err != nil {
			return
		}
		op, room, answer, err := plain.Parse(m)
		if err != nil {
			return
		}
		switch op {
		case plain.Join:
			s.rooms.Join(c, room)
		case plain.Leave:
			s.rooms.Leave(c, room)
		case plain.Broadcast:
			s.rooms.Each(room, func(to *client) { to.queue(message{kind, answer}) })
			continue
		}
		if c.conn.Write(ctx, kind, answer) != nil {
			return
		}
	}
}

// queue never blocks: a client that is too slow loses its connection.
func (c *client) queue(m message) {
	select {
	case c.send <- m:
	default:
		c.cancel()
	}
}

func (c *client) write(ctx context.Context) {
	for {
		select {
		case m := <-c.send:
			if c.conn.Write(ctx, m.kind, m.data) != nil {
				c.cancel() // ends the reader
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
