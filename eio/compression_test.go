package eio

import (
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/epio-go/epio/codec"
)

// decoded returns the body of an answer as it was meant.
func decoded(t *testing.T, p reply) string {
	t.Helper()
	var r io.Reader = strings.NewReader(p.body)
	var err error
	switch p.header.Get("Content-Encoding") {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "deflate":
		r, err = zlib.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHTTPCompression(t *testing.T) {
	tests := []struct {
		name     string
		accept   string
		packets  []string // with "!" in front: not to be compressed
		encoding string
		vary     bool
	}{
		{"gzip", "gzip, deflate, br", []string{prose(5000)}, "gzip", true},
		{"deflate", "deflate", []string{prose(5000)}, "deflate", true},
		{"not accepted", "", []string{prose(5000)}, "", true},
		{"other codings", "br", []string{prose(5000)}, "", true},
		{"below the threshold", "gzip", []string{prose(1022)}, "", false},
		{"at the threshold", "gzip", []string{prose(1023)}, "gzip", true},
		{"several packets", "gzip", []string{prose(600), prose(600)}, "gzip", true},
		{"marked", "gzip", []string{"!" + prose(5000)}, "", false},
		{"marked in part", "gzip", []string{"!" + prose(5000), "x"}, "gzip", true},
		{"marked in part, at the end", "gzip", []string{prose(5000), "!x"}, "gzip", true},
		{"large", "gzip", []string{prose(1 << 20)}, "gzip", true},
	}
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				sid := r.poll()
				s := r.session()
				var want []string
				for _, p := range tt.packets {
					text, plain := strings.CutPrefix(p, "!")
					f := codec.NewTextFrame(codec.Message, text)
					if plain {
						f.SetNoCompress()
					}
					if err := s.Send(f); err != nil {
						t.Fatal(err)
					}
					want = append(want, "4"+text)
				}
				var headers []string
				if tt.accept != "" {
					headers = []string{"Accept-Encoding", tt.accept}
				}
				p := r.do("GET", pollingPath+"&sid="+sid, "", headers...)
				if p.status != 200 || p.header.Get("Content-Encoding") != tt.encoding {
					t.Errorf("got %d %v %v", p.status, p.header, p.err)
				}
				if vary := p.header.Get("Vary") == "Accept-Encoding"; vary != tt.vary {
					t.Errorf("Vary is %q", p.header["Vary"])
				}
				if got := decoded(t, p); got != strings.Join(want, "\x1e") {
					t.Errorf("got %.100q", got)
				}
				if tt.encoding != "" && len(p.body) > 6000 {
					t.Errorf("%d bytes", len(p.body))
				}
			})
		}
	})
}

func TestHTTPCompressionOff(t *testing.T) {
	r := doors[0].open(t, Config{DisableHTTPCompression: true}, nil)
	sid := r.poll()
	r.session().SendMessage([]byte(prose(5000)), false)
	r.do("GET", pollingPath+"&sid="+sid, "", "Accept-Encoding", "gzip").want(200, "4"+prose(5000)).wantHeader("Vary", "")
}

// An application that has its own idea of the coding keeps it.
func TestHTTPCompressionHook(t *testing.T) {
	r := doors[0].open(t, Config{OnHeaders: func(h http.Header, _ *http.Request) { h.Set("Content-Encoding", "identity") }}, nil)
	sid := r.poll()
	r.session().SendMessage([]byte(prose(5000)), false)
	r.do("GET", pollingPath+"&sid="+sid, "", "Accept-Encoding", "gzip").want(200, "4"+prose(5000)).wantHeader("Content-Encoding", "identity")
}

// A middleware may compress whatever is written, so there we do not.
func TestHTTPCompressionWrapped(t *testing.T) {
	srv, err := NewServer(Config{}, silent{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	var wrap bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wrap {
			w = struct{ http.ResponseWriter }{w}
		}
		srv.ServeHTTP(w, r)
	}))
	defer web.Close()
	r := &rig{t: t, addr: web.Listener.Addr().String(), http: &http.Client{Transport: &http.Transport{DisableCompression: true}}}
	defer r.http.CloseIdleConnections()
	sid := r.poll()
	for encoding, wrapped := range map[string]bool{"": true, "gzip": false} {
		wrap = wrapped
		srv.Session(sid).SendMessage([]byte(prose(5000)), false)
		r.do("GET", pollingPath+"&sid="+sid, "", "Accept-Encoding", "gzip").wantHeader("Content-Encoding", encoding)
	}
}

// What does not become smaller is sent as it is.
func TestHTTPCompressionNoGain(t *testing.T) {
	r := doors[0].open(t, Config{HTTPCompressionThreshold: 1}, nil)
	sid := r.poll()
	r.session().SendMessage([]byte("x"), false)
	r.do("GET", pollingPath+"&sid="+sid, "", "Accept-Encoding", "gzip").want(200, "4x").wantHeader("Content-Encoding", "").wantHeader("Vary", "Accept-Encoding")
}

// The Vary of CORS stays.
func TestHTTPCompressionWithCORS(t *testing.T) {
	r := doors[0].open(t, Config{CORS: &CORSOptions{Origins: []string{"https://a.example", "https://b.example"}}}, nil)
	sid := r.poll()
	r.session().SendMessage([]byte(prose(5000)), false)
	p := r.do("GET", pollingPath+"&sid="+sid, "", "Accept-Encoding", "gzip", "Origin", "https://a.example")
	if got := strings.Join(p.header["Vary"], ", "); got != "Origin, Accept-Encoding" || decoded(t, p) != "4"+prose(5000) {
		t.Errorf("Vary is %q", got)
	}
}
