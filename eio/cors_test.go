package eio

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// corsHeaders returns the headers that CORS sets, in one line.
func corsHeaders(h http.Header) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
			out = append(out, strings.TrimPrefix(name, "Access-Control-")+"="+strings.Join(h[name], ", "))
		}
	}
	return strings.Join(out, "; ")
}

func TestCORS(t *testing.T) {
	listed := func(origin string, r *http.Request) bool { return origin == "https://a.example" }
	tests := []struct {
		name    string
		options CORSOptions
		origin  string
		want    string
	}{
		{"any", CORSOptions{}, "https://a.example", "Allow-Origin=*"},
		{"any, no origin", CORSOptions{}, "", "Allow-Origin=*"},
		{"star", CORSOptions{Origins: []string{"*"}, ExposedHeaders: []string{"X-A", "X-B"}}, "https://a.example", "Allow-Origin=*; Expose-Headers=X-A,X-B"},
		{"fixed", CORSOptions{Origins: []string{"https://a.example"}, Credentials: true}, "https://b.example", "Allow-Credentials=true; Allow-Origin=https://a.example; Vary=Origin"},
		{"fixed, no origin", CORSOptions{Origins: []string{"https://a.example"}}, "", "Allow-Origin=https://a.example; Vary=Origin"},
		{"list, member", CORSOptions{Origins: []string{"https://a.example", "https://b.example"}}, "https://b.example", "Allow-Origin=https://b.example; Vary=Origin"},
		{"list, stranger", CORSOptions{Origins: []string{"https://a.example", "https://b.example"}}, "https://c.example", "Vary=Origin"},
		{"reflect", CORSOptions{Reflect: true, Credentials: true}, "https://c.example", "Allow-Credentials=true; Allow-Origin=https://c.example; Vary=Origin"},
		{"function, member", CORSOptions{AllowOrigin: listed}, "https://a.example", "Allow-Origin=https://a.example; Vary=Origin"},
		{"function, stranger", CORSOptions{AllowOrigin: listed}, "https://b.example", "Vary=Origin"},
	}
	eachDoor(t, func(t *testing.T, d door) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				r := d.open(t, Config{CORS: &tt.options}, nil)
				var headers []string
				if tt.origin != "" {
					headers = []string{"Origin", tt.origin}
				}
				check := func(what string, h http.Header) {
					t.Helper()
					if got := corsHeaders(h); got != tt.want {
						t.Errorf("%s: got %q, want %q", what, got, tt.want)
					}
				}
				p := r.do("GET", pollingPath, "", headers...)
				check("handshake", p.header)
				sid := parseOpen(t, p.body).SID
				check("POST", r.do("POST", pollingPath+"&sid="+sid, "4x", headers...).want(200, "ok").header)
				check("GET", r.do("GET", pollingPath+"&sid="+sid, "", headers...).want(200, "4x").header)
				check("error", r.do("GET", pollingPath+"&sid=unknown", "", headers...).wantCode(CodeUnknownSession).header)
				c := r.upgrade(wsPath, nil, headers...)
				c.want101()
				check("101", c.header)
			})
		}
	})
}

func TestCORSPreflight(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{CORS: &CORSOptions{Origins: []string{"https://a.example"}, Credentials: true, ExposedHeaders: []string{"X-A"}}}, nil)
		p := r.do("OPTIONS", pollingPath, "", "Origin", "https://a.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "x-one, x-two")
		p.want(204, "")
		want := "Allow-Credentials=true; Allow-Headers=x-one, x-two; Allow-Methods=GET,HEAD,PUT,PATCH,POST,DELETE; Allow-Origin=https://a.example; Expose-Headers=X-A; Vary=Origin, Access-Control-Request-Headers"
		if got := corsHeaders(p.header); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		// It comes before all checks.
		r.do("OPTIONS", "/engine.io/?transport=abc&sid=x", "").want(204, "")

		r = d.open(t, Config{CORS: &CORSOptions{Methods: []string{"GET", "POST"}, AllowedHeaders: []string{"X-Token"}, MaxAge: time.Hour}}, nil)
		p = r.do("OPTIONS", pollingPath, "", "Access-Control-Request-Headers", "x-one").want(204, "")
		want = "Allow-Headers=X-Token; Allow-Methods=GET,POST; Allow-Origin=*; Max-Age=3600"
		if got := corsHeaders(p.header); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// TestCORSLikeNode compares with what the package of the reference was seen to answer.
func TestCORSLikeNode(t *testing.T) {
	two := []string{"https://a.example", "https://b.example"}
	configs := map[string]*CORSOptions{
		"star":    {Origins: []string{"*"}},
		"fixed":   {Origins: two[:1]},
		"list":    {Origins: two, Credentials: true},
		"reflect": {Reflect: true, Credentials: true},
		"exposed": {Origins: two, ExposedHeaders: []string{"X-A"}, AllowedHeaders: []string{"X-B"}, MaxAge: time.Minute},
	}
	golden, err := os.ReadFile("testdata/cors.txt")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(golden)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
			continue
		}
		request, want, _ := strings.Cut(line, " -> ")
		f := strings.Fields(request)
		r := httptest.NewRequest(f[1], pollingPath, nil)
		if f[2] != "-" {
			r.Header.Set("Origin", f[2])
		}
		if len(f) > 3 {
			r.Header.Set("Access-Control-Request-Method", f[3])
			if f[2] == "https://a.example" {
				r.Header.Set("Access-Control-Request-Headers", "x-b,content-type")
			}
		}
		srv, err := NewServer(Config{CORS: configs[f[0]]}, silent{})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		srv.Close()
		var headers []string
		for name, values := range w.Header() {
			if name = strings.ToLower(name); name == "vary" || strings.HasPrefix(name, "access-control-") {
				headers = append(headers, strings.TrimPrefix(name, "access-control-")+"="+strings.Join(values, ", "))
			}
		}
		slices.Sort(headers)
		if got := strings.TrimSpace(fmt.Sprint(w.Code, " ", strings.Join(headers, " "))); got != want {
			t.Errorf("%s: got  %s\nwant %s", request, got, want)
		}
		rows++
	}
	if rows != 30 {
		t.Errorf("%d rows, want 30", rows)
	}
}
