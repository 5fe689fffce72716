package eio

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// benchServer serves a silent application on a socket of its own, through the direct door
// or through net/http.
func benchServer(b *testing.B, direct bool, h Handler) (addr string) {
	srv, err := NewServer(Config{}, h)
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	hs := &http.Server{Handler: srv}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if direct {
			srv.Serve(ln)
		} else {
			hs.Serve(ln)
		}
	}()
	b.Cleanup(func() { srv.Close(); hs.Close(); <-done })
	return ln.Addr().String()
}

const benchRequest = "GET " + wsPath + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// benchConnect opens a session and reads up to its OPEN packet.
func benchConnect(b *testing.B, addr string) (net.Conn, *bufio.Reader) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	io.WriteString(nc, benchRequest)
	br := bufio.NewReader(nc)
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			b.Fatal(err)
		}
		if len(line) == 2 {
			break
		}
	}
	if _, payload, err := readServerFrame(br); err != nil || len(payload) < 50 {
		b.Fatal(err)
	}
	return nc, br
}

// BenchmarkConnect is the whole of a connection: dial, upgrade, OPEN, end. The client's
// share is in the figure.
func BenchmarkConnect(b *testing.B) {
	for name, direct := range map[string]bool{"door=direct": true, "door=http": false} {
		b.Run(name, func(b *testing.B) {
			addr := benchServer(b, direct, silent{})
			b.ReportAllocs()
			for b.Loop() {
				nc, _ := benchConnect(b, addr)
				nc.(*net.TCPConn).SetLinger(0) // no TIME_WAIT
				nc.Close()
			}
		})
	}
}

// BenchmarkEcho is a 64-byte message there and back over one connection.
func BenchmarkEcho(b *testing.B) {
	addr := benchServer(b, true, echoer{})
	nc, br := benchConnect(b, addr)
	defer nc.Close()
	frame := clientFrame(0x81, append([]byte("4"), make([]byte, 63)...))
	reply := make([]byte, 2+64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nc.Write(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(br, reply); err != nil {
			b.Fatal(err)
		}
	}
}

type echoer struct{ silent }

func (echoer) Message(s *Session, data []byte, binary bool) { s.SendMessage(data, binary) }

// BenchmarkReceive is the server's own work per message: header, unmasking, UTF-8, machine.
func BenchmarkReceive(b *testing.B) {
	srv, err := NewServer(Config{}, silent{})
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	client, server := net.Pipe()
	defer client.Close()
	s, fail := srv.create(nil, WebSocket, &Handshake{}, false)
	if fail != nil {
		b.Fatal(fail)
	}
	srv.open(s)
	h := (*wsConn)(s)
	c, err := srv.engine.Adopt(server, nil, h)
	if err != nil {
		b.Fatal(err)
	}
	s.attach(c)
	frame := clientFrame(0x81, append([]byte("4"), make([]byte, 63)...))
	scratch := make([]byte, len(frame))
	b.ReportAllocs()
	for b.Loop() {
		copy(scratch, frame)
		if h.Data(c, scratch) != len(frame) {
			b.Fatal("not consumed")
		}
	}
}
