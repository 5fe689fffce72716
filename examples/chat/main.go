// Command chat is a chat with rooms: a complete, small Socket.IO application, page included.
//
//	npm ci                      # fetches the official JavaScript client
//	go run . -addr :3000
//
// main.go starts and stops the server, chat.go holds the events, hub.go the state, web/ the page.
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/epio-go/epio/sio"
)

//go:embed web
var web embed.FS

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

	files, err := library(client)
	if err != nil {
		return err
	}
	pages, err := fs.Sub(web, "web")
	if err != nil {
		return err
	}
	// The library is served at /socket.io/socket.io.min.js.
	srv, err := sio.New(sio.Config{Logger: slog.Default(), Client: files})
	if err != nil {
		return err
	}
	register(srv, newHub())

	// The Socket.IO server listens itself, which is its fastest way in, and hands all other requests to the page's handler.
	// In an existing web server it would be mux.Handle("/socket.io/", srv) instead.
	srv.SetFallback(http.FileServerFS(pages))
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

// library returns the folder of the client library: client, or where npm ci has put it.
func library(client string) (fs.FS, error) {
	places := []string{client}
	if client == "" {
		installed := filepath.Join("node_modules", "socket.io-client", "dist")
		places = []string{installed, filepath.Join("examples", "chat", installed)}
	}
	for _, place := range places {
		if _, err := os.Stat(place); err == nil {
			return os.DirFS(place), nil
		}
	}
	return nil, fmt.Errorf("no client library in %q: run npm ci in examples/chat first", places)
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
