package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// start runs a suite and returns its URL.
func start(t *testing.T, o options) string {
	t.Helper()
	engine, sockets, err := suites[o.suite](&o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve, shutdown := serving(o, engine, sockets)
	ended := make(chan error, 1)
	go func() { ended <- serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nobody fetches the last packets of the sessions
		shutdown(ctx)
		<-ended
	})
	return "http://" + ln.Addr().String()
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// TestSuites looks at what the suites announce, through both doors and on every engine.
func TestSuites(t *testing.T) {
	const v4, v3 = "/?EIO=4&transport=polling", "/?EIO=3&transport=polling"
	tests := []struct {
		suite   string
		paths   []string // that have a server
		old     int      // status of an old client
		opening string   // what the handshake says
		origin  string
	}{
		{"eio-v4", []string{"/engine.io"}, 400, `"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}`, "*"},
		{"eio-v3", []string{"/engine.io"}, 200, `"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}`, "*"},
		{"sio-v5", []string{"/socket.io"}, 400, `"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}`, "*"},
		{"client-eio", []string{"/engine.io"}, 400, `"pingInterval":500,"pingTimeout":20000,"maxPayload":100}`, ""},
		{"client-sio", []string{"/socket.io"}, 400, `"pingInterval":2000,"pingTimeout":20000,"maxPayload":1000000}`, ""},
		{"matrix", []string{"/engine.io", "/socket.io"}, 400, `"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, ""},
		{"probe", []string{"/engine.io", "/socket.io"}, 400, `"pingInterval":25000,"pingTimeout":20000,"maxPayload":2000}`, ""},
	}
	if len(tests) != len(suites) {
		t.Errorf("%d suites, %d of them are tested", len(suites), len(tests))
	}
	for _, tt := range tests {
		for _, door := range []string{"direct", "http"} {
			for _, engine := range []string{"epoll", "netpoll", "portable"} {
				t.Run(tt.suite+"/"+door+"/"+engine, func(t *testing.T) {
					url := start(t, options{suite: tt.suite, door: door, engine: engine})
					for _, path := range []string{"/engine.io", "/socket.io"} {
						resp, body := get(t, url+path+v4)
						if !slices.Contains(tt.paths, path) {
							if resp.StatusCode != 404 || body != "not found" {
								t.Errorf("%s: %d %q", path, resp.StatusCode, body)
							}
							continue
						}
						if resp.StatusCode != 200 || !strings.HasPrefix(body, `0{"sid":"`) || !strings.HasSuffix(body, tt.opening) {
							t.Errorf("%s: %d %q", path, resp.StatusCode, body)
						}
						if o := resp.Header.Get("Access-Control-Allow-Origin"); o != tt.origin {
							t.Errorf("%s: allowed origin %q, want %q", path, o, tt.origin)
						}
						if resp, body := get(t, url+path+v3); resp.StatusCode != tt.old {
							t.Errorf("%s: an old client gets %d %q, want %d", path, resp.StatusCode, body, tt.old)
						}
					}
				})
			}
		}
	}
}

// TestModes looks at what the flags change.
func TestModes(t *testing.T) {
	url := start(t, options{suite: "probe", door: "direct", engine: "epoll", maxPayload: 77, cors: "http://a.example", cookie: true, eio3: true})
	for _, path := range []string{"/engine.io/", "/socket.io/"} {
		resp, body := get(t, url+path+"?EIO=4&transport=polling")
		if !strings.HasSuffix(body, `"maxPayload":77}`) || !strings.HasPrefix(resp.Header.Get("Set-Cookie"), "io=") ||
			resp.Header.Get("Access-Control-Allow-Origin") != "http://a.example" || resp.Header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s: %q %v", path, body, resp.Header)
		}
		if resp, body := get(t, url+path+"?EIO=3&transport=polling"); resp.StatusCode != 200 {
			t.Errorf("%s: an old client gets %d %q", path, resp.StatusCode, body)
		}
		if resp, body := get(t, url+path+"?EIO=4&transport=polling&deny=go%20away"); resp.StatusCode != 403 || body != `{"code":4,"message":"go away"}` {
			t.Errorf("%s: denied with %d %q", path, resp.StatusCode, body)
		}
	}
	if name := (&options{msgpack: true}).parser().Name(); name != "msgpack" {
		t.Errorf("-msgpack speaks %s", name)
	}
	o := options{suite: "probe", door: "direct", engine: "epoll", eio3: true, msgpack: true}
	if _, _, err := suites[o.suite](&o); err == nil {
		t.Error("old clients do not know msgpack")
	}
}
