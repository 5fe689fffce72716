package embedded_test

import (
	"context"
	"fmt"
	"time"

	"github.com/epio-go/epio/adapter/nats"
	"github.com/epio-go/epio/adapter/nats/embedded"
	"github.com/epio-go/epio/sio"
)

// Two servers that need nothing else to be one cluster. Here they are in one process;
// usually each is a process, on a machine of its own.
func Example() {
	start := func(name string, routes ...string) (*embedded.Server, *sio.Server) {
		mesh, err := embedded.Start(embedded.Config{
			Listen: "127.0.0.1:0",
			Routes: routes,
			Token:  "a secret that all servers know",
		})
		if err != nil {
			panic(err)
		}
		factory, err := nats.New(nats.Options{Connect: mesh.Options()})
		if err != nil {
			panic(err)
		}
		srv, err := sio.New(sio.Config{Adapter: factory})
		if err != nil {
			panic(err)
		}
		sio.OnServerAck(srv, "hello", func(_ context.Context, from string) (string, error) {
			return name + " has heard " + from, nil
		})
		return mesh, srv
	}
	meshA, a := start("a")
	meshB, b := start("b", meshA.RouteAddr())
	defer meshA.Close()
	defer meshB.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		// They find each other in the background.
		if n, err := a.ServerCount(ctx); err != nil || n == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	answers, err := a.ServerSide().Call(ctx, "hello", "a")
	fmt.Println(answers, err)
	_ = a.Shutdown(ctx)
	_ = b.Shutdown(ctx)
	// Output: [b has heard a] <nil>
}
