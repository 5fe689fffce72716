// Command connect serves a page that connects to it, and the client library that the page needs.
//
//	cd examples && npm ci        # fetches the library
//	go run ./tutorial/connect    # then open http://localhost:3000
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"

	"github.com/epio-go/epio/sio"
)

//go:embed index.html
var page []byte

func main() {
	addr := flag.String("addr", ":3000", "address to listen on")
	flag.Parse()
	srv, err := sio.New(sio.Config{
		Client: os.DirFS("node_modules/socket.io-client/dist"), // served as /socket.io/socket.io.js
		Logger: slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	srv.OnConnect(func(ctx context.Context, s *sio.Socket) error {
		fmt.Println("a user connected")
		return s.Emit("welcome", s.ID())
	})
	srv.OnDisconnect(func(s *sio.Socket, r sio.Reason) {
		fmt.Println("a user disconnected:", string(r))
	})

	http.Handle("/socket.io/", srv)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(page) })
	log.Fatal(http.ListenAndServe(*addr, nil))
}
