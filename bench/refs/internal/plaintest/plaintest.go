// Package plaintest tests a server that speaks the protocol of internal/plain.
package plaintest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// Run tests the server behind h.
func Run(t *testing.T, h http.Handler) {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)

	for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
		t.Run(kind.String(), func(t *testing.T) {
			a, b := Dial(t, srv.URL), Dial(t, srv.URL)
			a.Send(kind, "eping")
			a.Want(kind, "eping")
			a.Send(kind, "jx")
			a.Want(kind, "j")
			b.Send(kind, "jx")
			b.Want(kind, "j")
			// A message of every length of header.
			for _, payload := range []string{"1 x", strings.Repeat("y", 200), strings.Repeat("z", 70_000)} {
				b.Send(kind, "bx "+payload)
				a.Want(kind, "m"+payload)
				b.Want(kind, "m"+payload)
			}
			a.Send(kind, "lx")
			a.Want(kind, "l")
			b.Send(kind, "bx 2")
			b.Want(kind, "m2")
			b.Send(kind, "bnobody 3")
			b.Send(kind, "e")
			b.Want(kind, "e")
			a.Send(kind, "e4")
			a.Want(kind, "e4") // and not m2
		})
	}
	t.Run("gone", func(t *testing.T) {
		a, b := Dial(t, srv.URL), Dial(t, srv.URL)
		a.Send(websocket.MessageText, "jy")
		a.Want(websocket.MessageText, "j")
		b.Send(websocket.MessageText, "jy")
		b.Want(websocket.MessageText, "j")
		a.conn.CloseNow()
		for range 10 {
			b.Send(websocket.MessageText, "by 1")
			b.Want(websocket.MessageText, "m1")
		}
	})
	for _, m := range []string{"", "x", "bnospace"} {
		t.Run("bad "+m, func(t *testing.T) {
			c := Dial(t, srv.URL)
			c.Send(websocket.MessageText, m)
			if _, got, err := c.conn.Read(c.ctx); err == nil || c.ctx.Err() != nil {
				t.Fatalf("got %q, %v, want the connection closed", got, err)
			}
		})
	}
}

// Attempts runs f until it passes, n times at most: for servers that lose a connection now
// and then.
func Attempts(t *testing.T, n int, f func(t testing.TB)) {
	for i := range n {
		a := &attempt{TB: t}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			f(a)
		}()
		<-ended
		if a.failure == "" {
			return
		}
		t.Logf("attempt %d: %s", i+1, a.failure)
	}
	t.Fatalf("failed %d times", n)
}

// attempt is a test that may be tried again.
type attempt struct {
	testing.TB
	failure string
}

func (a *attempt) Fatal(args ...any) { a.fail(fmt.Sprint(args...)) }

func (a *attempt) Fatalf(format string, args ...any) { a.fail(fmt.Sprintf(format, args...)) }

func (a *attempt) fail(failure string) {
	a.failure = failure
	runtime.Goexit()
}

// Client is one connection; its methods end the test when they fail.
type Client struct {
	t    testing.TB
	conn *websocket.Conn
	ctx  context.Context
}

// Dial connects to an http URL, as a page of another origin.
func Dial(t testing.TB, url string) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, strings.Replace(url, "http", "ws", 1), &websocket.DialOptions{
		HTTPHeader: http.Header{"Origin": {"http://localhost:3000"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { conn.CloseNow() })
	return &Client{t, conn, ctx}
}

// Send sends a message.
func (c *Client) Send(kind websocket.MessageType, m string) {
	c.t.Helper()
	if err := c.conn.Write(c.ctx, kind, []byte(m)); err != nil {
		c.t.Fatal(err)
	}
}

// Next returns the next message.
func (c *Client) Next() (websocket.MessageType, string) {
	c.t.Helper()
	kind, got, err := c.conn.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return kind, string(got)
}

// NextWithin is Next for a server that may never answer. The connection is no good any
// more when ok is false.
func (c *Client) NextWithin(d time.Duration) (m string, ok bool) {
	ctx, cancel := context.WithTimeout(c.ctx, d)
	defer cancel()
	_, got, err := c.conn.Read(ctx)
	return string(got), err == nil
}

// Want reads a message and compares it.
func (c *Client) Want(kind websocket.MessageType, want string) {
	c.t.Helper()
	if gotKind, got := c.Next(); got != want || gotKind != kind {
		c.t.Fatalf("got %v %.50q (%d bytes), want %v %.50q (%d bytes)", gotKind, got, len(got), kind, want, len(want))
	}
}
