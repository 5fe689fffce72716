package sio

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epio-go/epio/eio"
)

// With a wall clock that jumps by a day every few milliseconds (scripts/walljumps), sessions go on,
// clients are recovered, rates count, and what was handled is remembered: all that goes by the
// monotonic clock. With a clock that does not jump this is no test of it.
func TestClockSteps(t *testing.T) {
	const rounds = 8
	r := loopback(t, Config{
		Recovery: &Recovery{MaxDisconnection: time.Minute},
		Rates:    Rates{Events: Rate{PerSecond: 0.001, Burst: 2 * rounds}},
		Engine: eio.Config{
			PingInterval: 2 * time.Millisecond,
			PingTimeout:  patience,
			Admission:    eio.Admission{HandshakesPerAddress: eio.Rate{PerSecond: 0.001, Burst: rounds + 2}},
		},
	})
	var handled atomic.Int64
	r.srv.Of("/dedup").Wrap(Deduplicate(Dedup{Key: func(*Socket, *Message) string { return "k" }, TTL: time.Minute}))
	OnAck0(r.srv.Of("/dedup"), "once", func(context.Context, *Socket) (int64, error) { return handled.Add(1), nil })

	away := r.traveller("/")
	dedup := r.websocket()
	dedup.send("40/dedup,")
	dedup.next()
	once := func() string {
		dedup.mute = false
		defer func() { dedup.mute = true }()
		dedup.send(`42/dedup,1["once"]`)
		return dedup.next().data
	}
	dedup.mute = true
	for range rounds {
		away.nc.Close()
		// The clock is another one when the client is back.
		for start := time.Now(); time.Since(start) < 4*time.Millisecond; {
			if got := dedup.next().data; got != "2" { // PING
				t.Fatalf("got %q", got)
			}
			dedup.send("3")
		}
		if got := once(); got != `43/dedup,1[1]` {
			t.Errorf("handled again: %s", got)
		}
		away.wantBack()
	}
	for range rounds {
		once()
	}
	for start := time.Now(); time.Since(start) < 20*time.Millisecond; {
		if got := once(); got != `43/dedup,1[{"error":{"message":"rate limit exceeded"}}]` {
			t.Fatalf("over the rate: %s", got)
		}
		p, resp := r.knock("", "")
		if p.close(); resp.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("over the rate: %s", resp.Status)
		}
	}
}
