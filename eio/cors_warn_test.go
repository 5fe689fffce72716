package eio

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// journal keeps what is logged.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

// take returns the lines since the last call.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(j.buf.String()), "\n")
	j.buf.Reset()
	if lines[0] == "" {
		return nil
	}
	return lines
}

func TestCORSMistakesAreLogged(t *testing.T) {
	const problem = `msg="eio: browsers refuse this cross-origin request" problem="`
	for _, tt := range []struct {
		name    string
		cors    *CORSOptions
		headers []string
		want    string // part of the line; empty: none
	}{
		{"no CORS", nil, []string{"Origin", "https://a.example"}, problem + `Config.CORS is not set" origin=https://a.example host=memory remote=`},
		{"no CORS, opaque origin", nil, []string{"Origin", "null"}, problem + "Config.CORS is not set"},
		{"same origin", nil, []string{"Origin", "https://memory"}, ""},
		{"no origin", nil, nil, ""},
		{"any", &CORSOptions{}, []string{"Origin", "https://a.example"}, ""},
		{"listed", &CORSOptions{Origins: []string{"https://a.example"}}, []string{"Origin", "https://a.example"}, ""},
		{"not listed", &CORSOptions{Origins: []string{"https://a.example"}}, []string{"Origin", "http://a.example"}, problem + "the origin is not among CORS.Origins"},
		{"cookies", &CORSOptions{Origins: []string{"https://a.example"}}, []string{"Origin", "https://a.example", "Cookie", "a=b"}, problem + "the request has cookies, CORS.Credentials is not set"},
		{"cookies allowed", &CORSOptions{Origins: []string{"https://a.example"}, Credentials: true}, []string{"Origin", "https://a.example", "Cookie", "a=b"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachMemoryDoor(t, func(t *testing.T, d door) {
				var log journal
				r := d.open(t, Config{CORS: tt.cors, Logger: slog.New(slog.NewTextHandler(&log, nil))}, nil)
				r.do("GET", pollingPath, "", tt.headers...)
				lines := log.take()
				if tt.want == "" && len(lines) > 0 || tt.want != "" && (len(lines) != 1 || !strings.Contains(lines[0], tt.want) || !strings.Contains(lines[0], "level=WARN")) {
					t.Errorf("logged %q, want %q", lines, tt.want)
				}
				// A WebSocket works without CORS.
				r.upgrade(wsPath, nil, tt.headers...).want101()
				if lines := log.take(); len(lines) > 0 {
					t.Errorf("logged for a WebSocket: %q", lines)
				}
			})
		})
	}
}

// Strangers cannot fill the log.
func TestCORSWarningsAreLimited(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		var log journal
		r := d.open(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, nil)
		shout := func(n int) {
			for range n {
				r.do("GET", pollingPath+"&sid=x", "", "Origin", "https://"+strings.Repeat("a", 5000))
			}
		}
		shout(50)
		lines := log.take()
		if len(lines) != 5 || len(lines[0]) > 600 {
			t.Errorf("%d lines, the first of %d bytes", len(lines), len(lines[0]))
		}
		time.Sleep(time.Minute)
		shout(50)
		if lines := log.take(); len(lines) != 1 {
			t.Errorf("%d lines a minute later", len(lines))
		}
	})
}
