package chatroom

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/epio-go/epio/sio"
)

// What the page sends and receives; web/chat.js lists the same events.

type joinRequest struct {
	Name string `json:"name"`
	Room string `json:"room"`
	// After is the newest message the page has, 0 if none: it gets those that came later.
	After int64 `json:"after"`
}

type joinResponse struct {
	Messages []message `json:"messages"`
}

type sayRequest struct {
	Text string `json:"text"`
}

const (
	maxName = 24   // characters of names and rooms
	maxText = 1000 // characters of a message
)

// Register registers all events of the chat with a server that stands alone.
func Register(srv *sio.Server) { register(srv, newHub(0), alone{}) }

// others are the other servers that have the chat.
type others interface {
	// moved says that somebody on this server has come or gone. The hub is not locked.
	moved()
	// said says that somebody on this server has said something. The hub is locked.
	said(room string, m message)
}

// alone is a server without others.
type alone struct{}

func (alone) moved()               {}
func (alone) said(string, message) {}

// register registers the events of pages.
func register(srv *sio.Server, h *hub, o others) {
	tell := announce(srv)

	// Fails with what the user may read; all other errors would reach the page as "internal error".
	sio.OnAck(srv, "join", func(_ context.Context, s *sio.Socket, r joinRequest) (joinResponse, error) {
		name, room := strings.TrimSpace(r.Name), strings.TrimSpace(r.Room)
		if !within(name, maxName) || !within(room, maxName) {
			return joinResponse{}, &sio.Error{Message: "Names have 1 to 24 characters."}
		}
		if before, ok := h.leave(s.ID(), tell); ok {
			s.Leave(before.room)
		}
		// First into the room, then the history: a message said in between comes twice, and the page knows it by its id.
		// The other way round it would be lost.
		if err := s.Join(room); err != nil {
			return joinResponse{}, err
		}
		defer o.moved()
		return joinResponse{h.join(person{ID: s.ID(), Name: name, room: room}, r.After, tell)}, nil
	})

	sio.OnAck(srv, "say", func(_ context.Context, s *sio.Socket, r sayRequest) (message, error) {
		text := strings.TrimSpace(r.Text)
		if !within(text, maxText) {
			return message{}, &sio.Error{Message: "Messages have 1 to 1000 characters."}
		}
		// The others get the message as an event, the sender as the answer. Other servers tell their pages themselves, so
		// that what these get is what is in the history there.
		m, ok := h.say(s.ID(), text, func(room string, m message) {
			_ = s.Local().To(room).Emit("message", m)
			o.said(room, m)
		})
		if !ok {
			return message{}, &sio.Error{Message: "Join a room first."}
		}
		return m, nil
	})

	// Volatile: who cannot receive it now does not need it later.
	sio.On0(srv, "typing", func(_ context.Context, s *sio.Socket) error {
		if p, ok := h.person(s.ID()); ok {
			return s.To(p.room).Volatile().Emit("typing", p)
		}
		return nil
	})

	srv.OnDisconnect(func(s *sio.Socket, _ sio.Reason) {
		if _, ok := h.leave(s.ID(), tell); ok {
			o.moved()
		}
	})
}

// within reports whether a text has between 1 and n characters.
func within(text string, n int) bool {
	return text != "" && utf8.RuneCountInString(text) <= n
}

// announce returns the function that tells this server's pages who is where now. An error of Emit would say that a page could not be
// told; such a page is about to be disconnected and asks again when it comes back.
func announce(srv *sio.Server) announcer {
	return func(room string, here []person, rooms []roomInfo) {
		_ = srv.Local().To(room).Emit("here", here)
		_ = srv.Local().Emit("rooms", rooms)
	}
}
