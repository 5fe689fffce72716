package eio

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The time-outs of the http.Server around us are made for requests that are answered at once. A poll that waits for
// longer is still answered.
func TestPollOutlivesServerTimeouts(t *testing.T) {
	const timeout, interval = 50 * time.Millisecond, 250 * time.Millisecond
	tests := map[string]func(*http.Server){
		"ReadTimeout":  func(hs *http.Server) { hs.ReadTimeout = timeout },
		"WriteTimeout": func(hs *http.Server) { hs.WriteTimeout = timeout },
		"both":         func(hs *http.Server) { hs.ReadTimeout, hs.WriteTimeout = timeout, timeout },
	}
	for name, set := range tests {
		t.Run(name, func(t *testing.T) {
			a := &app{echo: true}
			a.init(t)
			srv, err := NewServer(Config{PingInterval: interval}, a)
			if err != nil {
				t.Fatal(err)
			}
			hs := httptest.NewUnstartedServer(srv)
			set(hs.Config)
			hs.Start()
			defer hs.Close()
			defer srv.Close()

			url := hs.URL + "/engine.io/?EIO=4&transport=polling"
			get := func() string {
				t.Helper()
				resp, err := hs.Client().Get(url)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("%s, %v: %s", resp.Status, err, body)
				}
				return string(body)
			}
			post := func(packet string) {
				t.Helper()
				resp, err := hs.Client().Post(url, "text/plain", strings.NewReader(packet))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			sid, _, _ := strings.Cut(strings.TrimPrefix(get(), `0{"sid":"`), `"`)
			url += "&sid=" + sid
			for range 2 {
				if got := get(); got != "2" {
					t.Fatalf("got %q, want the PING", got)
				}
				post("3")
			}
		})
	}
}
