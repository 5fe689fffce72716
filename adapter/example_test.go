package adapter_test

import (
	"fmt"
	"sync/atomic"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/sio"
)

// counter is an adapter that counts broadcasts. It leaves the rest to the one it embeds, and the delivery to the index: a
// networked adapter would publish the packet here, before it delivers it, and hand what other servers publish to
// Host.BroadcastLocal.
type counter struct {
	*adapter.Memory
	total *atomic.Int64
}

func (c *counter) Broadcast(p adapter.Packet, o adapter.Opts) error {
	c.total.Add(1)
	fmt.Println(p.Event(), p.Args(), "to", o.Rooms)
	return c.Memory.Broadcast(p, o)
}

// An adapter is made for each namespace of a server. Tests for one are in package adaptertest.
func Example() {
	var total atomic.Int64
	srv, err := sio.New(sio.Config{
		Adapter: func(h adapter.Host) adapter.Adapter {
			return &counter{adapter.NewMemory(adapter.Config{}), &total}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	srv.Emit("news", 1)
	srv.Of("/chat").To("lobby").Emit("news", 2)
	fmt.Println(total.Load(), "broadcasts")
	// Output:
	// news [1] to []
	// news [2] to [lobby]
	// 2 broadcasts
}

// member is the least that an index can hold: a socket that prints.
type member struct {
	adapter.Member
	id string
}

func (m *member) ID() string               { return m.id }
func (m *member) Connected() bool          { return true }
func (m *member) Disconnect(bool)          { fmt.Println(m.id, "disconnected") }
func (m *member) Info() adapter.SocketInfo { return adapter.SocketInfo{ID: m.id} }
func (m *member) Deliver(p adapter.Packet, b adapter.Batch) bool {
	fmt.Println(m.id, "gets", p.Event())
	return true
}

type packet struct{ event string }

func (p packet) Event() string { return p.event }
func (p packet) Args() []any   { return nil }

// The index is what a networked adapter has of this server: its rooms' events say what to subscribe to.
func ExampleIndex() {
	x := adapter.NewIndex(adapter.Config{})
	stop := x.Observe(func(e adapter.RoomEvent) {
		if e.Kind == adapter.CreateRoom || e.Kind == adapter.DeleteRoom {
			fmt.Println(e.Kind, e.Room)
		}
	})
	defer stop()

	ada := &member{id: "ada"}
	for _, err := range []error{x.Attach(&ada.Member, ada), x.Connect(&ada.Member, nil), x.Join(&ada.Member, "lobby")} {
		if err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(x.Broadcast(packet{"news"}, adapter.Opts{Rooms: []string{"lobby"}}), "receiver")
	fmt.Println(x.Broadcast(packet{"news"}, adapter.Opts{Rooms: []string{"attic"}}), "receivers")
	x.Detach(&ada.Member)
	// Output:
	// create-room ada
	// create-room lobby
	// ada gets news
	// 1 receiver
	// 0 receivers
	// delete-room ada
	// delete-room lobby
}
