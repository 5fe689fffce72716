package sio

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// BenchmarkRecovery shows what the log costs those who send: emits to one socket, and
// broadcasts to sockets whose connections take everything.
func BenchmarkRecovery(b *testing.B) {
	for _, on := range []bool{false, true} {
		cfg := Config{}
		if on {
			cfg = withRecovery(cfg)
		}
		r := loopback(b, cfg)
		var sockets []*Socket
		for _, n := range []int{1, 100, 1000} {
			for len(sockets) < n {
				sockets = append(sockets, r.drain(b))
			}
			arg := any(strings.Repeat("x", 64))
			if n == 1 {
				b.Run(fmt.Sprintf("send=emit/recovery=%v", on), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						must(b, sockets[0].Emit("news", arg))
					}
				})
			}
			b.Run(fmt.Sprintf("send=broadcast/members=%d/recovery=%v", n, on), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					must(b, r.srv.Emit("news", arg))
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/receiver")
			})
		}
	}
}

// drain connects a client that reads and forgets everything.
func (r *rig) drain(b *testing.B) *Socket {
	b.Helper()
	p := r.websocket()
	p.send("40")
	sid, _, _ := strings.Cut(strings.TrimPrefix(p.next().data, `40{"sid":"`), `"`)
	go io.Copy(io.Discard, p.nc)
	return r.srv.Socket(sid)
}
