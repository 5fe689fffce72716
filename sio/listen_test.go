package sio

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestListenAndServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := ln.Addr().String()

	srv, err := New(Config{})
	must(t, err)
	defer srv.Close()
	err = srv.ListenAndServe(addr)
	if _, ok := errors.AsType[*net.OpError](err); !ok {
		t.Errorf("an address that is taken: %v", err)
	}

	must(t, ln.Close())
	ended := make(chan error, 1)
	go func() { ended <- srv.ListenAndServe(addr) }()
	get := func(path string) (status int, body string) {
		eventually(t, "an answer to "+path, func() bool {
			resp, err := http.Get("http://" + addr + path)
			if err != nil {
				return false // it does not listen yet
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			status, body = resp.StatusCode, string(b)
			return err == nil
		})
		return status, body
	}
	if status, body := get("/socket.io/?EIO=4&transport=polling"); status != 200 || !strings.HasPrefix(body, `0{"sid":"`) {
		t.Errorf("handshake: %d %q", status, body)
	}
	if status, _ := get("/other"); status != 404 {
		t.Errorf("another path: %d", status)
	}
	must(t, srv.Close())
	if err := <-ended; !errors.Is(err, ErrServerClosed) {
		t.Errorf("in the end: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}
