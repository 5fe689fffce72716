package sio

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
)

func TestClientFiles(t *testing.T) {
	script := strings.Repeat("io = 1;\n", 200)
	r := loopback(t, Config{Client: fstest.MapFS{
		"socket.io.js":         {Data: []byte(script)},
		"socket.io.min.js":     {Data: []byte("io=1")},
		"socket.io.min.js.map": {Data: []byte(`{"version":3}`)},
		"secret.txt":           {Data: []byte("secret")},
	}})
	get := func(method, name string, headers ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+r.addr+"/socket.io/"+name, nil)
		must(t, err)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := r.http.Do(req)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		resp.Body.Close()
		return resp, string(body)
	}

	plain, body := get("GET", "socket.io.js?v=2")
	if plain.StatusCode != 200 || body != script || plain.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %s, %d bytes, %v", plain.Status, len(body), plain.Header)
	}
	for name, want := range map[string]string{
		"Content-Type":  "application/javascript; charset=utf-8",
		"Cache-Control": "public, max-age=0",
		"Vary":          "Accept-Encoding",

		"X-Content-Type-Options": "nosniff",
	} {
		if got := plain.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	etag := plain.Header.Get("ETag")
	for _, match := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
		if resp, body := get("GET", "socket.io.js", "If-None-Match", match); resp.StatusCode != 304 || body != "" || resp.Header.Get("ETag") != etag {
			t.Errorf("If-None-Match %s: got %s %q", match, resp.Status, body)
		}
	}
	if resp, _ := get("GET", "socket.io.js", "If-None-Match", `"other"`); resp.StatusCode != 200 {
		t.Errorf("a changed file: got %s", resp.Status)
	}

	zipped, body := get("GET", "socket.io.js", "Accept-Encoding", "gzip, br")
	z, err := gzip.NewReader(strings.NewReader(body))
	must(t, err)
	var text bytes.Buffer
	if _, err := io.Copy(&text, z); err != nil || text.String() != script || len(body) >= len(script)/4 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	if zipped.Header.Get("Content-Encoding") != "gzip" || zipped.ContentLength != int64(len(body)) {
		t.Errorf("got %v", zipped.Header)
	}

	if resp, body := get("HEAD", "socket.io.js"); resp.StatusCode != 200 || body != "" || resp.ContentLength != int64(len(script)) {
		t.Errorf("HEAD: %s, length %d", resp.Status, resp.ContentLength)
	}
	if resp, _ := get("GET", "socket.io.min.js.map"); resp.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("a map is %s", resp.Header.Get("Content-Type"))
	}
	// Everything else is the engine's.
	for _, name := range []string{"secret.txt", "socket.io.esm.min.js", "../secret.txt", "%2e%2e/secret.txt"} {
		if resp, body := get("GET", name); resp.StatusCode != 400 && resp.StatusCode != 404 {
			t.Errorf("%s: got %s %q", name, resp.Status, body)
		}
	}
}

// denied is a file system that cannot be read.
type denied struct{}

func (denied) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func TestClientFilesMissing(t *testing.T) {
	for want, fsys := range map[string]fs.FS{
		"holds none of socket.io.js":                    fstest.MapFS{"index.js": {}},
		"cannot be read: open socket.io.js: permission": denied{},
	} {
		if _, err := New(Config{Client: fsys}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
