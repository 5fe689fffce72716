package sio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/eio"
)

// TestDrainSpreads closes idle connections over the period, in no order.
func TestDrainSpreads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n, period = 50, 10 * time.Second
		r := memory(t, Config{})
		type gone struct {
			at time.Duration
			i  int
		}
		ends := make(chan gone, n)
		index := make(map[*Socket]int)
		var start time.Time
		r.srv.OnDisconnect(func(s *Socket, reason Reason) {
			if reason != ServerShutdown {
				t.Errorf("closed with %q", reason)
			}
			ends <- gone{time.Since(start), index[s]}
		})
		_, sockets := r.clients(n)
		for i, s := range sockets {
			index[s] = i
		}
		start = time.Now()
		done := make(chan error, 1)
		go func() { done <- r.srv.Drain(context.Background(), period) }()
		var order []int
		var last time.Duration
		for range n {
			g := receive(t, ends)
			order = append(order, g.i)
			slot := time.Duration(len(order)-1) * period / n
			if g.at < slot || g.at > slot+period/n {
				t.Errorf("number %d left after %v", len(order), g.at)
			}
			last = g.at
		}
		if slices.IsSorted(order) {
			t.Error("they left in order")
		}
		wantFrom(t, done, nil)
		if last > period {
			t.Errorf("it took %v", last)
		}
	})
}

// While it drains, the server refuses handshakes, serves the others through its listeners, and says so.
func TestDrainRefusesHandshakes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		OnAck0(r.srv, "x", func(context.Context, *Socket) (int, error) { return 1, nil })
		peers := []*peer{r.websocket(), r.polling()}
		for _, p := range peers {
			p.join("/")
		}
		if r.srv.Draining() {
			t.Error("draining already")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		// Nobody has to leave in the first hour, almost certainly.
		go func() { done <- r.srv.Drain(ctx, 1000000*time.Hour) }()
		synctest.Wait()
		if !r.srv.Draining() {
			t.Error("not draining")
		}
		if _, resp := r.knock("", ""); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("handshake answered with %s", resp.Status)
		}
		for _, p := range peers {
			p.send(`421["x"]`)
			p.want(`431[1]`)
		}
		cancel()
		wantErr(t, receive(t, done), context.Canceled)
	})
}

// TestDrainWaits lets handlers and calls finish before their connection is closed, though
// others are gone long ago.
func TestDrainWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		open := make(chan struct{})
		gone := make(chan string, 3)
		OnAck0(r.srv, "slow", func(ctx context.Context, _ *Socket) (string, error) {
			<-open
			return "done", ctx.Err()
		})
		r.srv.OnDisconnect(func(s *Socket, _ Reason) { gone <- s.Data().(string) })
		busy, s1 := r.join()
		asked, s2 := r.join()
		idle, s3 := r.join()
		joinless := r.websocket()
		s1.SetData("busy")
		s2.SetData("asked")
		s3.SetData("idle")
		busy.send(`421["slow"]`)
		answers := make(chan int, 1)
		go func() {
			v, err := Call[int](t.Context(), s2, "ask")
			if err != nil {
				t.Error(err)
			}
			answers <- v
		}()
		asked.want(`420["ask"]`)
		done := make(chan error, 1)
		go func() { done <- r.srv.Drain(t.Context(), time.Second) }()
		time.Sleep(3 * time.Second)
		wantFrom(t, gone, "idle")
		idle.wantEnd()
		joinless.wantEnd()
		wantNone(t, gone)
		asked.send(`430[7]`)
		wantFrom(t, answers, 7)
		wantFrom(t, gone, "asked")
		wantNone(t, done)
		close(open)
		busy.want(`431["done"]`)
		busy.wantEnd()
		wantFrom(t, gone, "busy")
		wantFrom(t, done, nil)
	})
}

// A client that joins long after Drain has begun has something to finish, too.
func TestDrainWaitsForLateJoins(t *testing.T) {
	for _, transport := range []string{"websocket", "polling"} {
		bubble(t, func(t *testing.T) {
			r := memory(t, Config{ConnectTimeout: 10 * time.Hour, Engine: eio.Config{PingInterval: 10 * time.Hour}})
			release := make(chan struct{})
			OnAck0(r.srv, "slow", func(ctx context.Context, _ *Socket) (string, error) {
				<-release
				return "done", ctx.Err()
			})
			connect := map[string]func() *peer{"websocket": r.websocket, "polling": r.polling}[transport]
			sessions := make(map[*eio.Session]*peer)
			for range 8 {
				p := connect()
				for sess := range r.srv.Engine().All() {
					if sessions[sess] == nil {
						sessions[sess] = p
					}
				}
			}
			done := make(chan error, 1)
			go func() { done <- r.srv.Drain(t.Context(), time.Hour) }()
			time.Sleep(15 * time.Minute) // two have left
			var p *peer
			for sess, its := range sessions {
				if !sess.Closed() {
					p = its
				}
			}
			p.join("/")
			p.send(`421["slow"]`)
			time.Sleep(2 * time.Hour)
			close(release)
			p.want(`431["done"]`)
			p.wantEnd()
			wantFrom(t, done, nil)
		})
	}
}

// The deadline cuts off what is left, be it a handler or the rest of the period.
func TestDrainHasADeadline(t *testing.T) {
	for _, period := range []time.Duration{0, time.Hour} {
		bubble(t, func(t *testing.T) {
			r := memory(t, Config{})
			On0(r.srv, "stuck", func(ctx context.Context, _ *Socket) error { <-ctx.Done(); return nil })
			p, _ := r.join()
			p.send(`42["stuck"]`)
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			err := r.srv.Drain(ctx, period)
			if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d != 3*time.Second {
				t.Errorf("%v after %v", err, d)
			}
			p.wantEnd()
		})
	}
}

// Events that come in while their connection is being closed are handled and answered, or not handled at all: a client
// that repeats what was not answered has nothing done twice.
func TestDrainAnswersWhatItHandles(t *testing.T) {
	const n, most = 200, 50
	r := loopback(t, Config{})
	handled := make([]atomic.Int32, n)
	OnAck(r.srv, "x", func(_ context.Context, _ *Socket, i int) (int, error) {
		return int(handled[i].Add(1)), nil
	})
	peers, _ := r.clients(n)
	answers := make([]int, n)
	var clients sync.WaitGroup
	for i, p := range peers {
		clients.Go(func() {
			for id := range most {
				if p.trySend(fmt.Sprintf(`42%d["x",%d]`, id, i)) != nil {
					return // it is closed already
				}
			}
		})
		clients.Go(func() {
			for {
				got, err := p.read(patience)
				if err != nil {
					return
				}
				if strings.HasPrefix(got.data, "43") {
					answers[i]++
				}
			}
		})
	}
	must(t, r.srv.Drain(t.Context(), 0))
	clients.Wait()
	cut := 0
	for i := range n {
		if got := int(handled[i].Load()); got != answers[i] {
			t.Errorf("client %d: %d events handled, %d answered", i, got, answers[i])
		}
		if answers[i] < most {
			cut++
		}
	}
	t.Logf("%d of %d clients left in the middle", cut, n)
}
