package sio

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestEventsOverTheRateAreDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{Rates: Rates{Events: Rate{PerSecond: 10, Burst: 3}}}
		throttled := make(chan int, 20)
		cfg.Hooks.Throttle = func(_ *Socket, n int) { throttled <- n }
		r := memory(t, cfg)
		got := make(chan int, 20)
		On(r.srv, "n", func(_ context.Context, _ *Socket, n int) error { got <- n; return nil })
		p, _ := r.join()
		for i := range 6 {
			p.send(fmt.Sprintf(`42["n",%d]`, i))
		}
		wantFrom(t, got, 0, 1, 2)
		wantNone(t, got)
		p.send(`427["n",9]`)
		p.want(`437[{"error":{"message":"rate limit exceeded"}}]`)
		sum := 0
		for sum < 4 {
			sum += receive(t, throttled)
		}
		r.wantLog("level=WARN", `msg="sio: events over the rate"`, "namespace=/")
		time.Sleep(100 * time.Millisecond) // one more is earned
		p.send(`42["n",10]`, `42["n",11]`)
		wantFrom(t, got, 10)
		wantNone(t, got)
		if st := r.srv.Stats(); st.Throttled != 5 {
			t.Errorf("%d events were throttled", st.Throttled)
		}
	})
}

// Namespaces share the limit, and acknowledgements are free.
func TestRateIsOfTheConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Rates: Rates{Events: Rate{PerSecond: 1, Burst: 2}}})
		got := make(chan string, 20)
		for _, nsp := range []string{"/", "/a", "/b"} {
			On0(r.srv.Of(nsp), "x", func(context.Context, *Socket) error { got <- nsp; return nil })
		}
		p, s := r.join()
		p.join("/a")
		p.join("/b")
		p.send(`42["x"]`, `42/a,["x"]`, `42/b,["x"]`)
		synctest.Wait()
		if len(got) != 2 {
			t.Errorf("%d events were handled", len(got))
		}
		answers := make(chan int)
		go func() {
			n, err := Call[int](t.Context(), s, "ask")
			if err != nil {
				t.Error(err)
			}
			answers <- n
		}()
		p.want(`420["ask"]`)
		p.send(`430[5]`)
		wantFrom(t, answers, 5)
	})
}

func TestRateClosesTheConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Rates: Rates{Events: Rate{PerSecond: 1}, WhenOver: CloseWhenOver}})
		gone := make(chan Reason, 1)
		handled := 0
		On0(r.srv, "x", func(context.Context, *Socket) error { handled++; return nil })
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
		p, _ := r.join()
		p.together(`42["x"]`, `42["x"]`, `42["x"]`)
		wantFrom(t, gone, RateExceeded)
		p.wantEnd()
		if handled != 1 {
			t.Errorf("%d events were handled", handled)
		}
	})
}

// TestRateSlowsDown sends everything at once; it is handled at the rate, and nothing is lost.
func TestRateSlowsDown(t *testing.T) {
	for _, transport := range []string{"websocket", "polling"} {
		t.Run(transport, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{QueueEvents: 2, Rates: Rates{Events: Rate{PerSecond: 10, Burst: 2}, WhenOver: SlowDownWhenOver}})
				got := make(chan int, 100)
				On(r.srv, "n", func(_ context.Context, _ *Socket, n int) error { got <- n; return nil })
				p := r.websocket()
				if transport == "polling" {
					p = r.polling()
				}
				s := p.join("/")
				start := time.Now()
				const n = 22
				done := make(chan struct{})
				go func() {
					defer close(done)
					for i := range n {
						if err := p.trySend(fmt.Sprintf(`42["n",%d]`, i)); err != nil {
							t.Error(err)
						}
					}
				}()
				for i := range n {
					wantFrom(t, got, i)
				}
				<-done
				// Two at once, the others at 10 a second, of which one is ahead of its time.
				if took := time.Since(start); took < 1800*time.Millisecond || took > 2300*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				time.Sleep(time.Second)
				if l := loadOf(s); l.held || l.throttled {
					t.Errorf("load %+v", l)
				}
			})
		})
	}
}

// Two reasons not to read a connection do not end each other.
func TestSlowedDownWhileHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{QueueEvents: 1, Rates: Rates{Events: Rate{PerSecond: 1, Burst: 1}, WhenOver: SlowDownWhenOver}})
		open := make(chan struct{})
		got := make(chan int, 10)
		On(r.srv, "n", func(_ context.Context, _ *Socket, n int) error { <-open; got <- n; return nil })
		p, s := r.join()
		state := func(held, throttled bool, events int32) {
			t.Helper()
			synctest.Wait()
			if l := loadOf(s); l.held != held || l.throttled != throttled || l.events != events {
				t.Errorf("load %+v", l)
			}
		}
		state(false, false, 0) // a CONNECT counts as an event until its handlers have returned
		for i := range 5 {
			p.send(fmt.Sprintf(`42["n",%d]`, i))
		}
		state(true, true, 2)
		open <- struct{}{}
		open <- struct{}{}
		wantFrom(t, got, 0, 1)
		state(false, true, 0) // not read yet, though nothing waits
		time.Sleep(time.Second)
		state(false, true, 1)
		time.Sleep(time.Second)
		state(true, true, 2)
		time.Sleep(3 * time.Second)
		state(true, false, 2) // not read yet, though it has been slow for long enough
		close(open)
		wantFrom(t, got, 2, 3, 4)
	})
}

// A client may leave while it is slowed down.
func TestLeavingWhileSlowedDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Rates: Rates{Events: Rate{PerSecond: 0.01}, WhenOver: SlowDownWhenOver}})
		p, s := r.join()
		p.send(`42["x"]`, `42["x"]`)
		synctest.Wait()
		if l := loadOf(s); !l.throttled {
			t.Fatalf("load %+v", l)
		}
		s.Disconnect(true)
		p.want("41")
		p.wantEnd()
	})
}

func TestJoinsOverTheRate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{Rates: Rates{Joins: Rate{PerSecond: 1, Burst: 3}}})
		gone := make(chan Reason, 1)
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
		p, _ := r.join()
		p.send("40/a,", "40/b,") // neither exists
		for range 2 {
			p.next()
		}
		wantNone(t, gone)
		p.send("40/c,")
		wantFrom(t, gone, RateExceeded)
		r.wantLog("level=WARN", `msg="sio: joins over the rate"`)
	})
}

func TestMaxRooms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{MaxRooms: 2})
		_, s := r.join()
		must(t, s.Join("a", "b"))
		must(t, s.Join("a"))
		wantErr(t, s.Join("c"), ErrTooManyRooms)
		must(t, r.srv.All().Join("c"))
		if n := len(s.Rooms()); n != 3 { // and its own
			t.Errorf("the socket is in %q", s.Rooms())
		}
	})
}
