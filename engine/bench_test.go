package engine

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// benchEngines runs a benchmark on each engine this platform has.
func benchEngines(b *testing.B, fn func(b *testing.B, o Options)) {
	for _, e := range []struct {
		name string
		o    Options
	}{
		{"epoll", Options{Reactor: Epoll}},
		{"netpoll", Options{Reactor: Netpoll}},
		{"portable", Options{Portable: true}},
	} {
		b.Run("engine="+e.name, func(b *testing.B) {
			if !e.o.Portable && New(Options{}).reactor == nil {
				b.Skip("no reactor on this platform")
			}
			fn(b, e.o)
		})
	}
}

// BenchmarkSend is a shared frame to one client, until that has it.
func BenchmarkSend(b *testing.B) {
	benchEngines(b, func(b *testing.B, o Options) {
		for _, size := range []int{64, 1 << 10, 16 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
				_, c, client := adopted(b, o, newHandler(consume))
				client.SetDeadline(time.Time{})
				f := frame(bytes.Repeat([]byte("x"), size))
				defer f.Release()
				got := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					f.Retain(1)
					if err := c.Send(f); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(client, got); err != nil {
						b.Fatal(err)
					}
				}
				if !bytes.Equal(got, f.Bytes()) {
					b.Error("something else arrived")
				}
			})
		}
	})
}

// BenchmarkFanOut is a broadcast, until all clients have it. They read one after
// the other on one goroutine, which is in the figure.
func BenchmarkFanOut(b *testing.B) {
	benchEngines(b, func(b *testing.B, o Options) {
		for _, receivers := range []int{1, 10, 300} {
			b.Run(fmt.Sprintf("receivers=%d", receivers), func(b *testing.B) {
				s := newBroadcaster(b, o, receivers)
				for _, nc := range s.clients {
					nc.SetDeadline(time.Time{})
				}
				buf := make([]byte, s.f.Len())
				b.ReportAllocs()
				for b.Loop() {
					s.send()
					if err := s.await(buf); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(receivers), "ns/receiver")
			})
		}
	})
}

// BenchmarkEcho is messages there and back over one connection, written together
// when several are in flight.
func BenchmarkEcho(b *testing.B) {
	const size = 64
	benchEngines(b, func(b *testing.B, o Options) {
		for _, inFlight := range []int{1, 16} {
			b.Run(fmt.Sprintf("inFlight=%d", inFlight), func(b *testing.B) {
				_, _, client := adopted(b, o, newHandler(func(c *Conn, p []byte) int {
					n := 0
					for ; len(p)-n >= size; n += size {
						if err := c.Send(frame(p[n : n+size])); err != nil {
							b.Error(err)
						}
					}
					return n
				}))
				client.SetDeadline(time.Time{})
				var msg []byte
				for i := range inFlight {
					msg = append(msg, bytes.Repeat([]byte{byte(i)}, size)...)
				}
				got := make([]byte, len(msg))
				b.ReportAllocs()
				for b.Loop() {
					roundTrip(b, client, msg, got)
				}
			})
		}
	})
}

// roundTrip writes msg and wants it back.
func roundTrip(b *testing.B, nc net.Conn, msg, got []byte) {
	if _, err := nc.Write(msg); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(nc, got); err != nil {
		b.Fatal(err)
	}
	if !bytes.Equal(got, msg) {
		b.Fatalf("%q came back as %q", msg, got)
	}
}

// BenchmarkReceiveInPieces is a message whose bytes come one segment at a time, the
// rest of it kept by the connection meanwhile.
func BenchmarkReceiveInPieces(b *testing.B) {
	const size, pieces = 4096, 4
	benchEngines(b, func(b *testing.B, o Options) {
		seen, whole := make(chan int, pieces), make(chan bool, 1)
		_, _, client := adopted(b, o, newHandler(func(_ *Conn, p []byte) int {
			if len(p) < size {
				seen <- len(p)
				return 0
			}
			whole <- len(p) == size
			return len(p)
		}))
		client.SetDeadline(time.Time{})
		msg := make([]byte, size)
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			for i := range pieces {
				if _, err := client.Write(msg[i*size/pieces : (i+1)*size/pieces]); err != nil {
					b.Fatal(err)
				}
				for n := 0; i < pieces-1 && n < (i+1)*size/pieces; {
					n = <-seen
				}
			}
			if !<-whole {
				b.Fatal("more than one message arrived")
			}
		}
	})
}

// BenchmarkAccept is the life of a connection that says nothing. The client's share
// is in the figure.
func BenchmarkAccept(b *testing.B) {
	benchEngines(b, func(b *testing.B, o Options) {
		conns, ended := make(chan *Conn, 1), make(chan error, 1)
		ln := listen(b)
		e := New(o)
		served := make(chan error, 1)
		go func() {
			served <- e.Serve(ln, func(c *Conn) Handler {
				conns <- c
				return ends{ended}
			})
		}()
		b.ReportAllocs()
		for b.Loop() {
			nc, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			(<-conns).Close(net.ErrClosed)
			if err := <-ended; err != net.ErrClosed {
				b.Fatal(err)
			}
			nc.(*net.TCPConn).SetLinger(0) // no TIME_WAIT
			nc.Close()
		}
		e.Close()
		<-served
	})
}

// ends is a handler that only tells when its connection has ended.
type ends struct{ closed chan error }

func (h ends) Data(_ *Conn, p []byte) int { return len(p) }
func (h ends) Closed(_ *Conn, err error)  { h.closed <- err }
