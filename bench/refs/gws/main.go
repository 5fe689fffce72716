// Command bench-refs-gws is a plain WebSocket server with lxzan/gws. Broadcasts go
// through the library's Broadcaster, which encodes once and writes from a queue per
// connection, so that a slow client holds up nobody; answers are written at once.
package main

import (
	"net/http"

	"github.com/epio-go/epio/bench/refs/internal/plain"
	"github.com/epio-go/epio/bench/refs/internal/serve"
	"github.com/lxzan/gws"
)

func main() { serve.Main("bench-refs-gws", newServer()) }

const maxBytes = 1 << 20 // of a message

type server struct {
	gws.BuiltinEventHandler
	upgrader *gws.Upgrader
	rooms    *plain.Rooms[*gws.Conn]
}

func newServer() *server {
	s := &server{rooms: plain.NewRooms[*gws.Conn]()}
	s.upgrader = gws.NewUpgrader(s, &gws.ServerOption{ReadMaxPayloadSize: maxBytes, CheckUtf8Enabled: true})
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := s.upgrader.Upgrade(w, r)
	if err != nil {
		return
	}
	// A new goroutine, so that what net/http keeps for the request can be collected.
	go conn.ReadLoop()
}

func (s *server) OnClose(c *gws.Conn, _ error) { s.rooms.LeaveAll(c) }

func (s *server) OnMessage(c *gws.Conn, m *gws.Message) {
	op, room, answer, err := plain.Parse(m.Bytes())
	if err != nil {
		c.WriteClose(1008, nil)
		return
	}
	switch op {
	case plain.Join:
		s.rooms.Join(c, room)
	case plain.Leave:
		s.rooms.Leave(c, room)
	case plain.Broadcast:
		b := gws.NewBroadcaster(m.Opcode, answer)
		s.rooms.Each(room, func(to *gws.Conn) { b.Broadcast(to) })
		b.Close()
		return
	}
	c.WriteMessage(m.Opcode, answer)
	m.Close() // its buffer can be used again; a broadcast still refers to it
}
