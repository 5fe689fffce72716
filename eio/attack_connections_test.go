package eio

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/internal/memconn"
)

// TestAttackSlowHandshakes keeps a crowd in front of the door, with parts of a request. Those
// that the direct door has not judged yet cost no goroutine.
func TestAttackSlowHandshakes(t *testing.T) {
	eachAttacked(t, func(t *testing.T, d door) {
		if !d.direct {
			return // the timeouts of that http.Server are its owner's
		}
		n := many()
		r := d.attacked(t, Config{MaxHeaderBytes: 4 << 10})
		o := r.ordinary()
		part := "GET " + wsPath + " HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 3000)
		conns := make([]net.Conn, n)
		for i := range conns {
			conns[i] = r.ask(part[:1+i*len(part)/n])
		}
		within(t, stamina, "all are connected", func() bool { return r.srv.engine.Conns() >= n+ordinaryAll/2 })
		o.served()
		o.wantGoroutines(d.perConn(n))
		o.wantHeld(n, 4<<10+d.connSize()) // a head waits in a buffer of up to 4 KiB
		o.report("slow handshakes", n)
		if n := r.srv.Sessions(); n > o.sessions {
			t.Errorf("%d sessions", n)
		}
		reset(conns)
		o.wantAlone()
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
				r.wantGivenUp(conns, []byte("x"))
			})
		})
	}
}

// wantGivenUp sends a little on every connection, once a second, and checks that none
// is left after HandshakeTimeout.
func (r *rig) wantGivenUp(conns []net.Conn, drip []byte) {
	r.t.Helper()
	for range DefaultHandshakeTimeout/time.Second + 1 {
		time.Sleep(time.Second) // fake time
		for _, nc := range conns {
			nc.Write(drip)
		}
	}
	if n := r.srv.engine.Conns(); n != 0 {
		r.t.Errorf("%d connections left", n)
	}
	for _, nc := range conns {
		for b := make([]byte, 4096); ; {
			n, err := nc.Read(b)
			if err != nil {
				break
			}
			if strings.Contains(string(b[:n]), "HTTP/1.1") {
				r.t.Fatalf("a slow handshake was answered with %q", b[:n])
			}
		}
	}
}

// clientHello returns the first bytes of a TLS client.
func clientHello(t *testing.T) string {
	t.Helper()
	client, server := memconn.Pipe()
	defer client.Close()
	go tls.Client(client, &tls.Config{InsecureSkipVerify: true}).Handshake()
	b := make([]byte, 4096)
	n, err := server.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	return string(b[:n])
}

// TestAttackSlowTLS has a crowd begin TLS handshakes and not go on: with nothing, with parts of a
// ClientHello, with all of it and no answer to what the server says, for which that has signed.
func TestAttackSlowTLS(t *testing.T) {
	hello := clientHello(t)
	begun := func(i int) string {
		switch i % 3 {
		case 0:
			return ""
		case 1:
			return hello[:1+i%len(hello)]
		}
		return hello
	}
	d := door{name: "door=direct,tls", direct: true, tls: true}
	t.Run(d.name, func(t *testing.T) {
		n := many()
		r := d.attacked(t, Config{})
		o := r.ordinary()
		conns := make([]net.Conn, n)
		for i := range conns {
			conns[i] = r.tcp()
			r.write(conns[i], begun(i))
		}
		within(t, stamina, "all are connected", func() bool { return r.srv.engine.Conns() >= n+ordinaryAll/2 })
		o.served()
		o.wantGoroutines(n) // one for each, as documented
		o.wantHeld(n, 40<<10)
		o.report("slow TLS handshakes", n)
		reset(conns)
		o.wantAlone()
	})
	t.Run("timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := door{direct: true, tls: true, memory: true}.open(t, Config{}, nil)
			conns := make([]net.Conn, 99)
			for i := range conns {
				nc, err := r.below()
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				conns[i] = nc
				r.write(nc, begun(i))
			}
			r.wantGivenUp(conns, nil)
			// Nor is what comes within TLS later than that a handshake.
			nc := r.ask("GET ")
			r.wantGivenUp([]net.Conn{nc}, []byte("x"))
		})
	})
}

// TestAttackConnectionFlood opens many more sessions than there may be, from all sides at once.
func TestAttackConnectionFlood(t *testing.T) {
	const limit, workers = 50, 8
	eachAttacked(t, func(t *testing.T, d door) {
		each := many() / workers
		r := d.attacked(t, Config{MaxConns: limit + ordinaryAll})
		o := r.ordinary()
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
					nc.SetDeadline(time.Now().Add(stamina))
					request := strings.Replace(goodUpgrade, "@", "", 1)
					if w%2 == 0 {
						request = "GET " + pollingPath + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
					}
					fmt.Fprint(nc, request)
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
		wg.Wait()
		o.report("connection flood", workers*each)
		if taken != limit || refused != workers*each-limit || r.srv.Sessions() != limit+ordinaryAll {
			t.Errorf("%d taken, %d refused, %d sessions", taken, refused, r.srv.Sessions())
		}
		o.wantGoroutines(2 * limit) // the refused cost nothing any more
		within(t, stamina, "the connections of the refused are closed", func() bool { return r.srv.engine.Conns() <= limit+ordinaryAll })
	})
}

