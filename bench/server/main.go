// Command bench-server is the server under load in the benchmarks. Its events, on
// the namespace "/":
//
//	join(room)            joins and acknowledges
//	leave(room)           leaves and acknowledges
//	bcast(room, payload)  sends "msg"(payload) to the room, the sender included if it is a member
//	echo(payload)         acknowledges with the payload
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/sio"
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "127.0.0.1:3000", "address to listen on")
	door := flag.String("door", "direct", "way in: direct (the server's own listener) or http (net/http)")
	msgpack := flag.Bool("msgpack", false, "speak msgpack instead of JSON")
	portable := flag.Bool("portable", false, "use the engine with one goroutine per connection")
	netpoll := flag.Bool("netpoll", false, "use netpoll instead of the engine's own epoll loops")
	profile := flag.String("pprof", "", "address for net/http/pprof, and for /mallocs, the number of heap allocations; empty means none")
	flag.Parse()
	if err := run(*addr, *door, *portable, *netpoll, *msgpack, *profile); err != nil {
		log.Fatal("bench-server: ", err)
	}
}

func run(addr, door string, portable, netpoll, msgpack bool, profile string) error {
	reactor := engine.Epoll
	if netpoll {
		reactor = engine.Netpoll
	}
	parser, argument := codec.JSON, jsonArgument
	if msgpack {
		parser, argument = codec.Msgpack, msgpackArgument
	}
	bcast, echo := handlers(argument)
	srv, err := sio.New(sio.Config{
		Parser:      parser,
		Engine:      eio.Config{Portable: portable, Reactor: reactor, SendBuffer: 64 << 20},
		QueueEvents: 4096,
		QueueBytes:  16 << 20,
	})
	if err != nil {
		return err
	}
	sio.OnAck(srv, "join", func(_ context.Context, s *sio.Socket, room string) (sio.None, error) {
		return sio.None{}, s.Join(room)
	})
	sio.OnAck(srv, "leave", func(_ context.Context, s *sio.Socket, room string) (sio.None, error) {
		s.Leave(room)
		return sio.None{}, nil
	})
	srv.Handle("bcast", sio.HandlerFunc(bcast))
	srv.Handle("echo", sio.HandlerFunc(echo))

	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	if profile != "" {
		go func() { log.Print("pprof: ", servePprof(profile)) }()
	}
	log.Printf("listening on %s (%s, GOMAXPROCS=%d)", ln.Addr(), runtime.Version(), runtime.GOMAXPROCS(0))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 1)
	web := &http.Server{Handler: srv, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if door == "http" {
			ended <- web.Serve(ln)
			return
		}
		ended <- srv.Serve(ln)
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	srv.Close()
	web.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// handlers returns the handlers of events whose payload is passed on as it is.
func handlers(argument func(*sio.Message, int) (any, error)) (bcast, echo func(context.Context, *sio.Socket, *sio.Message) error) {
	bcast = func(_ context.Context, s *sio.Socket, m *sio.Message) error {
		var room string
		if err := m.Decode(0, &room); err != nil {
			return err
		}
		payload, err := argument(m, 1)
		if err != nil {
			return err
		}
		return s.Server().To(room).Emit("msg", payload)
	}
	echo = func(_ context.Context, _ *sio.Socket, m *sio.Message) error {
		payload, err := argument(m, 0)
		if err != nil {
			return err
		}
		return m.Ack(payload)
	}
	return bcast, echo
}

// jsonArgument returns argument i in the cheapest form that can be sent again:
// JSON text needs no decoding, and binary is decoded as such.
func jsonArgument(m *sio.Message, i int) (any, error) {
	if i >= m.Len() {
		return nil, nil
	}
	if m.Attachments() == 0 {
		return json.RawMessage(m.Raw(i)), nil
	}
	var v any
	err := m.Decode(i, &v)
	return v, err
}

// msgpackArgument is jsonArgument for msgpack, which has binary in place.
func msgpackArgument(m *sio.Message, i int) (any, error) {
	if i >= m.Len() {
		return nil, nil
	}
	return msgp.Raw(m.Raw(i)), nil
}
