package eio

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
)

func TestPollingHandshake(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		p := r.do("GET", pollingPath, "")
		sid := parseOpen(t, p.body).SID
		p.want(200, `0{"sid":"`+sid+`","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
		p.wantHeader("Content-Type", "text/plain; charset=UTF-8").wantHeader("Cache-Control", "no-store")
		p.wantHeader("Content-Length", fmt.Sprint(len(p.body))).wantHeader("X-XSS-Protection", "").wantHeader("Set-Cookie", "")
		if len(sid) != 20 {
			t.Errorf("sid %q has %d characters, want 20", sid, len(sid))
		}
		s := r.session()
		if s.ID() != sid || s.Transport() != Polling || s.Protocol() != 4 || r.srv.Sessions() != 1 {
			t.Errorf("session is %q on %v", s.ID(), s.Transport())
		}
		// An empty sid counts as none.
		parseOpen(t, r.do("GET", pollingPath+"&sid=", "").body)
		r.do("GET", pollingPath, "", "User-Agent", "Mozilla/5.0 (Windows NT 6.1; Trident/7.0)").wantHeader("X-XSS-Protection", "0")
		r.do("GET", pollingPath, "", "User-Agent", "Mozilla/4.0 (compatible;MSIE 8.0)").wantHeader("X-XSS-Protection", "0")
	})
}

func TestPollingEcho(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		p := r.post(sid, "4hello").want(200, "ok")
		p.wantHeader("Content-Type", "text/html").wantHeader("Content-Length", "2").wantHeader("Cache-Control", "no-store")
		p = r.get(sid).want(200, "4hello")
		p.wantHeader("Content-Type", "text/plain; charset=UTF-8").wantHeader("Content-Length", "6").wantHeader("Cache-Control", "no-store")

		r.post(sid, "4a\x1ebAQIDBA==\x1e4€").want(200, "ok")
		r.wantSaid("hello", "a", "0x01020304", "€")
		r.get(sid).want(200, "4a\x1ebAQIDBA==\x1e4€")

		// A parked GET gets the first packet as soon as there is one.
		parked := r.parked(sid)
		r.post(sid, "4late").want(200, "ok")
		wait(t, parked, "the parked GET").want(200, "4late")

		// If there are more by then, it gets those too, with separators between them only.
		parked = r.parked(sid)
		r.post(sid, "4one\x1ebAQ==\x1e4two").want(200, "ok")
		got := wait(t, parked, "the parked GET").body
		for range 2 {
			if !strings.HasSuffix(got, "4two") {
				got += "\x1e" + r.get(sid).body
			}
		}
		if got != "4one\x1ebAQ==\x1e4two" {
			t.Errorf("got %q", got)
		}

		// Invalid UTF-8 becomes U+FFFD.
		r.post(sid, "4a\xffb").want(200, "ok")
		r.wantSaid("late", "one", "0x01", "two", "a\ufffdb")
	})
}

func TestPollingOpenSends(t *testing.T) {
	// The first response holds only OPEN; what Open sends comes with the next poll.
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, &app{onOpen: func(s *Session) { s.SendMessage([]byte("hi"), false) }})
		p := r.do("GET", pollingPath, "")
		if strings.Contains(p.body, "\x1e") {
			t.Errorf("first response is %q", p.body)
		}
		r.get(parseOpen(t, p.body).SID).want(200, "4hi")
	})
}

func TestPollingDuplicateGet(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		first := r.parked(sid)
		r.get(sid).want(400, "")
		wait(t, first, "the first GET").want(200, "1")
		r.wantClose(TransportError, ErrPollOverlap)
		r.get(sid).wantCode(CodeUnknownSession)
	})
}

func TestPollingAbortedGet(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		ctx, cancel := context.WithCancel(context.Background())
		parked := r.parkedContext(ctx, sid)
		cancel()
		wait(t, parked, "the end of the GET")
		r.wantClose(TransportError, ErrPollAborted)
		r.get(sid).wantCode(CodeUnknownSession)
	})
}

// slowPost starts a POST whose body is not complete, and returns its connection.
func (r *rig) slowPost(sid string, length int, part string) io.ReadWriteCloser {
	r.t.Helper()
	nc, err := r.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	fmt.Fprintf(nc, "POST %s&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", pollingPath, sid, length, part)
	s := r.srv.Session(sid)
	eventually(r.t, "POST has begun", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.m.posting
	})
	return nc
}

func TestPollingDuplicatePost(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		first := r.slowPost(sid, 100, "4abc")
		r.post(sid, "4second").want(400, "")
		// The connection of the first one ends without a response.
		if b, err := io.ReadAll(first); len(b) != 0 {
			t.Errorf("first POST was answered with %q, %v", b, err)
		}
		r.wantClose(TransportError, ErrPostOverlap)
		r.get(sid).wantCode(CodeUnknownSession)
	})
}

func TestPollingAbortedPost(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		r.slowPost(sid, 100, "4abc").Close()
		r.wantClose(TransportError, ErrPostAborted)
		r.get(sid).wantCode(CodeUnknownSession)
	})
}

func TestPollingSlowPost(t *testing.T) {
	// A body may take as long as a peer may stay silent, however little of it comes in.
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		first := r.slowPost(sid, 100, "4abc")
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 44 { // one byte a second
				time.Sleep(time.Second)
				first.Write([]byte("x"))
			}
		})
		time.Sleep(24 * time.Second) // fake time: keep the heartbeat out of this
		s := r.srv.Session(sid)
		s.mu.Lock()
		s.m.beat = r.srv.now() + time.Hour
		s.mu.Unlock()
		resp, err := http.ReadResponse(bufio.NewReader(first), nil)
		if err != nil || resp.StatusCode != 400 {
			t.Errorf("slow POST was answered with %v, %v", resp, err)
		}
		r.wantClose(TransportError, ErrPostAborted)
		wg.Wait()
	})
}

func TestRefusedSlowPost(t *testing.T) {
	// A refused request cannot hold its connection by never sending its body.
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for _, request := range []string{"POST " + pollingPath + "&sid=unknown", "PUT " + pollingPath, "POST /engine.io/?transport=abc"} {
			nc, err := r.dial()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(nc, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc", request)
			start := time.Now()
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil || resp.StatusCode != 400 {
				t.Errorf("%s: got %v, %v", request, resp, err)
			}
			if e := time.Since(start); e > 46*time.Second {
				t.Errorf("%s: answered after %v", request, e)
			}
			nc.Close()
		}
	})
}

func TestPollingOctetStream(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		parked := r.parked(sid)
		r.do("POST", pollingPath+"&sid="+sid, "4abc", "Content-Type", "application/octet-stream").want(400, "")
		wait(t, parked, "the parked GET").want(200, "1")
		r.wantClose(TransportError, ErrInvalidContent)
		r.get(sid).wantCode(CodeUnknownSession)
	})
}

func TestPollingPostLimit(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{MaxPayload: 5000}, &app{})
		sid := r.poll()
		exact := "4" + strings.Repeat("x", 4999)
		r.post(sid, exact).want(200, "ok")
		r.wantSaid(exact[1:])
		r.post(sid, exact+"x").want(413, "")
		// The same without a Content-Length.
		req, _ := http.NewRequest("POST", "http://"+r.addr+pollingPath+"&sid="+sid, io.MultiReader(strings.NewReader(exact+"x")))
		resp, err := r.http.Do(req)
		if err != nil || resp.StatusCode != 413 {
			t.Fatalf("chunked: %v %v", resp, err)
		}
		resp.Body.Close()
		r.wantAlive(sid)
	})
}

func TestPollingBadPacket(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		for _, body := range []string{"abc", "", "4ok\x1e", "4ok\x1e9", "\x1e4ok", "7"} {
			r := d.open(t, Config{}, &app{})
			sid := r.poll()
			parked := r.parked(sid)
			r.post(sid, body).want(200, "ok")
			r.wantClose(ParseError, codec.ErrPacket)
			wait(t, parked, "the parked GET").want(200, "1")
			if strings.HasPrefix(body, "4ok") {
				r.wantSaid("ok") // packets before the bad one are delivered
			}
			r.get(sid).wantCode(CodeUnknownSession)
			r.stop()
		}
	})
}

func TestPollingClientClose(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, &app{})
		sid := r.poll()
		parked := r.parked(sid)
		r.post(sid, "4before\x1e1\x1e4after").want(200, "ok")
		wait(t, parked, "the parked GET").want(200, "6")
		r.wantSaid("before")
		r.wantClose(TransportClose)
		r.get(sid).wantCode(CodeUnknownSession)
		if len(r.app.said) != 0 {
			t.Error("a packet behind CLOSE was delivered")
		}
	})
}

// TestPollingCloseOvertakesPoll is the same with the two requests in the wrong
// order, as happens when they travel on different connections.
func TestPollingCloseOvertakesPoll(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		posted := make(chan reply, 1)
		go func() { posted <- r.post(sid, "1") }()
		synctest.Wait() // the CLOSE waits
		r.get(sid).want(200, "6")
		wait(t, posted, "the POST").want(200, "ok")
		r.wantClose(TransportClose)

		// Without a poll it does not wait for long.
		sid = r.poll()
		start := time.Now()
		r.post(sid, "1").want(200, "ok")
		if took := time.Since(start); took > overtaken {
			t.Errorf("CLOSE took %v", took)
		}
		r.wantClose(TransportClose)
		r.get(sid).wantCode(CodeUnknownSession)
	})
}

func TestPollingPing(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		for _, body := range []string{"2", "2probe"} {
			r := d.open(t, Config{}, nil)
			sid := r.poll()
			r.post(sid, body).want(200, "ok")
			r.wantClose(TransportError, ErrHeartbeat)
			r.stop()
		}
	})
}

func TestPollingOtherMethods(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		for _, m := range []string{"PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"} {
			r.do(m, pollingPath+"&sid="+sid, "").want(500, "")
		}
		r.wantAlive(sid)
	})
}

func TestPollingServerClose(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)

		// With a parked GET.
		sid := r.poll()
		s := r.session()
		parked := r.parked(sid)
		s.Close("server shutting down")
		wait(t, parked, "the parked GET").want(200, "1")
		r.wantClose("server shutting down")
		r.get(sid).wantCode(CodeUnknownSession)

		// Without: remembered.
		sid = r.poll()
		s = r.session()
		s.Close(ForcedClose)
		r.wantClose(ForcedClose)
		if err := s.SendMessage([]byte("x"), false); err != ErrClosed {
			t.Errorf("Send after Close: %v", err)
		}
		r.post(sid, "4ignored").want(200, "ok")
		r.get(sid).want(200, "6\x1e1")
		r.get(sid).wantCode(CodeUnknownSession)

		// With packets still to be fetched.
		sid = r.poll()
		s = r.session()
		s.SendMessage([]byte("last words"), false)
		s.Close(ForcedClose)
		r.wantClose(ForcedClose)
		r.get(sid).want(200, "4last words")
		r.get(sid).want(200, "6\x1e1")
		r.get(sid).wantCode(CodeUnknownSession)

		// With packets that a parked GET is about to take.
		sid = r.poll()
		s = r.session()
		parked = r.parked(sid)
		s.SendMessage([]byte("last words"), false)
		s.Close(ForcedClose)
		r.wantClose(ForcedClose)
		wait(t, parked, "the parked GET").want(200, "4last words")
		r.get(sid).want(200, "6\x1e1")

		// Discarded.
		sid = r.poll()
		s = r.session()
		s.SendMessage([]byte("never"), false)
		s.Discard(ForcedClose)
		r.wantClose(ForcedClose)
		r.get(sid).wantCode(CodeUnknownSession)
		if len(r.app.said) != 0 {
			t.Errorf("message delivered after Close: %q", <-r.app.said)
		}
	})
}

func TestPollingSendBuffer(t *testing.T) {
	r := doors[0].open(t, Config{SendBuffer: 2000}, nil)
	sid := r.poll()
	s := r.session()
	kilo := []byte(strings.Repeat("x", 990))
	for range 2 {
		if err := s.SendMessage(kilo, false); err != nil {
			t.Fatal(err)
		}
	}
	n := s.Buffered()
	if err := s.SendMessage(kilo, false); err != ErrBufferFull {
		t.Errorf("third kilobyte: %v", err)
	}
	if s.Buffered() != n || n < 1980 {
		t.Errorf("%d bytes buffered, %d before", s.Buffered(), n)
	}
	r.get(sid).want(200, "4"+string(kilo)+"\x1e4"+string(kilo))
	if s.Buffered() != 0 {
		t.Errorf("%d bytes buffered after the poll", s.Buffered())
	}
}

func TestPollingVolatile(t *testing.T) {
	r := doors[0].open(t, Config{}, nil)
	sid := r.poll()
	s := r.session()
	packet := func(text string) bool { return s.SendVolatile(codec.NewTextFrame(codec.Message, text)) }
	if packet("nobody waits") {
		t.Error("taken without a parked GET")
	}
	parked := r.parked(sid)
	s.mu.Lock() // so that the GET cannot collect in between
	first, second := s.bufferVolatileLocked(codec.NewTextFrame(codec.Message, "one")), s.bufferVolatileLocked(codec.NewTextFrame(codec.Message, "two"))
	s.mu.Unlock()
	if !first || second {
		t.Errorf("first taken: %v, second: %v; want only the first", first, second)
	}
	wait(t, parked, "the parked GET").want(200, "4one")
	s.SendMessage([]byte("regular"), false)
	if packet("behind a regular one") {
		t.Error("taken behind a regular packet")
	}
	r.get(sid).want(200, "4regular")
}

func TestPollingPause(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		a := &app{}
		a.onMessage = func(s *Session, data []byte, _ bool) {
			a.said <- string(data)
			if string(data) == "stop" {
				s.Pause()
			}
		}
		r := d.open(t, Config{}, a)
		sid := r.poll()
		s := r.session()
		answer := make(chan reply, 1)
		go func() { answer <- r.post(sid, "4stop\x1e4go") }()
		r.wantSaid("stop")
		select {
		case <-answer:
			t.Fatal("POST answered while paused")
		case m := <-a.said:
			t.Fatalf("message %q while paused", m)
		case <-time.After(20 * time.Millisecond): // nothing must happen
		}
		s.Resume()
		r.wantSaid("go")
		wait(t, answer, "the answer").want(200, "ok")

		// The end of a session also ends the wait.
		go func() { answer <- r.post(sid, "4stop\x1e4never") }()
		r.wantSaid("stop")
		s.Discard(ForcedClose)
		wait(t, answer, "the answer").want(200, "ok")
		r.wantClose(ForcedClose)
		if len(a.said) != 0 {
			t.Error("message delivered after Discard")
		}
	})
}
