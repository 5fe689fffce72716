package eio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestAttackGuessedIDs asks for sessions that do not exist. Nothing is kept of the attempts, and the real one
// is not disturbed.
func TestAttackGuessedIDs(t *testing.T) {
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{})
		o := r.ordinary()
		sid := r.poll()
		if len(sid) != 20 || sid == r.poll() {
			t.Errorf("the id is %q", sid)
		}
		guesses := []string{
			sid[:19], sid + "x", strings.ToLower(sid) + "-", sid[1:] + sid[:1], strings.Repeat("x", 10_000),
			sid + "%00", "%00" + sid, "../" + sid, "__proto__", sid + "%0d%0a", "%20" + sid,
		}
		const times = 20
		for range times {
			for _, guess := range guesses {
				r.get(guess).wantCode(CodeUnknownSession)
				r.post(guess, "4stolen").wantCode(CodeUnknownSession)
				c := r.upgrade(wsPath+"&sid="+guess, nil)
				if c.status != 400 {
					t.Errorf("answered with %d", c.status)
				}
				c.close()
			}
		}
		if len(r.app.said) != 0 {
			t.Errorf("message %q", <-r.app.said)
		}
		if got := r.srv.Sessions(); got != o.sessions+2 {
			t.Errorf("%d sessions, want %d", got, o.sessions+2)
		}
		o.report("guessed ids", 3*times*len(guesses))
		r.wantAlive(sid)
		o.wantGoroutines(0)
		o.wantHeld(times*len(guesses), 2<<10)
	})
}

// TestAttackBodies sends bodies over the limit, declared and not.
func TestAttackBodies(t *testing.T) {
	const times = 10
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{MaxPayload: 64 << 10})
		o := r.ordinary()
		for range times {
			sid := r.poll()
			r.post(sid, "4"+strings.Repeat("x", 64<<10)).want(413, "")
			r.post(sid, strings.Repeat("4\x1e", 32<<10)+"4").want(413, "")
			nc := r.ask("POST " + pollingPath + "&sid=" + sid + " HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775807\r\n\r\n4x")
			nc.SetDeadline(time.Now().Add(stamina))
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil || resp.StatusCode != 413 {
				t.Errorf("%v, %v", resp, err)
			}
			nc.Close()
			nc = r.ask("POST " + pollingPath + "&sid=" + sid + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			nc.SetDeadline(time.Now().Add(stamina))
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
		o.wantHeld(times, 64<<10)
		o.report("bodies over the limit", 4*times)
	})
}

// bodyOf begins a POST whose body comes later.
func (r *rig) bodyOf(sid, headers string) net.Conn {
	return r.ask("POST " + pollingPath + "&sid=" + sid + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n")
}

// TestAttackDrippingBodies has a crowd announce large bodies and send them byte by byte. Memory follows
// what has arrived.
func TestAttackDrippingBodies(t *testing.T) {
	headers := []string{
		"Content-Length: 1000000\r\n",
		"Content-Length: 1000000\r\nExpect: 100-continue\r\n",
		"Transfer-Encoding: chunked\r\n",
	}
	eachAttacked(t, func(t *testing.T, d door) {
		n := many()
		r := d.attacked(t, Config{})
		o := r.ordinary()
		conns := make([]net.Conn, n)
		for i := range conns {
			conns[i] = r.bodyOf(r.poll(), headers[i%len(headers)])
		}
		for range 5 {
			for i, nc := range conns {
				drip := "4"
				if i%len(headers) == 2 {
					drip = "1\r\n4\r\n"
				}
				r.write(nc, drip)
			}
			o.rounds(5)
		}
		o.wantHeld(n, 32<<10) // net/http's goroutine, its buffers, and ours
		o.wantGoroutines(2 * n)
		o.report("bodies byte by byte", n)
		for _, s := range r.attackers() {
			s.Discard(ForcedClose)
		}
		o.wantAlone()
	})
}

// TestAttackDroppedPolls parks the polls of a crowd and drops all of them at once; then polls are opened and dropped
// one after the other.
func TestAttackDroppedPolls(t *testing.T) {
	eachAttacked(t, func(t *testing.T, d door) {
		n := many()
		r := d.attacked(t, Config{})
		o := r.ordinary()
		poll := func() net.Conn {
			return r.ask("GET " + pollingPath + "&sid=" + r.poll() + " HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		conns := make([]net.Conn, n)
		for i := range conns {
			conns[i] = poll()
		}
		within(t, stamina, "all are parked", func() bool {
			for _, s := range r.attackers() {
				s.mu.Lock()
				parked := s.m.parked
				s.mu.Unlock()
				if !parked {
					return false
				}
			}
			return true
		})
		o.wantHeld(n, 32<<10)
		reset(conns)
		for range n {
			r.wantClose(TransportError)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range n / 4 {
					poll().Close()
				}
			})
		}
		wg.Wait()
		o.report("polls dropped", 2*n)
		for range 2 * (n / 4 * 4) {
			if len(r.app.closed) > 0 {
				r.wantClose(TransportError)
			}
		}
		for _, s := range r.attackers() {
			s.Discard(ForcedClose) // those whose poll was dropped before it was seen
		}
		o.wantAlone()
	})
}

// TestAttackPipelining sends requests without waiting for the answers to those before. They are answered one after
// the other, in order; and a client that does not read them is not listened to any more.
func TestAttackPipelining(t *testing.T) {
	const n, times = 8, 500
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{MaxConns: ordinaryAll + n})
		o := r.ordinary()
		all := make([]string, n)
		for i := range all {
			all[i] = r.poll()
		}
		each(all, func(sid string) {
			nc, err := r.dial()
			if err != nil {
				t.Error(err)
				return
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(stamina))
			go func() {
				for i := range times {
					body := fmt.Sprintf("4%d", i)
					fmt.Fprintf(nc, "POST %s&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", pollingPath, sid, len(body), body)
					fmt.Fprintf(nc, "GET %s&sid=%s HTTP/1.1\r\nHost: x\r\n\r\n", pollingPath, sid)
					fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", pollingPath) // one session too many
				}
			}()
			br := bufio.NewReader(nc)
			for i := range 3 * times {
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Errorf("answer %d: %v", i, err)
					return
				}
				b, _ := io.ReadAll(resp.Body)
				want := []string{"200 ok", fmt.Sprintf("200 4%d", i/3), `503 {"code":6,"message":"Too many sessions"}`}[i%3]
				if got := fmt.Sprintf("%d %s", resp.StatusCode, b); got != want {
					t.Errorf("answer %d is %q, want %q", i, got, want)
					return
				}
			}
		})
		o.report("pipelined requests", n)

		// Nobody reads the answers.
		var conns []net.Conn
		request := strings.Repeat("GET "+pollingPath+" HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
		for range n {
			nc := r.narrow()
			conns = append(conns, nc)
			nc.SetDeadline(time.Now().Add(stamina))
			go func() {
				for range 200 {
					if _, err := io.WriteString(nc, request); err != nil {
						return
					}
				}
			}()
		}
		o.wantHeld(n, 256<<10) // most of it on its way: each request is some KB of garbage
		o.report("pipelined requests, answers not read", n)
		reset(conns)
	})
}

