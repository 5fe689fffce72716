package eio

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/internal/invariants"
)

// ordinary is a well-behaved client. An attack fails to be one if it goes on being served.
type ordinary struct {
	c *wsClient
	n int
}

func (r *rig) ordinary() *ordinary {
	r.t.Helper()
	c := r.websocket()
	c.nc.SetDeadline(time.Now().Add(time.Minute))
	return &ordinary{c: c}
}

// served has a message echoed, and opens a session on polling.
func (o *ordinary) served(r *rig) {
	o.c.t.Helper()
	o.n++
	said := fmt.Sprintf("4ordinary %d", o.n)
	o.c.send(said)
	for {
		got := o.c.text()
		if got == said {
			break
		}
		if got != "2" {
			o.c.t.Fatalf("got %q, want %q", got, said)
		}
		o.c.send("3")
	}
	r.wantAlive(r.poll())
}

// heap returns the bytes of memory that are in use.
func heap() int {
	runtime.GC()
	runtime.GC() // pools forget at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// wantWithin checks that what is spent now is at most so much more than before. Builds that watch
// memory need more of it.
func wantWithin(t *testing.T, what string, before, now, more int) {
	t.Helper()
	if now-before > more && (what != "bytes" || !invariants.Enabled) {
		t.Errorf("%d more %s, at most %d are allowed", now-before, what, more)
	}
}

// TestSlowHandshakes keeps hundreds of connections in front of the door, with parts of a
// request. Those that the direct door has not judged yet cost no goroutine.
func TestSlowHandshakes(t *testing.T) {
	const n = 300
	eachDoor(t, func(t *testing.T, d door) {
		if !d.direct {
			return
		}
		r := d.open(t, Config{MaxHeaderBytes: 4 << 10}, nil)
		o := r.ordinary()
		o.served(r)
		goroutines, memory := runtime.NumGoroutine(), heap()
		part := "GET " + wsPath + " HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 3000)
		conns := make([]net.Conn, n)
		for i := range conns {
			conns[i] = r.ask(part[:1+i*len(part)/n])
		}
		eventually(t, "all are connected", func() bool { return r.srv.engine.Conns() >= n })
		o.served(r)
		if !d.portable { // which has a goroutine for each, as documented
			eventually(t, "only a few goroutines are left", func() bool { return runtime.NumGoroutine() <= goroutines+20 })
		}
		// Both ends are in this process. A head waits in a buffer of up to 4 KiB.
		wantWithin(t, "bytes", memory, heap(), n*(4<<10+16<<10))
		if n := r.srv.Sessions(); n > 3 { // the ordinary client's
			t.Errorf("%d sessions", n)
		}
		for _, nc := range conns {
			nc.Close()
		}
		eventually(t, "all are gone", func() bool { return r.srv.engine.Conns() <= 1 })
		o.served(r)
	})
	// They have HandshakeTimeout, however steadily a little more comes.
	for _, d := range memoryDoors {
		if !d.direct {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := d.open(t, Config{}, nil)
				conns := make([]net.Conn, 100)
				for i := range conns {
					conns[i] = r.ask("GET ")
				}
				for range 11 {
					time.Sleep(time.Second)
					for _, nc := range conns {
						nc.Write([]byte("x"))
					}
				}
				for _, nc := range conns {
					if _, err := nc.Read(make([]byte, 1)); err == nil {
						t.Error("a slow handshake was answered")
					}
				}
				if n := r.srv.engine.Conns(); n != 0 {
					t.Errorf("%d connections left", n)
				}
			})
		})
	}
}

// TestConnectionFlood opens many more sessions than there may be, from all sides at once.
func TestConnectionFlood(t *testing.T) {
	const limit, workers, each = 20, 8, 25
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxConns: limit + 2}, nil)
		o := r.ordinary()
		kept := r.poll()
		goroutines := runtime.NumGoroutine()
		var mu sync.Mutex
		taken, refused := 0, 0
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for range each {
					nc, err := r.dial()
					if err != nil {
						t.Error(err)
						return
					}
					t.Cleanup(func() { nc.Close() })
					nc.SetDeadline(time.Now().Add(patience))
					path := wsPath
					head := "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
					if w%2 == 0 {
						path, head = pollingPath, "Connection: close\r\n"
					}
					fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, head)
					resp, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: "GET"})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					switch resp.StatusCode {
					case 101, 200:
						taken++
					case 503:
						refused++
					default:
						t.Errorf("answered with %s", resp.Status)
					}
					mu.Unlock()
				}
			})
		}
		for range 20 {
			o.n++
			said := fmt.Sprintf("4during %d", o.n)
			o.c.send(said)
			o.c.want(said)
			r.wantAlive(kept)
		}
		wg.Wait()
		if taken != limit || refused != workers*each-limit || r.srv.Sessions() != limit+2 {
			t.Errorf("%d taken, %d refused, %d sessions", taken, refused, r.srv.Sessions())
		}
		eventually(t, "the refused cost nothing any more", func() bool {
			return runtime.NumGoroutine() <= goroutines+2*(limit+2)+20
		})
	})
}

