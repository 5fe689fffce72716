package sio_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/epio-go/epio/sio"
)

// The server is an http.Handler, too: in any router, beside other routes.
func ExampleServer_ServeHTTP() {
	srv, err := sio.New(sio.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", srv)
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })
	web := httptest.NewServer(mux) // or http.ListenAndServe(":3000", mux)
	defer web.Close()

	fmt.Println(get(web.URL + "/hello"))
	fmt.Println(get(web.URL + "/socket.io/?EIO=4&transport=polling")[:8])
	// Output:
	// hello
	// 0{"sid":
}

// The server listens itself, and passes other requests on.
func ExampleServer_SetFallback() {
	srv, err := sio.New(sio.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	srv.SetFallback(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "a page") }))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(ln) // or srv.ListenAndServe(":3000")

	fmt.Println(get("http://" + ln.Addr().String() + "/"))
	// Output: a page
}

func get(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	return string(body)
}

// Shutdown lets handlers finish, tells the clients, and waits for the disconnect handlers.
func ExampleServer_Shutdown_clients() {
	srv, _ := sio.New(sio.Config{})
	srv.OnDisconnect(func(s *sio.Socket, r sio.Reason) { fmt.Println("gone:", string(r)) })
	join(srv, "/")

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx))
	// Output:
	// gone: server shutting down
	// <nil>
}

// The limits, and what to do when a client is too slow for what it is sent.
func ExampleConfig() {
	cfg := sio.Config{
		AckTimeout: 5 * time.Second,
		WhenFull:   sio.DropWhenFull, // Emit then returns ErrBufferFull
		Logger:     slog.Default(),
	}
	cfg.Engine.MaxPayload = 100_000
	cfg.Engine.SendBuffer = 1 << 20
	cfg.Engine.MaxConns = 50_000
	srv, err := sio.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	fmt.Println(srv.Engine().Path(), srv.Engine().Sessions())
	// Output: /socket.io/ 0
}
