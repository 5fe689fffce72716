package eio

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The time-outs of the http.Server around us are made for requests that are answered at once. A poll that waits for
// longer is still answered, with a deadline for writing that begins with the answer.
func TestPollOutlivesServerTimeouts(t *testing.T) {
	t.Run("HTTP/1", func(t *testing.T) { testPollOutlives(t, 1) })
	t.Run("HTTP/2", func(t *testing.T) { testPollOutlives(t, 2) })
}

func testPollOutlives(t *testing.T, version int) {
	t.Parallel()
	const timeout, interval = 500 * time.Millisecond, time.Second
	a := &app{echo: true}
	a.init(t)
	srv, err := NewServer(Config{PingInterval: interval}, a)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var deadlines []bool // whether one was set, or lifted
	hs := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		srv.ServeHTTP(deadlineWriter{w, func(at time.Time) {
			mu.Lock()
			defer mu.Unlock()
			deadlines = append(deadlines, !at.IsZero())
		}}, r)
	}))
	hs.Config.ReadTimeout, hs.Config.WriteTimeout = timeout, timeout
	if version == 2 {
		hs.EnableHTTP2 = true
		hs.StartTLS()
	} else {
		hs.Start()
	}
	defer hs.Close()
	defer srv.Close()

	url := hs.URL + "/engine.io/?EIO=4&transport=polling"
	do := func(method, packet string) string {
		t.Helper()
		r, err := http.NewRequest(method, url, strings.NewReader(packet))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hs.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || resp.ProtoMajor != version {
			t.Fatalf("%s %s, %v: %s", resp.Proto, resp.Status, err, body)
		}
		return string(body)
	}
	sid, _, _ := strings.Cut(strings.TrimPrefix(do(http.MethodGet, ""), `0{"sid":"`), `"`)
	url += "&sid=" + sid
	for range 2 {
		if got := do(http.MethodGet, ""); got != "2" {
			t.Fatalf("got %q, want the PING", got)
		}
		do(http.MethodPost, "3")
	}

	want := []bool{false, true, false, true}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(deadlines, want) {
		t.Errorf("deadlines for writing were set: %t, want %t", deadlines, want)
	}
}

// deadlineWriter tells of deadlines for writing.
type deadlineWriter struct {
	http.ResponseWriter
	tell func(time.Time)
}

func (w deadlineWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w deadlineWriter) SetWriteDeadline(at time.Time) error {
	w.tell(at)
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(at)
}
