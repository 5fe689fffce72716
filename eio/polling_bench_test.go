package eio

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/epio-go/epio/codec"
)

// memoryWriter is an http.ResponseWriter that can be used again.
type memoryWriter struct {
	h      http.Header
	status int
	body   bytes.Buffer
}

func (w *memoryWriter) Header() http.Header         { return w.h }
func (w *memoryWriter) WriteHeader(status int)      { w.status = status }
func (w *memoryWriter) Write(p []byte) (int, error) { return w.body.Write(p) }

// do has the server answer r.
func (w *memoryWriter) do(srv *Server, r *http.Request) {
	clear(w.h)
	w.status = 0
	w.body.Reset()
	srv.ServeHTTP(w, r)
}

// opener is an application that remembers its last session.
type opener struct {
	counter
	last *Session
}

func (o *opener) Open(s *Session) { o.last = s }

// pollingRig is a server without connections: requests are handed to it.
type pollingRig struct {
	app opener
	srv *Server
	w   memoryWriter
}

func newPollingRig(b *testing.B) *pollingRig {
	r := &pollingRig{w: memoryWriter{h: make(http.Header)}}
	var err error
	if r.srv, err = NewServer(benchConfig(door{}), &r.app); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.srv.Close() })
	return r
}

func (r *pollingRig) open(b *testing.B, req *http.Request) {
	r.w.do(r.srv, req)
	if r.w.status != http.StatusOK || !bytes.HasPrefix(r.w.body.Bytes(), []byte(`0{"sid":"`)) {
		b.Fatalf("handshake answered with %d %q", r.w.status, r.w.body.Bytes())
	}
}

// BenchmarkPollingHandshake opens a session and ends it.
func BenchmarkPollingHandshake(b *testing.B) {
	r := newPollingRig(b)
	req := httptest.NewRequest(http.MethodGet, pollingPath, nil)
	b.ReportAllocs()
	for b.Loop() {
		r.open(b, req)
		r.app.last.Discard(ForcedClose)
	}
	if n := r.srv.Sessions(); n != 0 {
		b.Errorf("%d sessions are left", n)
	}
}

// BenchmarkPoll is a GET that finds packets waiting.
func BenchmarkPoll(b *testing.B) {
	for _, packets := range []int{1, 16, 1000} {
		b.Run(fmt.Sprintf("packets=%d/bytes=64", packets), func(b *testing.B) {
			r := newPollingRig(b)
			r.open(b, httptest.NewRequest(http.MethodGet, pollingPath, nil))
			req := httptest.NewRequest(http.MethodGet, pollingPath+"&sid="+r.app.last.ID(), nil)
			f := codec.NewTextFrame(codec.Message, strings.Repeat("x", 64))
			defer f.Release()
			b.ReportAllocs()
			for b.Loop() {
				f.Retain(packets)
				for range packets {
					if err := r.app.last.Send(f); err != nil {
						b.Fatal(err)
					}
				}
				r.w.do(r.srv, req)
				if want := packets*(1+64+1) - 1; r.w.status != http.StatusOK || r.w.body.Len() != want {
					b.Fatalf("%d with %d bytes, want %d", r.w.status, r.w.body.Len(), want)
				}
			}
		})
	}
}

// BenchmarkPost is a POST whose packets go to the application.
func BenchmarkPost(b *testing.B) {
	text, binary := "4"+strings.Repeat("x", 64), "b"+strings.Repeat("AAAA", 16)
	for _, bc := range []struct {
		name, packet string
		packets      int
	}{
		{"kind=text/packets=1", text, 1},
		{"kind=text/packets=16", text, 16},
		{"kind=text/packets=1000", text, 1000},
		{"kind=binary/packets=16", binary, 16},
		{"kind=invalidUTF8/packets=16", "4" + strings.Repeat("\xff", 64), 16},
	} {
		b.Run(bc.name, func(b *testing.B) {
			r := newPollingRig(b)
			r.open(b, httptest.NewRequest(http.MethodGet, pollingPath, nil))
			body := strings.Repeat(bc.packet+"\x1e", bc.packets-1) + bc.packet
			req := httptest.NewRequest(http.MethodPost, pollingPath+"&sid="+r.app.last.ID(), nil)
			req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
			req.ContentLength = int64(len(body))
			content := strings.NewReader("")
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r.app.messages = 0
				content.Reset(body)
				req.Body = io.NopCloser(content)
				r.w.do(r.srv, req)
				if r.w.status != http.StatusOK || r.w.body.String() != "ok" || r.app.messages != bc.packets {
					b.Fatalf("%d %q, %d messages, want %d", r.w.status, r.w.body.Bytes(), r.app.messages, bc.packets)
				}
			}
		})
	}
}
