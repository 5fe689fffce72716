package eio

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAttackUnreadAnswers leaves answers of the internal HTTP server unread: to polls, and files.
// The server gives the connections up.
func TestAttackUnreadAnswers(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		if !d.direct {
			return // the timeouts of that http.Server are its owner's
		}
		large := strings.Repeat("x", 1<<20)
		file := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, large) })
		r := d.open(t, Config{Files: map[string]http.Handler{"file.js": file}, DisableHTTPCompression: true}, nil)
		r.srv.SetFallback(file)
		sid := r.poll()
		s := r.session()
		if err := s.SendMessage([]byte(large), false); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{pollingPath + "&sid=" + sid, "/engine.io/file.js", "/other"} {
			nc := r.ask("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
			time.Sleep(10 * time.Minute) // fake time
			b, err := io.ReadAll(nc)
			if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 OK") || len(b) >= len(large) {
				t.Errorf("%s: %d bytes of the answer were kept: %.20q, %v", path, len(b), b, err)
			}
		}
		r.wantClose(PingTimeout)
	})
}

// TestAttackUnsentBodies announces bodies for other paths than the engine's and never sends them.
func TestAttackUnsentBodies(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		if !d.direct {
			return
		}
		for _, fallback := range []http.Handler{nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })} {
			r := d.open(t, Config{}, nil)
			want := 404
			if fallback != nil {
				r.srv.SetFallback(fallback)
				want = 204
			}
			for _, length := range []string{"Content-Length: 100", "Transfer-Encoding: chunked"} {
				nc := r.ask(fmt.Sprintf("POST /other HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n1", length))
				start := time.Now()
				br := bufio.NewReader(nc)
				resp, err := http.ReadResponse(br, nil)
				if err != nil || resp.StatusCode != want {
					t.Fatalf("%s: %v, %v", length, resp, err)
				}
				io.Copy(io.Discard, resp.Body)
				if _, err := br.ReadByte(); err != io.EOF {
					t.Errorf("%s: %v, want the end of the connection", length, err)
				}
				if took := time.Since(start); took > time.Minute {
					t.Errorf("%s: gave up after %v", length, took)
				}
			}
			r.stop()
		}
	})
}
