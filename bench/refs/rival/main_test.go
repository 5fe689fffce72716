package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/epio-go/epio/bench/refs/internal/plaintest"
)

func TestServer(t *testing.T) {
	srv := httptest.NewServer(newServer())
	t.Cleanup(srv.Close)
	// Now and then this server keeps the answer to CONNECT until its first ping, 25 s later, or
	// ends a connection for no reason.
	plaintest.Attempts(t, 10, func(t testing.TB) { exchange(t, srv.URL) })
}

func exchange(t testing.TB, url string) {
	connect := func() *plaintest.Client {
		c := plaintest.Dial(t, url+"/socket.io/?EIO=4&transport=websocket")
		if _, m := c.Next(); !strings.HasPrefix(m, `0{`) || !strings.Contains(m, `"sid":`) {
			t.Fatalf("got %q, want a handshake", m)
		}
		c.Send(websocket.MessageText, "40")
		m, ok := c.NextWithin(2 * time.Second)
		if !ok || !strings.HasPrefix(m, `40{"sid":`) {
			t.Fatalf("got %q, want a connection to the namespace", m)
		}
		return c
	}
	const text = websocket.MessageText
	a, b := connect(), connect()
	for _, c := range []*plaintest.Client{a, b} {
		c.Send(text, `421["join","x"]`)
		c.Want(text, `431[]`)
	}
	a.Send(text, `42["bcast","x","1 y"]`)
	a.Want(text, `42["msg","1 y"]`)
	b.Want(text, `42["msg","1 y"]`)
	a.Send(text, `422["leave","x"]`)
	a.Want(text, `432[]`)
	// Binary goes to who is left.
	b.Send(text, `451-["bcast","x",{"_placeholder":true,"num":0}]`)
	b.Send(websocket.MessageBinary, "2 z")
	b.Want(text, `451-["msg",{"_placeholder":true,"num":0}]`)
	b.Want(websocket.MessageBinary, "2 z")
	a.Send(text, `427["echo","3"]`)
	a.Want(text, `437["3"]`)
	// What is not understood is not answered.
	a.Send(text, `42["join","x"]`)
	a.Send(text, `42["echo"]`)
	a.Send(text, `42["bcast","x"]`)
	a.Send(text, `428["echo","4"]`)
	a.Want(text, `438["4"]`)
}