// TestTinyFragments floods with messages in fragments of a byte, or of none.
func TestTinyFragments(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxPayload: 4096}, nil)
		o := r.ordinary()
		a := r.websocket()
		a.nc.SetDeadline(time.Now().Add(time.Minute))
		memory := heap()
		empty := bytes.Repeat(clientFrame(0x00, nil), 1000)
		a.write(clientFrame(0x01, []byte("4")))
		for range 50 { // 50,000 fragments of nothing
			a.write(empty)
			a.write(clientFrame(0x89, nil))
			if op, _, err := a.frame(); err != nil || op != 0xa {
				t.Fatalf("%v, %v, want a PONG", op, err)
			}
		}
		o.served(r)
		for range 4095 {
			a.write(clientFrame(0x00, []byte("x")))
		}
		wantWithin(t, "bytes", memory, heap(), 1<<20)
		a.write(clientFrame(0x80, nil))
		a.want("4" + strings.Repeat("x", 4095))

		a.write(clientFrame(0x01, []byte("4")))
		flood := bytes.Repeat(clientFrame(0x00, []byte("x")), 4096)
		a.nc.Write(flood) // the last is one too many
		a.wantCloseFrame(1009)
		o.served(r)
	})
}

// TestPingFlood sends PINGs without reading the PONGs: they are dropped when the send buffer
// is full.
func TestPingFlood(t *testing.T) {
	const buffer = 64 << 10
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{SendBuffer: buffer}, nil)
		o := r.ordinary()
		a := r.websocket()
		r.session()
		s := r.srv.Session(a.open.SID)
		a.nc.SetDeadline(time.Now().Add(time.Minute))
		flood := bytes.Repeat(clientFrame(0x89, bytes.Repeat([]byte("p"), 125)), 1000)
		full := false
		for range 200 { // 26 MB
			if _, err := a.nc.Write(flood); err != nil {
				t.Fatal(err)
			}
			n := s.Buffered()
			if n > buffer {
				t.Fatalf("%d bytes are buffered", n)
			}
			full = full || n > buffer/2
		}
		o.served(r)
		if !full {
			t.Skip("the system's buffers took it all")
		}
	})
}

// TestCompressionBombs sends messages that grow a thousandfold when they are decompressed.
func TestCompressionBombs(t *testing.T) {
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 9)
	zeros := make([]byte, 1<<20)
	for range 16 {
		w.Write(zeros)
	}
	w.Flush()
	bomb := bytes.TrimSuffix(z.Bytes(), []byte("\x00\x00\xff\xff"))
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxPayload: 64 << 10, PerMessageDeflate: &PerMessageDeflate{}}, nil)
		o := r.ordinary()
		memory := heap()
		for range 20 {
			a := r.websocket()
			a.nc.SetDeadline(time.Now().Add(time.Minute))
			a.write(clientFrame(0xc2, bomb))
			a.wantCloseFrame(1009)
		}
		wantWithin(t, "bytes", memory, heap(), 4<<20)
		o.served(r)

		// The same in a body: it is not decompressed at all.
		sid := r.poll()
		r.do("POST", pollingPath+"&sid="+sid, string(bomb), "Content-Encoding", "deflate").want(200, "ok")
		o.served(r)
	})
}

// TestSlowReaders has many clients that do not read what everybody is sent.
func TestSlowReaders(t *testing.T) {
	const n, buffer = 60, 64 << 10 // the rig counts what is left of the buffers
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{SendBuffer: buffer}, nil)
		o := r.ordinary()
		r.session()
		sessions := make([]*Session, n)
		for i := range sessions {
			r.websocket().nc.(*net.TCPConn).SetReadBuffer(4096)
			sessions[i] = r.session()
		}
		goroutines, memory := runtime.NumGoroutine(), heap()
		message := bytes.Repeat([]byte("x"), 32<<10)
		full := 0
		for _, s := range sessions {
			for range 1000 { // more than the system's buffers take
				if err := s.SendMessage(message, false); err != nil {
					full++
					break
				}
				if got := s.Buffered(); got > buffer {
					t.Fatalf("%d bytes are buffered", got)
				}
			}
		}
		if full != n {
			t.Errorf("%d buffers are full, want %d", full, n)
		}
		o.served(r)
		more := 20
		if d.portable {
			more += n // one writes for each
		}
		eventually(t, "only a few goroutines are left", func() bool { return runtime.NumGoroutine() <= goroutines+more })
		wantWithin(t, "bytes", memory, heap(), n*(2*buffer+16<<10))
	})
}

