// Package serve holds what the reference programs have in common: the flags, the
// listener, and how they end.
package serve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// Main serves h at the address given by -addr until SIGTERM or SIGINT, which close
// all connections that net/http still knows about; the others end with the process.
// It logs a line with "listening on" when clients may come. With -pprof, allocations
// are told at another address, see [Mallocs].
func Main(name string, h http.Handler) {
	log.SetFlags(0)
	log.SetPrefix(name + ": ")
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	debug := flag.String("pprof", "", "address for /mallocs; empty means none")
	flag.Parse()
	if *debug != "" {
		ln, err := net.Listen("tcp", *debug)
		if err != nil {
			log.Fatal(err)
		}
		go func() { log.Fatal(http.Serve(ln, Mallocs())) }()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, h); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string, h http.Handler) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	log.Printf("listening on %s (%s, GOMAXPROCS=%d)", ln.Addr(), runtime.Version(), runtime.GOMAXPROCS(0))
	select {
	case err = <-ended:
	case <-ctx.Done():
		srv.Close()
		err = <-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Mallocs answers GET /mallocs with {"mallocs":N}, the heap objects the process has
// allocated since it started.
func Mallocs() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mallocs", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"mallocs\":%d}\n", m.Mallocs)
	})
	return mux
}
