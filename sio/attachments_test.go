package sio

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
)

// unfinished starts a packet of n attachments.
func unfinished(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `45%d-["up"`, n)
	for i := range n {
		fmt.Fprintf(&b, `,{"_placeholder":true,"num":%d}`, i)
	}
	return b.String() + "]"
}

// watched reports whether the time limit for attachments is running.
func (c *client) watched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rest != nil
}

func TestAttachmentTimeout(t *testing.T) {
	for _, transport := range []string{"websocket", "polling"} {
		t.Run(transport, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{Engine: eio.Config{PingInterval: time.Hour}})
				seen := make(chan int, 8)
				r.srv.Handle("up", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { seen <- m.Attachments(); return nil }))
				gone := make(chan Reason, 1)
				r.srv.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
				p := r.polling
				if transport == "websocket" {
					p = r.websocket
				}
				peer := p()
				c := peer.join("/").c

				// Each attachment may take its time.
				peer.send(unfinished(3))
				for range 3 {
					time.Sleep(40 * time.Second)
					peer.sendBinary("x")
				}
				wantFrom(t, seen, 3)

				// The limit begins anew with every packet.
				for range 8 {
					peer.send(unfinished(1))
					time.Sleep(20 * time.Second)
					peer.sendBinary("x")
					wantFrom(t, seen, 1)
				}
				if !c.watched() {
					t.Error("nobody watches")
				}
				time.Sleep(100 * time.Second)
				if c.watched() {
					t.Error("the timer stays though nothing is outstanding")
				}

				peer.send(unfinished(2))
				peer.sendBinary("x")
				start := time.Now()
				time.Sleep(44 * time.Second)
				wantNone(t, gone)
				wantFrom(t, gone, ParseError)
				if d := time.Since(start); d < 45*time.Second || d > 46*time.Second {
					t.Errorf("closed after %v", d)
				}
				r.wantLog("attachments did not come in time")
			})
		})
	}
}

// Nor is it while Rates slow it down.
func TestAttachmentTimeoutWhileSlowedDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{
			AttachmentTimeout: time.Second,
			Rates:             Rates{Events: Rate{PerSecond: 0.1, Burst: 1}, WhenOver: SlowDownWhenOver},
			Engine:            eio.Config{PingInterval: time.Hour},
		})
		seen := make(chan int, 1)
		r.srv.Handle("up", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { seen <- m.Attachments(); return nil }))
		p, s := r.join()
		p.send(`42["x"]`, `42["x"]`) // one is ahead of its time
		p.send(unfinished(1))
		synctest.Wait()
		if l := loadOf(s); !l.throttled {
			t.Fatalf("load %+v", l)
		}
		s.c.partial() // as if the header had been read just before the pause
		p.sendBinary("x")
		wantFrom(t, seen, 1)
	})
}

// While nobody reads the connection, its client is not to blame.
func TestAttachmentTimeoutWhilePaused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{QueueEvents: 1, AttachmentTimeout: time.Second, Engine: eio.Config{PingInterval: time.Hour}})
		release := make(chan struct{})
		seen := make(chan int, 1)
		r.srv.Handle("block", HandlerFunc(func(_ context.Context, _ *Socket, _ *Message) error { <-release; return nil }))
		r.srv.Handle("up", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { seen <- m.Attachments(); return nil }))
		p, s := r.join()
		p.send(`42["block"]`, `42["block"]`)
		p.send(unfinished(1))
		synctest.Wait()
		s.c.partial()                       // as if the header had been read just before the pause
		time.Sleep(9500 * time.Millisecond) // not a moment at which the timer looks
		close(release)
		p.sendBinary("x")
		wantFrom(t, seen, 1)
	})
}

// A connection that ends takes its timer along.
func TestAttachmentTimeoutEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		p.send(unfinished(1))
		synctest.Wait()
		if !s.c.watched() {
			t.Error("nobody watches")
		}
		p.close()
		synctest.Wait()
		s.c.partial()
		if s.c.watched() {
			t.Error("an ended connection is watched")
		}
		time.Sleep(time.Minute)
	})
}

func TestManyAttachmentsAreWarnedOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		many := func(n int) []any {
			args := make([]any, n)
			for i := range args {
				args[i] = []byte{byte(i)}
			}
			return args
		}
		r.srv.Handle("ask", HandlerFunc(func(_ context.Context, _ *Socket, m *Message) error { return m.Ack(many(11)...) }))
		p, s := r.join()
		count := func(what string, want int) {
			t.Helper()
			if got := strings.Count(r.log.String(), what); got != want {
				t.Errorf("%d times %q in the log, want %d", got, what, want)
			}
		}
		must(t, s.Emit("few", many(codec.DefaultMaxAttachments)...))
		must(t, s.Emit("none", "451-", 11))
		count("more attachments", 0)
		must(t, s.Emit("many", many(11)...))
		must(t, s.Emit("many", many(11)...))
		must(t, r.srv.Emit("all", many(300)...))
		must(t, r.srv.Emit("all", many(300)...))
		p.send(`421["ask"]`)
		synctest.Wait()
		count("more attachments", 3)
		r.wantLog("kind=event event=many attachments=11 limit=10")
		r.wantLog("event=all attachments=300")
		r.wantLog("kind=answer event=ask")

		for i := range maxWarned + 10 {
			must(t, s.Emit(fmt.Sprint("e", i), many(11)...))
		}
		count("more attachments", maxWarned)
	})
}