// TestAttackHalfClosed leaves a crowd half closed: before the handshake, between requests, on a WebSocket.
func TestAttackHalfClosed(t *testing.T) {
	eachAttacked(t, func(t *testing.T, d door) {
		n := many()
		r := d.attacked(t, Config{})
		o := r.ordinary()
		conns := make([]net.Conn, n)
		for i := range conns {
			switch i % 3 {
			case 0:
				conns[i] = r.ask("GET / HT")
			case 1:
				conns[i] = r.ask("GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
			default:
				conns[i] = r.bare(r.tcp(), strings.Replace(goodUpgrade, "@", "", 1))
			}
			closeWrite(conns[i])
		}
		o.served()
		o.report("half-closed connections", n)
		o.wantAlone()
		o.wantHeld(n, 2<<10)
		for i, nc := range conns {
			b := make([]byte, 4096)
			for {
				_, err := nc.Read(b)
				if ne, ok := err.(net.Error); ok && ne.Timeout() {
					t.Fatalf("connection %d was left open", i)
				}
				if err != nil {
					break
				}
			}
		}
	})
}

// TestAttackHalfOpen has a crowd go away without a word, as by a cable that is pulled: WebSockets,
// sessions between two polls, and sessions with a poll.
func TestAttackHalfOpen(t *testing.T) {
	begin := func(r *rig, i int) net.Conn {
		if i%3 == 0 {
			return r.bare(r.ask(""), strings.Replace(goodUpgrade, "@", "", 1))
		}
		sid := r.poll()
		if i%3 == 1 {
			return nil
		}
		return r.ask("GET " + pollingPath + "&sid=" + sid + " HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	eachAttacked(t, func(t *testing.T, d door) {
		n := many()
		r := d.attacked(t, Config{PingInterval: DefaultPingInterval})
		o := r.ordinary()
		var conns []net.Conn
		for i := range n {
			if nc := begin(r, i); nc != nil {
				conns = append(conns, nc)
			}
		}
		o.served()
		if got := r.srv.Sessions(); got != o.sessions+n {
			t.Errorf("%d sessions, want %d", got, o.sessions+n)
		}
		o.wantHeld(n, 32<<10) // a poll is a goroutine of net/http with its buffers
		o.report("half-open connections", n)
		reset(conns)
	})
	eachMemoryDoor(t, func(t *testing.T, d door) {
		const n = 99
		r := d.open(t, Config{}, nil)
		for i := range n {
			begin(r, i)
		}
		c := r.websocket()
		alive := r.srv.Session(c.open.SID)
		go func() {
			for {
				if op, p, err := c.frame(); err != nil {
					return
				} else if op == 1 && string(p) == "2" {
					c.send("3")
				}
			}
		}()
		time.Sleep(DefaultPingInterval + DefaultPingTimeout + time.Second) // fake time
		for range n {
			r.wantClose(PingTimeout)
		}
		if got := r.srv.Sessions(); got != 1 || alive.Closed() {
			t.Errorf("%d sessions, want that of the client that answers", got)
		}
		c.close()
	})
}

// TestAttackResets connects and resets, again and again, at every stage of a connection's life.
func TestAttackResets(t *testing.T) {
	eachAttacked(t, func(t *testing.T, d door) {
		n := 4 * many() // against them the stacks that the runtime caches count little
		r := d.attacked(t, Config{})
		o := r.ordinary()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range n / 4 {
					nc, err := net.Dial("tcp", r.addr)
					if err != nil {
						t.Error(err)
						return
					}
					upgrade := strings.Replace(goodUpgrade, "@", "", 1)
					switch i % 5 {
					case 0:
					case 1:
						fmt.Fprint(nc, upgrade[:20])
					case 2:
						fmt.Fprint(nc, upgrade)
					case 3:
						fmt.Fprint(nc, upgrade, "\x81\xfe")
						nc.Read(make([]byte, 1))
					case 4:
						fmt.Fprint(nc, "POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n1")
					}
					reset([]net.Conn{nc})
				}
			})
		}
		wg.Wait()
		o.report("connect and reset", n)
		o.wantAlone()
		o.wantHeld(n, 1<<10)
	})
}

// TestAttackLargeHeads has handshakes with as much in query, cookie and headers as is let in, and with more.
func TestAttackLargeHeads(t *testing.T) {
	head := func(path, line string, times int) string {
		return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + strings.Repeat(line, times) + "\r\n"
	}
	upgrade := strings.Replace(goodUpgrade, "@", "", 1)
	eachAttacked(t, func(t *testing.T, d door) {
		n := many() / 2
		r := d.attacked(t, Config{})
		o := r.ordinary()
		requests := []string{
			strings.Replace(upgrade, "EIO=4", "EIO=4&q="+strings.Repeat("%41", 5000), 1),
			strings.Replace(goodUpgrade, "@", "Cookie: "+strings.Repeat("a=b; ", 3000)+"\r\n", 1),
			strings.Replace(goodUpgrade, "@", strings.Repeat("a:\r\n", 3700), 1),
		}
		conns := make([]net.Conn, n)
		for i := range conns {
			conns[i] = r.bare(r.tcp(), requests[i%len(requests)])
		}
		o.served()
		o.wantHeld(n, 20<<10+d.connSize()) // the head, and a session
		o.wantGoroutines(d.perConn(n))
		if d.direct { // the limit of another http.Server is its owner's
			for _, request := range []string{
				head(pollingPath+"&q="+strings.Repeat("x", 20_000), "", 0),
				head(pollingPath, "Cookie: "+strings.Repeat("a=b; ", 4000)+"\r\n", 1),
				head(pollingPath, "a:\r\n", 10_000),
				head("/other", "a:\r\n", 10_000),
				strings.Replace(goodUpgrade, "@", strings.Repeat("a:\r\n", 10_000), 1),
			} {
				resp, err := http.ReadResponse(bufio.NewReader(r.ask(request)), nil)
				if err != nil || resp.StatusCode != 431 {
					t.Errorf("%.40q…: %v, %v", request, resp, err)
				}
			}
		}
		o.report("large heads", n)
		reset(conns)
		o.wantAlone()
	})
}