// TestHalfClosed leaves hundreds of connections half closed, before and after the handshake.
func TestHalfClosed(t *testing.T) {
	const n = 100
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		o := r.ordinary()
		o.served(r)
		conns := r.srv.engine.Conns()
		sessions := r.srv.Sessions()
		goroutines := runtime.NumGoroutine()
		for i := range n {
			if i%2 == 0 {
				r.ask("GET / HT").(*net.TCPConn).CloseWrite()
				continue
			}
			r.websocket().nc.(*net.TCPConn).CloseWrite()
		}
		eventually(t, "all are gone", func() bool {
			return r.srv.Sessions() <= sessions && r.srv.engine.Conns() <= conns && runtime.NumGoroutine() <= goroutines+20
		})
		o.served(r)
	})
}

// TestGuessedIDs asks for sessions that do not exist. Nothing is kept of the attempts, and
// the real one is not disturbed.
func TestGuessedIDs(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		o := r.ordinary()
		sid := r.poll()
		if len(sid) != 20 || sid == r.poll() {
			t.Errorf("the id is %q", sid)
		}
		goroutines, memory := runtime.NumGoroutine(), heap()
		guesses := []string{
			sid[:19], sid + "x", strings.ToLower(sid) + "-", sid[1:] + sid[:1], strings.Repeat("x", 10_000),
			sid + "%00", "%00" + sid, "../" + sid, "__proto__", sid + "%0d%0a", "%20" + sid,
		}
		for range 20 {
			for _, guess := range guesses {
				r.get(guess).wantCode(CodeUnknownSession)
				r.post(guess, "4stolen").wantCode(CodeUnknownSession)
			}
			c := r.upgrade(wsPath+"&sid="+guesses[3], nil)
			if c.status != 400 {
				t.Errorf("answered with %d", c.status)
			}
			c.close()
		}
		if len(r.app.said) != 0 {
			t.Errorf("message %q", <-r.app.said)
		}
		r.wantAlive(sid)
		o.served(r)
		eventually(t, "only a few goroutines are left", func() bool { return runtime.NumGoroutine() <= goroutines+20 })
		wantWithin(t, "bytes", memory, heap(), 1<<20)
	})
}

// TestUpgradeFlood has WebSockets without end ask to take over one session.
func TestUpgradeFlood(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		o := r.ordinary()
		sid := r.poll()
		first := r.candidate(sid)
		goroutines := runtime.NumGoroutine()
		for range 100 {
			c := r.candidate(sid)
			c.nc.SetDeadline(time.Now().Add(patience))
			if op, _, err := c.frame(); err != nil || op != 0x8 {
				t.Fatalf("%v, %v, want a close frame", op, err)
			}
			c.close()
		}
		eventually(t, "they are gone", func() bool {
			return r.srv.engine.Conns() <= 2 && runtime.NumGoroutine() <= goroutines+20
		})
		first.send("2probe")
		first.want("3probe")
		first.close()
		eventually(t, "the first is gone, too", func() bool { return !r.srv.Session(sid).Upgrading() })
		r.wantAlive(sid)
		o.served(r)
	})
}

// TestBodyFlood sends bodies over the limit, declared and not.
func TestBodyFlood(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxPayload: 64 << 10}, nil)
		o := r.ordinary()
		memory := heap()
		for range 10 {
			sid := r.poll()
			r.post(sid, "4"+strings.Repeat("x", 64<<10)).want(413, "")
			r.post(sid, strings.Repeat("4\x1e", 32<<10)+"4").want(413, "")
			nc := r.ask("POST " + pollingPath + "&sid=" + sid + " HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\n\r\n4x")
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil || resp.StatusCode != 413 {
				t.Errorf("%v, %v", resp, err)
			}
			nc.Close()
			nc = r.ask("POST " + pollingPath + "&sid=" + sid + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			go func() {
				for range 100 {
					if _, err := io.WriteString(nc, "1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n"); err != nil {
						return
					}
				}
			}()
			resp, err = http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil || resp.StatusCode != 413 {
				t.Errorf("%v, %v", resp, err)
			}
			nc.Close()
		}
		wantWithin(t, "bytes", memory, heap(), 4<<20)
		o.served(r)
	})
}
