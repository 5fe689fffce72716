// Command bench-refs-gorilla is a plain WebSocket server with gorilla/websocket. As in
// that library's chat example, a connection has a goroutine that reads and one that
// writes what others have put into a channel; a client that lets its channel fill up
// is closed. Broadcasts are prepared messages.
package main

import (
	"net/http"

	"github.com/epio-go/epio/bench/refs/internal/plain"
	"github.com/epio-go/epio/bench/refs/internal/serve"
	"github.com/gorilla/websocket"
)

func main() { serve.Main("bench-refs-gorilla", newServer()) }

const (
	queue    = 256     // messages that may wait for one client, as in the chat example
	maxBytes = 1 << 20 // of a message
)

type server struct {
	upgrader websocket.Upgrader
	rooms    *plain.Rooms[*client]
}

func newServer() *server {
	return &server{
		upgrader: websocket.Upgrader{
			ReadBufferSize:  1024,
			WriteBufferSize: 1024,
			CheckOrigin:     func(*http.Request) bool { return true },
		},
		rooms: plain.NewRooms[*client](),
	}
}

// client is one connection. Its reader owns what is received, its writer what is sent.
type client struct {
	conn *websocket.Conn
	send chan message // sent to by all readers, received from by the writer; never closed
	done chan struct{}
}

// message is one that waits: an answer, or a broadcast.
type message struct {
	kind     int
	data     []byte
	prepared *websocket.PreparedMessage
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	c := &client{conn: conn, send: make(chan message, queue), done: make(chan struct{})}
	// New goroutines, so that what net/http keeps for the request can be collected.
	go c.write()
	go s.read(c)
}

func (s *server) read(c *client) {
	defer func() {
		s.rooms.LeaveAll(c)
		close(c.done)
		c.conn.Close()
	}()
	c.conn.SetReadLimit(maxBytes)
	for {
		kind, m, err := c.conn.ReadMessage()
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
			prepared, err := websocket.NewPreparedMessage(kind, answer)
			if err != nil {
				return
			}
			s.rooms.Each(room, func(to *client) { to.queue(message{prepared: prepared}) })
			continue
		}
		c.queue(message{kind: kind, data: answer})
	}
}

// queue never blocks: a client that is too slow loses its connection.
func (c *client) queue(m message) {
	select {
	case c.send <- m:
	default:
		c.conn.Close()
	}
}

func (c *client) write() {
	for {
		select {
		case m := <-c.send:
			if c.writeMessage(m) != nil {
				c.conn.Close() // ends the reader
				return
			}
		case <-c.done:
			return
		}
	}
}

func (c *client) writeMessage(m message) error {
	if m.prepared != nil {
		return c.conn.WritePreparedMessage(m.prepared)
	}
	return c.conn.WriteMessage(m.kind, m.data)
}
