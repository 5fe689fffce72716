// Command tls speaks TLS itself, without a proxy in front. To try it, make a certificate with a program that comes with Go:
//
//	cd examples && npm ci
//	go run "$(go env GOROOT)/src/crypto/tls/generate_cert.go" -host localhost,127.0.0.1 -ca
//	go run ./tls
//	node tls/client.js
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"log"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/epio-go/epio/sio"
)

func main() {
	addr := flag.String("addr", ":3443", "address to listen on")
	cert := flag.String("cert", "cert.pem", "file of the certificate")
	key := flag.String("key", "key.pem", "file of the key")
	every := flag.Duration("reload", time.Hour, "how often to read them again, for certificates that are renewed")
	flag.Parse()

	var current atomic.Pointer[tls.Certificate]
	load := func() error {
		c, err := tls.LoadX509KeyPair(*cert, *key)
		if err == nil {
			current.Store(&c)
		}
		return err
	}
	if err := load(); err != nil {
		log.Fatal(err)
	}
	go func() {
		for range time.Tick(*every) {
			if err := load(); err != nil {
				slog.Error("certificate", "err", err) // the old one stays in use
			}
		}
	}()

	srv, err := sio.New(sio.Config{Logger: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	sio.OnAck0(srv, "secure?", func(ctx context.Context, s *sio.Socket) (bool, error) {
		h := s.Handshake().Engine()
		if h == nil {
			return false, errors.New("no handshake")
		}
		return h.Secure(), nil
	})

	// Connections stay open when the certificate changes; new ones get the new one.
	ln, err := tls.Listen("tcp", *addr, &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(srv.Serve(ln))
}
