package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/epio-go/epio/adapter/nats"
	"github.com/epio-go/epio/adapter/nats/embedded"
	"github.com/epio-go/epio/examples/chat/chatroom"
	"github.com/epio-go/epio/sio"
)

// nodeConfig says which node a process is.
type nodeConfig struct {
	number int
	addr   string   // where the balancer connects
	mesh   string   // where the other nodes do
	routes []string // the mesh addresses of all
	client string
}

// tokenVariable holds the secret of the mesh.
const tokenVariable = "MESH_TOKEN"

// runNode serves the chat together with the other nodes, until ctx or the input ends.
func runNode(ctx context.Context, c nodeConfig) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	log := slog.Default().With("node", c.number)

	mesh, err := embedded.Start(embedded.Config{
		Listen: c.mesh,
		Routes: c.routes,
		Token:  os.Getenv(tokenVariable),
	})
	if err != nil {
		return err
	}
	defer mesh.Close()
	factory, err := nats.New(nats.Options{Connect: mesh.Options()})
	if err != nil {
		return err
	}
	files, err := chatroom.Library(c.client)
	if err != nil {
		return err
	}
	srv, err := sio.New(sio.Config{Adapter: factory, Logger: log, Client: files})
	if err != nil {
		return err
	}
	chat := chatroom.RegisterReplica(srv, fmt.Sprint("node ", c.number), c.number)
	srv.SetFallback(chatroom.Pages())
	ln, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		chat.Run(ctx)
	}()
	defer func() {
		cancel()
		<-ran
	}()

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end, cancelEnd := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancelEnd()
	return srv.Shutdown(end)
}
