package sio

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/eio"
	"github.com/epio-go/epio/engine"
	"github.com/epio-go/epio/internal/memconn"
)

// benchEngines are the ways bytes reach a server, named for benchstat.
var benchEngines = []struct {
	name string
	cfg  eio.Config
}{
	{"engine=memory", eio.Config{Portable: true}},
	{"engine=epoll", eio.Config{}},
	{"engine=netpoll", eio.Config{Reactor: engine.Netpoll}},
	{"engine=portable", eio.Config{Portable: true}},
}

// eachEngine runs f for each engine, on a server that logs nothing and sends no PING meanwhile.
func eachEngine(b *testing.B, f func(b *testing.B, r *rig)) {
	for _, e := range benchEngines {
		b.Run(e.name, func(b *testing.B) {
			if e.name == "engine=memory" {
				f(b, memoryBench(b))
				return
			}
			if !e.cfg.Portable && runtime.GOOS != "linux" {
				b.Skip("no reactor on this platform")
			}
			f(b, loopback(b, quiet(e.cfg)))
		})
	}
}

func quiet(cfg eio.Config) Config {
	cfg.PingInterval = time.Hour
	return Config{Engine: cfg, Logger: slog.New(slog.DiscardHandler)}
}

// memoryBench is memory without a bubble.
func memoryBench(tb testing.TB) *rig {
	ln := memconn.Listen()
	return serve(tb, quiet(eio.Config{Portable: true}), ln, "memory", ln.Dial, func() {})
}

// rawClient is a connection that has joined "/", with nothing that allocates.
func rawClient(t testing.TB, r *rig) (net.Conn, *Socket) {
	t.Helper()
	p, s := r.join()
	p.nc.SetReadDeadline(time.Time{})
	return p.nc, s
}

// BenchmarkConnect is the whole of a connection: dial, upgrade, OPEN, CONNECT, its answer, end.
// The client's share is in the figure.
func BenchmarkConnect(b *testing.B) {
	eachEngine(b, func(b *testing.B, r *rig) {
		for _, bc := range []struct{ name, connect string }{
			{"auth=none", "40"},
			{"auth=token", `40{"token":"` + strings.Repeat("x", 64) + `"}`},
		} {
			b.Run(bc.name, func(b *testing.B) {
				request := append(fmt.Appendf(nil, upgradeRequest, "", r.addr, ""), frames(bc.connect)...)
				d := dialler{r: r, br: bufio.NewReader(nil)}
				b.ReportAllocs()
				for b.Loop() {
					nc := d.connect(b, request)
					if tc, ok := nc.(*net.TCPConn); ok {
						tc.SetLinger(0) // no TIME_WAIT
					}
					nc.Close()
				}
			})
		}
	})
}

// dialler opens connections with little garbage of its own.
type dialler struct {
	r  *rig
	br *bufio.Reader
}

// connect sends a request with everything up to CONNECT behind it and reads the answers.
func (d *dialler) connect(tb testing.TB, request []byte) net.Conn {
	nc, err := d.r.dial()
	if err != nil {
		tb.Fatal(err)
	}
	d.br.Reset(nc)
	nc.Write(request)
	for {
		line, err := d.br.ReadSlice('\n')
		if err != nil {
			tb.Fatal(err)
		}
		if len(line) == 2 {
			break
		}
	}
	for _, want := range []string{`0{"sid":"`, `40{"sid":"`} {
		got, err := peekText(d.br)
		if err != nil || !bytes.HasPrefix(got, []byte(want)) {
			tb.Fatalf("got %q %v, want %s", got, err, want)
		}
		d.br.Discard(len(got))
	}
	return nc
}

// peekText skips the header of a text frame shorter than 64 KiB and returns its payload, which stays
// in br.
func peekText(br *bufio.Reader) ([]byte, error) {
	head, err := br.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0] != 0x80|byte(ws.OpText) {
		return nil, fmt.Errorf("frame %x", head)
	}
	n := int(head[1])
	br.Discard(2)
	if n == 126 {
		if head, err = br.Peek(2); err != nil {
			return nil, err
		}
		n = int(head[0])<<8 | int(head[1])
		br.Discard(2)
	}
	return br.Peek(n)
}

// BenchmarkEvent is events from a client until their handlers have run.
func BenchmarkEvent(b *testing.B) {
	eachEngine(b, func(b *testing.B, r *rig) {
		calls := make(chan struct{}, 64)
		registerAll(r.srv, func() { calls <- struct{}{} })
		nc, _ := rawClient(b, r)
		for _, inFlight := range []int{1, 16} {
			b.Run(fmt.Sprintf("inFlight=%d", inFlight), func(b *testing.B) {
				p := bytes.Repeat(frames(`42["string","hello"]`), inFlight)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := nc.Write(p); err != nil {
						b.Fatal(err)
					}
					for range inFlight {
						<-calls
					}
				}
			})
		}
	})
}

func BenchmarkJoinLeave(b *testing.B) {
	r := memoryBench(b)
	_, s := rawClient(b, r)
	_, other := rawClient(b, r)
	must(b, other.Join("a", "b", "c", "d"))
	for _, rooms := range [][]string{{"a"}, {"a", "b", "c", "d"}, {"nobody else"}} {
		b.Run(fmt.Sprintf("rooms=%d/exists=%v", len(rooms), rooms[0] == "a"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Join(rooms...); err != nil {
					b.Fatal(err)
				}
				s.Leave(rooms...)
			}
			if got := s.Rooms(); len(got) != 1 {
				b.Errorf("left in %q", got)
			}
		})
	}
}
