// Command drain stops without losing work: it says that it is going, lets the clients go one by one, and finishes what they have
// asked for. SIGTERM makes it stop, or a POST to /stop.
//
//	cd examples && npm ci
//	go run ./drain
//	node drain/client.js
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/epio-go/epio/sio"
)

func main() {
	addr := flag.String("addr", ":3000", "address to listen on")
	period := flag.Duration("period", 10*time.Second, "time over which the clients are sent away")
	flag.Parse()
	srv, err := sio.New(sio.Config{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	// Work that takes as long as the client wants it to.
	sio.OnAck0(srv, "work", func(ctx context.Context, s *sio.Socket) (string, error) {
		_, err := sio.Call[sio.None](ctx, s, "working")
		return "done", err
	})

	// What a load balancer asks. It has to notice before the server stops to accept.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		if srv.Draining() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, r *http.Request) { stop() })
	srv.SetFallback(mux)

	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServe(*addr) }()
	select {
	case err := <-served:
		log.Fatal(err)
	case <-ctx.Done():
	}

	fmt.Println("draining")
	ctx, cancel := context.WithTimeout(context.Background(), *period+20*time.Second)
	defer cancel()
	if err := srv.Drain(ctx, *period); err != nil {
		log.Fatal(err)
	}
	fmt.Println("stopped")
}
