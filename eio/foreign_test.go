package eio

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// upgradeElsewhere asks for an upgrade on a path that is not the engine's and returns all that comes.
func (r *rig) upgradeElsewhere(path string) string {
	r.t.Helper()
	nc, err := r.dial()
	if err != nil {
		r.t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	b, err := io.ReadAll(nc)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

func TestDestroyUpgrade(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{DestroyUpgrade: true}, nil)
		returned := make(chan error, 1)
		r.srv.SetFallback(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			switch q.URL.Path {
			case "/never":
				<-q.Context().Done()
				_, err := io.WriteString(w, "too late")
				w.WriteHeader(http.StatusTeapot)
				if _, _, err := w.(http.Hijacker).Hijack(); err == nil {
					t.Error("hijacked what is gone")
				}
				returned <- err
			case "/slow":
				w.WriteHeader(http.StatusAccepted)
				time.Sleep(5 * time.Second)
				io.WriteString(w, "answered")
			case "/flushed":
				w.(http.Flusher).Flush()
				time.Sleep(5 * time.Second)
				io.WriteString(w, "answered")
			case "/hijacked":
				nc, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(5 * time.Second)
				io.WriteString(nc, "taken over")
				nc.Close()
			case "/returns": // net/http answers
			}
		}))

		start := time.Now()
		if got := r.upgradeElsewhere("/never"); got != "" || time.Since(start) != time.Second {
			t.Errorf("got %q after %v, want the end after 1 s", got, time.Since(start))
		}
		if err := wait(t, returned, "handler"); err == nil {
			t.Error("the handler could still write")
		}
		for path, want := range map[string]string{"/flushed": "answered", "/hijacked": "taken over", "/returns": "200 OK"} {
			if got := r.upgradeElsewhere(path); !strings.Contains(got, want) {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
		// The engine's own and ordinary requests have all the time they need.
		start = time.Now()
		r.do("GET", "/slow", "").want(http.StatusAccepted, "answered")
		if time.Since(start) != 5*time.Second {
			t.Errorf("an ordinary request took %v", time.Since(start))
		}
		c := r.websocket()
		time.Sleep(5 * time.Second)
		c.send("4x")
		c.want("4x")
		r.srv.SetFallback(nil)
		nc, err := r.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.WriteString(nc, "GET /nobody HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || resp.StatusCode != http.StatusNotFound {
			t.Errorf("without a fallback: %v %v", resp, err)
		}
	})
}

// Without the option a handler may take as long as it likes.
func TestDestroyUpgradeOff(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		r.srv.SetFallback(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			ctx, cancel := context.WithTimeout(q.Context(), time.Minute)
			defer cancel()
			<-ctx.Done()
			io.WriteString(w, "at last")
		}))
		if got := r.upgradeElsewhere("/x"); !strings.HasSuffix(got, "at last") {
			t.Errorf("got %q", got)
		}
	})
}
