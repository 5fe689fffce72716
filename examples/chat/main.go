// Command chat is a chat with rooms: a complete, small Socket.IO application, page included.
//
//	npm ci                      # fetches the official JavaScript client
//	go run . -addr :3000
//
// main.go starts and stops the server; the chat itself is in chatroom, which examples/cluster uses, too.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/epio-go/epio/examples/chat/chatroom"
	"github.com/epio-go/epio/sio"
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", ":3000", "address to listen on")
	client := flag.String("client", "", "folder of the client library (default: where npm ci puts it)")
	flag.Parse()
	if err := run(*addr, *client); err != nil {
		log.Fatal(err)
	}
}

func run(addr, client string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	files, err := chatroom.Library(client)
	if err != nil {
		return err
	}
	// The library is served at /socket.io/socket.io.min.js.
	srv, err := sio.New(sio.Config{Logger: slog.Default(), Client: files})
	if err != nil {
		return err
	}
	chatroom.Register(srv)

	// The Socket.IO server listens itself, which is its fastest way in, and hands all other requests to the page's handler.
	// In an existing web server it would be mux.Handle("/socket.io/", srv) instead.
	srv.SetFallback(chatroom.Pages())
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	fmt.Printf("chat at http://%s\n", browsable(ln.Addr()))

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	fmt.Println("shutting down")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return srv.Shutdown(ctx)
}

// browsable turns a listener's address into one a browser can open.
func browsable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
