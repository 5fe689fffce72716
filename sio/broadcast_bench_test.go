package sio

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/epio-go/epio/codec"
)

// audience is clients that count what they get.
type audience struct {
	bytes, target atomic.Int64
	all           chan struct{}
}

// listen adds a client.
func (a *audience) listen(nc net.Conn) {
	go func() {
		p := make([]byte, 64<<10)
		for {
			n, err := nc.Read(p)
			if err != nil {
				return
			}
			if a.bytes.Add(int64(n)) == a.target.Load() {
				a.all <- struct{}{}
			}
		}
	}()
}

// await calls emit and waits until n bytes more have arrived.
func (a *audience) await(n int, emit func() error) error {
	a.target.Add(int64(n))
	if err := emit(); err != nil {
		return err
	}
	<-a.all
	return nil
}

// BenchmarkEmit is an event until its only receiver has it.
func BenchmarkEmit(b *testing.B) {
	eachEngine(b, func(b *testing.B, r *rig) {
		nc, s := rawClient(b, r)
		a := &audience{all: make(chan struct{}, 1)}
		a.listen(nc)
		for _, bc := range []struct {
			name string
			arg  any
		}{
			{"arg=string/bytes=64", strings.Repeat("x", 64)},
			{"arg=string/bytes=16384", strings.Repeat("x", 16<<10)},
			{"arg=struct", &point{1, 2}},
			{"arg=binary/bytes=16384", make([]byte, 16<<10)},
		} {
			b.Run(bc.name, func(b *testing.B) {
				n := eventLen(b, bc.arg)
				emit := func() error { return s.Emit("news", bc.arg) }
				b.ReportAllocs()
				for b.Loop() {
					if err := a.await(n, emit); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

// eventLen returns the size of an event "news" on the wire.
func eventLen(tb testing.TB, arg any) int {
	tb.Helper()
	f, err := codec.JSON.EncodeEvent("/", -1, "news", []any{arg})
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Release()
	return f.Len()
}

// BenchmarkBroadcast is an event to a room until all members have it. The clients'
// share is in the figure.
func BenchmarkBroadcast(b *testing.B) {
	eachEngine(b, func(b *testing.B, r *rig) {
		a := &audience{all: make(chan struct{}, 1)}
		members := 0
		for _, n := range []int{1, 100, 1000} {
			for ; members < n; members++ {
				nc, s := rawClient(b, r)
				a.listen(nc)
				must(b, s.Join("room"))
			}
			b.Run(fmt.Sprintf("members=%d/bytes=64", n), func(b *testing.B) {
				arg := any(strings.Repeat("x", 64))
				size := n * eventLen(b, arg)
				emit := func() error { return r.srv.To("room").Emit("news", arg) }
				b.ReportAllocs()
				for b.Loop() {
					if err := a.await(size, emit); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/receiver")
			})
		}
	})
}
