package eio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/internal/memconn"
	"github.com/epio-go/epio/pool"
)

// sessionRun is one session of a whole server in fake time, and a client that keeps to no
// protocol. Messages are numbered in both directions.
type sessionRun struct {
	t   *testing.T
	srv *Server
	ln  *memconn.Listener
	sid string

	mu     sync.Mutex
	s      *Session
	opens  int
	closes int
	heard  []int // by the application
	got    []int // by the client, in the order of the answers

	sent, said int // numbers given away by the application and by the client

	gets    []context.CancelFunc
	posts   []net.Conn
	socks   []net.Conn
	clients sync.WaitGroup
}

// Open, Message and Close are the application.
func (r *sessionRun) Open(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.s = s
	r.opens++
}

func (r *sessionRun) Message(_ *Session, data []byte, _ bool) {
	n, err := strconv.Atoi(string(data))
	if err != nil {
		return // garbage that was a message
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closes > 0 {
		r.t.Error("a message after the end")
	}
	r.heard = append(r.heard, n)
}

func (r *sessionRun) Close(_ *Session, reason Reason, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closes++
	if r.opens != 1 || r.closes != 1 || reason == "" {
		r.t.Errorf("Close %d after %d Open: %q", r.closes, r.opens, reason)
	}
}

func (r *sessionRun) dial() net.Conn {
	nc, err := r.ln.Dial()
	if err != nil {
		r.t.Fatal(err)
	}
	return nc
}

// receive notes a packet that came from the server.
func (r *sessionRun) receive(packet string) {
	if n, err := strconv.Atoi(strings.TrimPrefix(packet, "4")); err == nil && packet[0] == '4' {
		r.mu.Lock()
		r.got = append(r.got, n)
		r.mu.Unlock()
	}
}

// request sends an HTTP request with a complete body; its answer comes when it comes.
func (r *sessionRun) request(method, body string) {
	nc := r.dial()
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(ctx, func() { nc.Close() })
	r.gets = append(r.gets, cancel)
	fmt.Fprintf(nc, "%s %s&sid=%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, pollingPath, r.sid, len(body), body)
	r.clients.Go(func() { r.answer(nc) })
}

// answer reads the response to a poll, which may never come.
func (r *sessionRun) answer(nc net.Conn) {
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode == 200 {
		for packet := range strings.SplitSeq(string(body), "\x1e") {
			if packet != "" {
				r.receive(packet)
			}
		}
	}
}

// candidate opens a WebSocket for the session.
func (r *sessionRun) candidate() {
	nc := r.dial()
	r.socks = append(r.socks, nc)
	fmt.Fprintf(nc, "GET %s&sid=%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
		"Sec-WebSocket-Version: 13\r\n\r\n", wsPath, r.sid)
	r.clients.Go(func() {
		br := bufio.NewReader(nc)
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != 101 {
			return
		}
		for {
			h, payload, err := readServerFrame(br)
			if err != nil {
				return
			}
			if h.OpCode == ws.OpText && len(payload) > 0 {
				r.receive(string(payload))
			}
		}
	})
}

// write sends a frame on the newest WebSocket.
func (r *sessionRun) write(frame []byte) {
	if len(r.socks) > 0 {
		r.socks[len(r.socks)-1].Write(frame)
	}
}

func (r *sessionRun) event(kind, arg byte) {
	switch kind % 20 {
	case 0, 1:
		if r.s.SendMessage([]byte(strconv.Itoa(r.sent)), false) == nil {
			r.sent++
		}
	case 2, 3:
		r.request("GET", "")
	case 4: // the client gives up its requests
		for _, cancel := range r.gets {
			cancel()
		}
		r.gets = nil
	case 5: // a POST of several messages
		var body []byte
		for range 1 + arg%3 {
			f := codec.NewTextFrame(codec.Message, strconv.Itoa(r.said))
			body = codec.AppendPayload(body, f.Bytes())
			f.Release()
			r.said++
		}
		r.request("POST", string(body))
	case 6:
		r.request("POST", []string{"1", "2", "3", "6", "", "x", "4\x1e1"}[arg%7])
	case 7: // a slow POST
		nc := r.dial()
		r.posts = append(r.posts, nc)
		fmt.Fprintf(nc, "POST %s&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n4%06d", pollingPath, r.sid, r.said)
		r.said++
		r.clients.Go(func() { r.answer(nc) })
	case 8: // its end
		if len(r.posts) > 0 {
			r.posts[0].Write([]byte{'\x1e'})
			r.posts = r.posts[1:]
		}
	case 9: // or none
		if len(r.posts) > 0 {
			r.posts[0].Close()
			r.posts = r.posts[1:]
		}
	case 10:
		r.candidate()
	case 11:
		r.write(textFrame("2probe"))
	case 12:
		r.write(textFrame("5"))
	case 13:
		r.write(textFrame("4" + strconv.Itoa(r.said)))
		r.said++
	case 14:
		r.write([][]byte{textFrame("3"), clientFrame(0x88, nil), clientFrame(0x89, nil), textFrame("x"), {0xff, 0xff}, {0x81}, textFrame("1")}[arg%7])
	case 15:
		if len(r.socks) > 0 {
			r.socks[len(r.socks)-1].Close()
		}
	case 16:
		if arg%2 == 0 {
			r.s.Pause()
		} else {
			r.s.Resume()
		}
	case 17:
		r.s.Close(ForcedClose)
	case 18:
		r.s.Discard(ForcedClose)
	case 19:
		time.Sleep(time.Duration(arg) * 50 * time.Millisecond)
	}
	// Sometimes the next event comes before this one has had all its effects. Not so after
	// messages: those of two requests that run at once have no order.
	if k := kind % 20; arg < 200 || k == 5 || k == 7 || k == 8 || k == 13 {
		synctest.Wait()
	}
}

// check compares the numbers.
func (r *sessionRun) check() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, n := range r.heard {
		if i > 0 && n <= r.heard[i-1] {
			r.t.Errorf("the application heard %v", r.heard)
		}
	}
	sorted := slices.Sorted(slices.Values(r.got))
	for i, n := range sorted {
		if i > 0 && n == sorted[i-1] || n >= r.sent {
			r.t.Errorf("of %d messages the client got %v", r.sent, r.got)
		}
	}
}

func (r *sessionRun) run(events []byte) {
	t := r.t
	r.ln = memconn.Listen()
	srv, err := NewServer(Config{Portable: true, PingInterval: 5 * time.Second, PingTimeout: 4 * time.Second, UpgradeTimeout: 2 * time.Second}, r)
	if err != nil {
		t.Fatal(err)
	}
	r.srv = srv
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(r.ln) })
	r.handshake()
	for ; len(events) >= 2 && !t.Failed(); events = events[2:] {
		r.event(events[0], events[1])
		r.check()
	}
	// Silence: the client goes on listening and says nothing any more. Slow requests are
	// the business of net/http, whose deadlines do not work on this network.
	r.s.Resume()
	for _, nc := range r.posts {
		nc.Close()
	}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	r.check()
	r.mu.Lock()
	opens, closes := r.opens, r.closes
	r.mu.Unlock()
	if n := srv.Sessions(); n != 0 || opens != 1 || closes != 1 {
		t.Errorf("%d sessions are left, %d opened, %d closed", n, opens, closes)
	}
	if n := srv.engine.Conns(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	srv.Close()
	for _, cancel := range r.gets {
		cancel()
	}
	for _, nc := range r.socks {
		nc.Close()
	}
	serving.Wait()
	r.clients.Wait()
}