// TestAttackUnreadPolls has a crowd ask for large answers and not read them: one for each session.
func TestAttackUnreadPolls(t *testing.T) {
	const size = 128 << 10
	message := []byte(strings.Repeat("0123456789abcdef", size/16))
	eachAttacked(t, func(t *testing.T, d door) {
		n := many() / 4
		r := d.attacked(t, Config{SendBuffer: 2 * size, DisableHTTPCompression: true})
		o := r.ordinary()
		var conns []net.Conn
		poll := func(sid string) {
			nc := r.narrow()
			r.write(nc, "GET "+pollingPath+"&sid="+sid+" HTTP/1.1\r\nHost: x\r\n\r\n")
			conns = append(conns, nc)
		}
		for range n {
			sid := r.poll()
			if err := r.srv.Session(sid).SendMessage(message, false); err != nil {
				t.Fatal(err)
			}
			poll(sid)
		}
		o.served()
		o.wantHeld(n, 2*size+80<<10) // the frame, in a buffer of the next size, and net/http's
		o.wantGoroutines(2 * n)
		o.report("answers to polls not read", n)
		reset(conns)
	})
}

// TestAttackUnreadPollsOfOne has one session poll on many connections, and read nothing: what is being written to all of them
// together is bounded, too.
func TestAttackUnreadPollsOfOne(t *testing.T) {
	const buffer, size = 1 << 20, 900 << 10
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{SendBuffer: buffer, DisableHTTPCompression: true})
		o := r.ordinary()
		sid := r.poll()
		s := r.srv.Session(sid)
		message := make([]byte, size)
		var conns []net.Conn
		for len(conns) < 10 {
			if err := s.SendMessage(message, false); errors.Is(err, ErrBufferFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			nc := r.narrow()
			conns = append(conns, nc)
			r.write(nc, "GET "+pollingPath+"&sid="+sid+" HTTP/1.1\r\nHost: x\r\n\r\n")
			eventually(t, "the poll takes it", func() bool { return s.Buffered() == 0 })
		}
		if len(conns) != 2 {
			t.Errorf("%d answers of %d bytes are being written, the send buffer is %d", len(conns), size, buffer)
		}
		o.wantHeld(1, 2*buffer+1<<20) // of one attacker: what else there is in the process counts, too
		o.report("answers to polls of one session not read", 1)
		// Who reads gets everything, and then more.
		all, err := io.ReadAll(io.LimitReader(conns[0], size))
		if err != nil || len(all) != size {
			t.Errorf("%d bytes, %v", len(all), err)
		}
		eventually(t, "there is room again", func() bool { return s.SendMessage([]byte("x"), false) == nil })
		reset(conns)
	})
}

// TestAttackTinyAnswers posts tiny messages without end to an application that answers each, and never polls.
func TestAttackTinyAnswers(t *testing.T) {
	const n, buffer = 8, 64 << 10
	flood := strings.Repeat("4\x1e", 20_000) + "4"
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{SendBuffer: buffer})
		o := r.ordinary()
		all := make([]string, n)
		for i := range all {
			all[i] = r.poll()
		}
		each(all, func(sid string) {
			for range 3 {
				r.post(sid, flood).want(200, "ok")
			}
		})
		for _, sid := range all {
			if got := r.srv.Session(sid).Buffered(); got > buffer || got < buffer-3 {
				t.Errorf("%d bytes are buffered", got)
			}
		}
		o.wantHeld(n, 3*buffer) // the bytes, and a slice that has grown
		o.report("tiny answers that nobody fetches", n)
		r.get(all[0])
	})
}
