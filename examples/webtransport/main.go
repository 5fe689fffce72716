// Command webtransport is a Socket.IO server with all three transports, and a page that shows which one it got.
//
//	npm ci                                        # fetches the official JavaScript client
//	go run . -addr :3000                          # http://localhost:3000, with a certificate of its own for HTTP/3
//	go run . -addr :443 -cert c.pem -key k.pem    # https, with a certificate that browsers trust
//
// main.go starts and stops the servers, certificate.go makes the certificate, events.go has the events, web/ is the page.
package main

import (
	"context"
	"crypto/tls"
	"embed"
	"encoding/json"
	"errors"
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

	"github.com/quic-go/quic-go/http3"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/eio/webtransport"
	"github.com/epio-go/epio/sio"
)

//go:embed web
var web embed.FS

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", ":3000", "address to listen on, TCP and UDP")
	cert := flag.String("cert", "", "PEM file of the certificate (default: one is made, for HTTP/3 only)")
	key := flag.String("key", "", "PEM file of its key")
	client := flag.String("client", "", "folder of the client library (default: where npm ci puts it)")
	flag.Parse()
	if err := run(*addr, *cert, *key, *client); err != nil {
		log.Fatal(err)
	}
}

func run(addr, certFile, keyFile, client string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	files, err := library(client)
	if err != nil {
		return err
	}
	srv, err := sio.New(sio.Config{
		Logger: slog.Default(),
		Client: files,
		Engine: eio.Config{Transports: []string{"polling", "websocket", "webtransport"}},
	})
	if err != nil {
		return err
	}
	register(srv)
	pages, err := fs.Sub(web, "web")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(pages))
	srv.SetFallback(mux)

	// Both listeners have the same port number: the client knows only one.
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		return err
	}
	defer udp.Close()

	scheme, trusted := "http", certFile != ""
	var certificate tls.Certificate
	var hash []byte
	if trusted {
		scheme = "https"
		if certificate, err = tls.LoadX509KeyPair(certFile, keyFile); err != nil {
			return err
		}
		tcp = tls.NewListener(tcp, &tls.Config{Certificates: []tls.Certificate{certificate}})
	} else if certificate, hash, err = selfSigned(); err != nil {
		return err
	}
	// What the page has to tell the browser about a certificate that nobody has signed.
	mux.HandleFunc("/certificate", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"sha256": hash}); err != nil { // base64, or null
			slog.Debug("page is gone", "err", err)
		}
	})

	h3 := webtransport.New(srv.Engine(), &http3.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}})
	served := make(chan error, 2)
	go func() { served <- srv.Serve(tcp) }()
	go func() { served <- h3.Serve(udp) }()
	fmt.Printf("listening at %s://%s\n", scheme, browsable(tcp.Addr()))

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	fmt.Println("shutting down")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = srv.Shutdown(ctx) // first the sessions, then what carries some of them
	return errors.Join(err, h3.Close())
}

// library returns the folder of the client library: client, or where npm ci has put it.
func library(client string) (fs.FS, error) {
	places := []string{client}
	if client == "" {
		installed := filepath.Join("node_modules", "socket.io-client", "dist")
		places = []string{installed, filepath.Join("examples", "webtransport", installed)}
	}
	for _, place := range places {
		if _, err := os.Stat(place); err == nil {
			return os.DirFS(place), nil
		}
	}
	return nil, fmt.Errorf("no client library in %q: run npm ci in examples/webtransport first", places)
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
