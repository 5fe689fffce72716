package webtransport_test

import (
	"context"
	"crypto/tls"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/eio/webtransport"
	"github.com/epio-go/epio/sio"
)

// A Socket.IO server with all transports: polling and WebSocket on TCP, WebTransport on UDP, at
// the same port number and with the same certificate.
func Example() {
	srv, err := sio.New(sio.Config{Engine: eio.Config{
		Transports: []string{"polling", "websocket", "webtransport"},
	}})
	if err != nil {
		log.Fatal(err)
	}
	sio.On(srv.Of("/"), "hello", func(_ context.Context, s *sio.Socket, name string) error {
		return s.Emit("welcome", name, s.Transport().String())
	})

	certificate, err := tls.LoadX509KeyPair("cert.pem", "key.pem")
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}

	tcp := &http.Server{Addr: ":443", Handler: srv, TLSConfig: config}
	udp := webtransport.New(srv.Engine(), &http3.Server{Addr: ":443", TLSConfig: config})
	go tcp.ListenAndServeTLS("", "")
	go udp.ListenAndServe()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()

	// The sessions come first. They still need what carries them.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	tcp.Close()
	udp.Close()
}
