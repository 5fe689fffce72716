package eio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/memconn"
)

// benchDoors are the ways into a server, named for benchstat.
var benchDoors = []door{
	{name: "door=direct/engine=epoll", direct: true},
	{name: "door=direct/engine=netpoll", direct: true, reactor: engine.Netpoll},
	{name: "door=direct/engine=portable", direct: true, portable: true},
	{name: "door=direct/engine=memory", direct: true, portable: true, memory: true},
	{name: "door=http/engine=epoll"},
	{name: "door=http/engine=portable", portable: true},
}

// benchConfig keeps heartbeats out of what is measured.
func benchConfig(d door) Config {
	return Config{PingInterval: time.Hour, Portable: d.portable, Reactor: d.reactor}
}

// serve serves h behind the door until the test ends and returns a dialer.
func (d door) serve(tb testing.TB, h Handler) (dial func() (net.Conn, error)) {
	tb.Helper()
	srv, err := NewServer(benchConfig(d), h)
	if err != nil {
		tb.Fatal(err)
	}
	var ln net.Listener
	if d.memory {
		m := memconn.Listen()
		ln, dial = m, m.Dial
	} else {
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			tb.Fatal(err)
		}
		dial = func() (net.Conn, error) { return net.Dial("tcp", ln.Addr().String()) }
	}
	hs := &http.Server{Handler: srv}
	done := make(chan error, 1)
	go func() {
		if d.direct {
			done <- srv.Serve(ln)
		} else {
			done <- hs.Serve(ln)
		}
	}()
	tb.Cleanup(func() {
		srv.Close()
		hs.Close()
		if err := <-done; !errors.Is(err, ErrServerClosed) && !errors.Is(err, http.ErrServerClosed) {
			tb.Errorf("Serve returned %v", err)
		}
	})
	return dial
}

const benchRequest = "GET " + wsPath + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// benchConnect opens a session and reads up to its OPEN packet.
func benchConnect(tb testing.TB, dial func() (net.Conn, error), br *bufio.Reader) net.Conn {
	nc, err := dial()
	if err != nil {
		tb.Fatal(err)
	}
	br.Reset(nc)
	io.WriteString(nc, benchRequest)
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			tb.Fatal(err)
		}
		if len(line) == 2 {
			break
		}
	}
	if _, payload, err := readServerFrame(br); err != nil || !bytes.HasPrefix(payload, []byte(`0{"sid":"`)) {
		tb.Fatalf("got %q %v, want OPEN", payload, err)
	}
	return nc
}

// BenchmarkConnect is the whole of a connection: dial, upgrade, OPEN, end. The client's
// share is in the figure.
func BenchmarkConnect(b *testing.B) {
	for _, d := range benchDoors {
		b.Run(d.name, func(b *testing.B) {
			dial := d.serve(b, silent{})
			br := bufio.NewReader(nil)
			b.ReportAllocs()
			for b.Loop() {
				nc := benchConnect(b, dial, br)
				if tc, ok := nc.(*net.TCPConn); ok {
					tc.SetLinger(0) // no TIME_WAIT
				}
				nc.Close()
			}
		})
	}
}

// BenchmarkEcho is a message there and back over one connection.
func BenchmarkEcho(b *testing.B) {
	for _, d := range benchDoors {
		if !d.direct {
			continue // the same once the connection stands
		}
		for _, kind := range []string{"text", "binary"} {
			for _, size := range []int{64, 1 << 10, 16 << 10, 64 << 10} {
				engine := strings.TrimPrefix(d.name, "door=direct/")
				b.Run(fmt.Sprintf("%s/kind=%s/bytes=%d", engine, kind, size), func(b *testing.B) {
					benchEcho(b, d, kind == "binary", bytes.Repeat([]byte("x"), size))
				})
			}
		}
	}
}

func benchEcho(b *testing.B, d door, binary bool, data []byte) {
	br := bufio.NewReader(nil)
	nc := benchConnect(b, d.serve(b, echoer{}), br)
	defer nc.Close()
	frame, want := clientFrame(0x82, data), codec.NewBinaryFrame(data)
	if !binary {
		frame, want = clientFrame(0x81, append([]byte("4"), data...)), codec.NewTextFrame(codec.Message, data)
	}
	defer want.Release()
	reply := make([]byte, want.Len())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nc.Write(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(br, reply); err != nil {
			b.Fatal(err)
		}
		if !bytes.Equal(reply, want.Bytes()) {
			b.Fatal("the echo is another")
		}
	}
}

type echoer struct{ silent }

func (echoer) Message(s *Session, data []byte, binary bool) { s.SendMessage(data, binary) }

// counter is an application that counts what it gets.
type counter struct {
	silent
	messages, bytes int
}

func (c *counter) Message(_ *Session, data []byte, _ bool) {
	c.messages++
	c.bytes += len(data)
}