func (r *sessionRun) handshake() {
	nc := r.dial()
	defer nc.Close()
	fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", pollingPath)
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	r.sid = parseOpen(r.t, string(body)).SID
	synctest.Wait()
}

// FuzzSession does to a whole server, in fake time, what its input lists, two bytes for each
// event. Whatever a client and the application do, and whenever: messages arrive once, and
// those of the client in order; and when the client falls silent, the session ends, the
// application is told once, and no connection, goroutine or buffer is left.
func FuzzSession(f *testing.F) {
	upgrade := []byte{10, 0, 11, 0, 12, 0}
	for _, events := range [][]byte{
		{},
		{2, 0, 0, 0, 0, 0, 2, 0, 5, 2, 19, 120, 6, 2},
		slices.Concat([]byte{2, 0, 0, 0, 0, 0}, upgrade, []byte{0, 0, 13, 0, 19, 110, 14, 0, 15, 0}),
		slices.Concat([]byte{7, 0}, upgrade, []byte{13, 0, 8, 0, 13, 0}),
		slices.Concat([]byte{2, 0}, upgrade, []byte{4, 0, 13, 0}),
		{10, 0, 11, 0, 2, 0, 19, 3, 2, 0, 19, 50},
		{16, 0, 5, 0, 5, 0, 16, 1, 5, 0},
		slices.Concat([]byte{16, 0, 7, 0}, upgrade, []byte{13, 0, 8, 0, 16, 1}),
		{2, 0, 2, 0},
		{7, 0, 7, 0, 8, 0},
		{17, 0, 2, 0},
		{0, 0, 17, 0, 2, 0, 2, 0},
		{2, 0, 18, 0},
		{10, 0, 10, 0, 11, 0, 14, 3, 10, 0, 14, 4, 10, 0, 15, 0},
	} {
		f.Add(events)
	}
	f.Fuzz(func(t *testing.T, events []byte) {
		if len(events) > 200 {
			return
		}
		live := pool.Live()
		synctest.Test(t, func(t *testing.T) { (&sessionRun{t: t}).run(events) })
		if n := pool.Live() - live; n != 0 {
			t.Errorf("%d buffers are left", n)
		}
	})
}
