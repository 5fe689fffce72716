package sio_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/epio-go/epio/sio"
)

// withRooms makes a server whose clients join the rooms they name.
func withRooms() *sio.Server {
	srv, err := sio.New(sio.Config{})
	if err != nil {
		panic(err)
	}
	srv.Handle("join", sio.HandlerFunc(func(ctx context.Context, s *sio.Socket, m *sio.Message) error {
		for i := range m.Len() {
			var room string
			if err := m.Decode(i, &room); err != nil {
				return err
			}
			if err := s.Join(room); err != nil {
				return err
			}
		}
		return m.Ack()
	}))
	return srv
}

// A socket in a room gets what is sent there.
func ExampleSocket_Join() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	sio.OnAck(srv, "join", func(ctx context.Context, s *sio.Socket, room string) (sio.None, error) {
		return sio.None{}, s.Join(room)
	})
	sio.On2(srv, "say", func(ctx context.Context, s *sio.Socket, room, text string) error {
		return s.To(room).Emit("said", text) // to the others in the room
	})

	ada, bob, cyd := join(srv, "/"), join(srv, "/"), join(srv, "/")
	ada.call(`["join","lobby"]`)
	bob.call(`["join","lobby"]`)
	cyd.call(`["join","attic"]`)
	ada.emit(`["say","lobby","hello"]`)
	fmt.Println("bob:", bob.next())
	srv.Emit("bye")
	fmt.Println("ada:", ada.next())
	fmt.Println("cyd:", cyd.next())
	// Output:
	// bob: ["said","hello"]
	// ada: ["bye"]
	// cyd: ["bye"]
}

// A Target selects sockets by rooms and says how to send to them. It is a value: keep it, use it twice.
func ExampleTarget() {
	srv := withRooms()
	defer srv.Close()
	ada, bob, cyd := join(srv, "/"), join(srv, "/"), join(srv, "/")
	ada.call(`["join","sports"]`)
	bob.call(`["join","sports","politics"]`)
	cyd.call(`["join","politics","muted"]`)

	news := srv.To("sports", "politics").Except("muted")
	news.Emit("news", 1) // each receiver once
	srv.To("muted").Emit("news", 2)
	news.Emit("news", 3)
	fmt.Println("ada:", ada.next(), ada.next())
	fmt.Println("bob:", bob.next(), bob.next())
	fmt.Println("cyd:", cyd.next())
	// Output:
	// ada: ["news",1] ["news",3]
	// bob: ["news",1] ["news",3]
	// cyd: ["news",2]
}

// Selections can be acted upon.
func ExampleTarget_Join() {
	srv := withRooms()
	defer srv.Close()
	ada, bob := join(srv, "/"), join(srv, "/")
	ada.call(`["join","beginners"]`)
	bob.call(`["join","experts"]`)

	srv.To("beginners", "experts").Join("everybody")
	srv.To("beginners").Leave("beginners")
	for s := range srv.To("everybody").Except("experts").Sockets() {
		rooms := slices.DeleteFunc(s.Rooms(), func(room string) bool { return room == s.ID() })
		fmt.Println(rooms)
	}
	srv.To("experts").Disconnect(false)
	fmt.Printf("bob is told: %q\n", bob.next())
	// Output:
	// [everybody]
	// bob is told: ""
}

// FetchSockets describes sockets, also those on other servers of a cluster.
func ExampleTarget_FetchSockets() {
	srv := withRooms()
	defer srv.Close()
	for range 3 {
		join(srv, "/").call(`["join","lobby"]`)
	}
	join(srv, "/")

	lobby, err := srv.To("lobby").FetchSockets(context.Background())
	fmt.Println(len(lobby), err)
	// Output: 3 <nil>
}

// Everybody but the one who said it.
func ExampleSocket_Broadcast() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	sio.OnAck(srv, "say", func(ctx context.Context, s *sio.Socket, text string) (sio.None, error) {
		return sio.None{}, s.Broadcast().Emit("said", text)
	})

	ada, bob := join(srv, "/"), join(srv, "/")
	ada.call(`["say","hello"]`)
	bob.call(`["say","hello, Ada"]`)
	fmt.Println("ada:", ada.next())
	fmt.Println("bob:", bob.next())
	// Output:
	// ada: ["said","hello, Ada"]
	// bob: ["said","hello"]
}

// A socket's id is the name of a room with that socket in it.
func ExampleSocket_ID() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	sio.OnAck0(srv, "id", func(ctx context.Context, s *sio.Socket) (string, error) { return s.ID(), nil })
	sio.On2(srv, "whisper", func(ctx context.Context, s *sio.Socket, to, text string) error {
		return srv.To(to).Emit("whispered", text)
	})

	ada, bob := join(srv, "/"), join(srv, "/")
	id := ada.call(`["id"]`) // ["…"]
	bob.emit(`["whisper",` + id[1:len(id)-1] + `,"psst"]`)
	fmt.Println(ada.next())
	// Output: ["whispered","psst"]
}

// Volatile packets are dropped for those who cannot take them at once. Here the client can.
func ExampleTarget_Volatile() {
	srv, _ := sio.New(sio.Config{})
	defer srv.Close()
	sio.On2(srv, "position", func(ctx context.Context, s *sio.Socket, x, y float64) error {
		return s.Broadcast().Volatile().Emit("position", s.Data(), x, y)
	})

	ada, bob := join(srv, "/"), join(srv, "/")
	ada.emit(`["position",1,2]`)
	fmt.Println(bob.next())
	// Output: ["position",null,1,2]
}