// idleSession returns a server with one session on a connection that carries nothing.
func idleSession(tb testing.TB, h Handler) (*wsConn, *engine.Conn) {
	srv, err := NewServer(benchConfig(door{}), h)
	if err != nil {
		tb.Fatal(err)
	}
	client, server := net.Pipe()
	tb.Cleanup(func() { srv.Close(); client.Close() })
	s, fail := srv.create(nil, WebSocket, &Handshake{}, &checked{query: query{eio: "4"}})
	if fail != nil {
		tb.Fatal(fail)
	}
	srv.open(s)
	c, err := srv.engine.Adopt(server, nil, (*wsConn)(s))
	if err != nil {
		tb.Fatal(err)
	}
	s.attach(c)
	return (*wsConn)(s), c
}

// BenchmarkReceive is the server's own work per message: header, unmasking, UTF-8, machine.
func BenchmarkReceive(b *testing.B) {
	fragments := func(n int, data []byte) (stream []byte) {
		first := byte(ws.OpText)
		for i := 0; i < len(data); i += n {
			end := min(i+n, len(data))
			if end == len(data) {
				first |= 0x80
			}
			stream = append(stream, clientFrame(first, data[i:end])...)
			first = 0
		}
		return stream
	}
	for _, bc := range []struct {
		name     string
		stream   []byte
		messages int
	}{
		{"kind=text/bytes=64", clientFrame(0x81, append([]byte("4"), make([]byte, 64)...)), 1},
		{"kind=text/bytes=16384", clientFrame(0x81, append([]byte("4"), make([]byte, 16<<10)...)), 1},
		{"kind=unicode/bytes=16384", textFrame("4" + strings.Repeat("😀", 4<<10)), 1},
		{"kind=binary/bytes=64", clientFrame(0x82, make([]byte, 64)), 1},
		{"kind=binary/bytes=16384", clientFrame(0x82, make([]byte, 16<<10)), 1},
		{"kind=base64/bytes=16384", textFrame("b" + strings.Repeat("AAAA", (16<<10)/4)), 1},
		{"kind=text/bytes=64/together=100", bytes.Repeat(textFrame("4"+strings.Repeat("x", 64)), 100), 100},
		{"kind=fragments/bytes=16384/fragment=1024", fragments(1024, []byte("4"+strings.Repeat("x", 16<<10))), 1},
		{"kind=fragments/bytes=16384/fragment=1", fragments(1, []byte("4"+strings.Repeat("😀", 4<<10))), 1},
		{"kind=emptyFragments/bytes=16384", append(append(clientFrame(0x01, []byte("4")),
			bytes.Repeat(clientFrame(0, nil), (16<<10)/6)...), clientFrame(0x80, []byte("x"))...), 1},
	} {
		b.Run(bc.name, func(b *testing.B) {
			app := &counter{}
			h, c := idleSession(b, app)
			scratch := make([]byte, len(bc.stream))
			b.SetBytes(int64(len(bc.stream)))
			b.ReportAllocs()
			for b.Loop() {
				app.messages = 0
				copy(scratch, bc.stream)
				for used := 0; used < len(scratch); {
					n := h.Data(c, scratch[used:])
					if used += n; n == 0 {
						b.Fatal("not consumed")
					}
				}
				if app.messages != bc.messages {
					b.Fatalf("%d messages, want %d", app.messages, bc.messages)
				}
			}
			if h.m.phase == phaseClosed {
				b.Error("the session has ended")
			}
		})
	}
}

// BenchmarkWSReader is the reader alone.
func BenchmarkWSReader(b *testing.B) {
	for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary} {
		for _, size := range []int{64, 1 << 10, 16 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("kind=%s/bytes=%d", map[ws.OpCode]string{ws.OpText: "text", ws.OpBinary: "binary"}[op], size), func(b *testing.B) {
				frame := clientFrame(0x80|byte(op), make([]byte, size))
				scratch := make([]byte, len(frame))
				var r wsReader
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					copy(scratch, frame)
					m, n, err := r.next(scratch, 1<<20)
					if n != len(frame) || m.op != op || len(m.data) != size || err != nil {
						b.Fatal(n, err)
					}
					m.release()
				}
			})
		}
	}
}

// What the reader looks at before it refuses.
func BenchmarkWSReaderRefused(b *testing.B) {
	tooBig := clientFrame(0x82, make([]byte, 16<<10))
	for _, bc := range []struct {
		name  string
		frame []byte
		want  error
	}{
		{"frame=tooBig", tooBig, ErrMessageTooBig},
		{"frame=unmasked", append([]byte{0x81, 100}, make([]byte, 100)...), ErrWebSocketProtocol},
		{"frame=badUTF8Last/bytes=8192", clientFrame(0x81, append(bytes.Repeat([]byte("é"), 4<<10), 0xff)), ErrWebSocketUTF8},
	} {
		b.Run(bc.name, func(b *testing.B) {
			scratch := make([]byte, len(bc.frame))
			b.ReportAllocs()
			for b.Loop() {
				var r wsReader
				copy(scratch, bc.frame)
				if _, _, err := r.next(scratch, 10_000); !errors.Is(err, bc.want) {
					b.Fatal(err)
				}
			}
		})
	}
}
