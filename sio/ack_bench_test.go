package sio

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/gobwas/ws"
)

// BenchmarkAck is events from a client until it has their acknowledgements.
func BenchmarkAck(b *testing.B) {
	eachEngine(b, func(b *testing.B, r *rig) {
		registerAll(r.srv, func() {})
		nc, _ := rawClient(b, r)
		for _, inFlight := range []int{1, 16} {
			b.Run(fmt.Sprintf("inFlight=%d", inFlight), func(b *testing.B) {
				const answer = `431["hello"]`
				p := bytes.Repeat(frames(`421["ack","hello"]`), inFlight)
				want := bytes.Repeat(append([]byte{0x80 | byte(ws.OpText), byte(len(answer))}, answer...), inFlight)
				got := make([]byte, len(want))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := nc.Write(p); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(nc, got); err != nil {
						b.Fatal(err)
					}
					if !bytes.Equal(got, want) {
						b.Fatalf("got %q, want %q", got, want)
					}
				}
			})
		}
	})
}

// acknowledge answers every event on nc with the arguments args until nc is closed.
func acknowledge(nc net.Conn, args string) {
	br := bufio.NewReader(nc)
	var out []byte
	for {
		p, err := peekText(br)
		if err != nil {
			return
		}
		id := p[2:bytes.IndexByte(p, '[')]
		out = append(out[:0], 0x80|byte(ws.OpText), 0x80|byte(2+len(id)+len(args)), 0, 0, 0, 0)
		out = append(append(append(out, "43"...), id...), args...)
		br.Discard(len(p))
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

// callee is a client that acknowledges everything.
func callee(tb testing.TB, r *rig) *Socket {
	nc, s := rawClient(tb, r)
	go acknowledge(nc, `["yes"]`)
	return s
}

// BenchmarkCall asks one client and waits for its acknowledgement.
func BenchmarkCall(b *testing.B) {
	ctx := context.Background()
	eachEngine(b, func(b *testing.B, r *rig) {
		s := callee(b, r)
		b.ReportAllocs()
		for b.Loop() {
			if v, err := Call[string](ctx, s, "ask", "please"); v != "yes" || err != nil {
				b.Fatal(v, err)
			}
		}
	})
}

// BenchmarkGather asks many.
func BenchmarkGather(b *testing.B) {
	ctx := context.Background()
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("engine=memory/sockets=%d", n), func(b *testing.B) {
			r := memoryBench(b)
			for range n {
				must(b, callee(b, r).Join("voters"))
			}
			voters := r.srv.To("voters")
			b.ReportAllocs()
			for b.Loop() {
				got := 0
				for a, err := range Gather[string](ctx, voters, "ask", "please") {
					if a.Value != "yes" || err != nil {
						b.Fatal(a, err)
					}
					got++
				}
				if got != n {
					b.Fatalf("%d answers, want %d", got, n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/socket")
		})
	}
}
