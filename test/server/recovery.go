package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/epio-go/epio/sio"
)

// recovery registers what the tests of connection state recovery need, in "/" and
// "/custom".
func recovery(srv *sio.Server, out *reporter) {
	custom := srv.Of("/custom")
	common(custom, out)
	for _, ns := range []*sio.Namespace{srv.Of("/"), custom} {
		sio.OnAck0(ns, "recovered", func(_ context.Context, s *sio.Socket) (bool, error) { return s.Recovered(), nil })

		// post(room, event, args...): emits to a room, or to all if that is empty. The
		// arguments are one list.
		sio.OnAck3(ns, "post", func(_ context.Context, _ *sio.Socket, room, event string, args []any) (bool, error) {
			to := ns.All()
			if room != "" {
				to = to.To(room)
			}
			return true, to.Emit(event, args...)
		})
		// postVolatile(event, args...): to all.
		sio.OnAck2(ns, "postVolatile", func(_ context.Context, _ *sio.Socket, event string, args []any) (bool, error) {
			return true, ns.Volatile().Emit(event, args...)
		})
		// traffic(rounds): the numbers up to rounds as "all" to all, as "room" to the room
		// "room", and as "one" to the socket itself, from three goroutines. It goes on when
		// the client is away.
		sio.OnAck(ns, "traffic", func(_ context.Context, s *sio.Socket, rounds int) (bool, error) {
			send := func(emit func(i int) error) {
				for i := range rounds {
					if err := emit(i); err != nil {
						out.report(map[string]any{"event": "traffic", "error": err.Error()})
					}
					time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
				}
			}
			go send(func(i int) error { return ns.Emit("all", i) })
			go send(func(i int) error { return ns.To("room").Emit("room", i) })
			go send(func(i int) error { return s.Emit("one", i) })
			return true, nil
		})
	}
}
