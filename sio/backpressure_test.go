package sio

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// loadOf returns what waits on the socket's connection.
func loadOf(s *Socket) load {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.load
}

// A client that sends more than the handlers keep up with is slowed down, and
// loses nothing.
func TestFloodsPauseTheConnection(t *testing.T) {
	const n = 400
	for _, limit := range []struct {
		name string
		cfg  Config
		size int
		most int // events that may wait
	}{
		{"events", Config{QueueEvents: 8}, 10, 9},
		{"bytes", Config{QueueBytes: 64 << 10}, 8 << 10, 9},
	} {
		for _, transport := range []string{"websocket", "polling"} {
			t.Run(limit.name+"/"+transport, func(t *testing.T) {
				r := loopback(t, limit.cfg)
				open := make(chan struct{})
				got := make(chan int, n)
				paused := make(chan struct{})
				var once sync.Once
				most := 0
				On2(r.srv, "n", func(_ context.Context, s *Socket, i int, _ string) error {
					<-open
					l := loadOf(s)
					if l.held {
						once.Do(func() { close(paused) })
					}
					most = max(most, int(l.events))
					got <- i
					return nil
				})
				p := r.websocket()
				if transport == "polling" {
					p = r.polling()
				}
				s := p.join("/")
				fill := strings.Repeat("x", limit.size)
				sent := make(chan error, 1)
				go func() {
					for i := range n {
						if err := p.trySend(fmt.Sprintf(`42["n",%d,"%s"]`, i, fill)); err != nil {
							sent <- err
							return
						}
					}
					sent <- nil
				}()
				held := func() bool { return loadOf(s).held }
				eventually(t, "the connection is paused", held)
				close(open)
				for i := range n {
					wantFrom(t, got, i)
				}
				must(t, receive(t, sent))
				receive(t, paused)
				if most > limit.most {
					t.Errorf("%d events waited, want at most %d", most, limit.most)
				}
				eventually(t, "the connection is read again", func() bool { return !held() })
			})
		}
	}
}

// Namespaces of one connection share its limits.
func TestLimitsAreOfTheConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{QueueEvents: 4})
		open := make(chan struct{})
		seen := make(chan string, 20)
		for _, name := range []string{"/a", "/b"} {
			On0(r.srv.Of(name), "x", func(_ context.Context, s *Socket) error { <-open; seen <- name; return nil })
		}
		p := r.websocket()
		a := p.join("/a")
		p.join("/b")
		synctest.Wait() // a CONNECT counts as an event until its handlers have returned
		p.send(`42/a,["x"]`, `42/a,["x"]`, `42/a,["x"]`, `42/b,["x"]`, `42/b,["x"]`, `42/b,["x"]`)
		synctest.Wait()
		if l := loadOf(a); !l.held || l.events != 5 {
			t.Errorf("load %+v", l)
		}
		close(open)
		n := map[string]int{}
		for range 6 {
			n[receive(t, seen)]++
		}
		if n["/a"] != 3 || n["/b"] != 3 {
			t.Errorf("handled %v", n)
		}
	})
}

// Reading goes on when half of the limit is free, however long the rest takes.
func TestReadingResumesAtHalf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{QueueEvents: 4})
		stay, steps := make(chan struct{}), make(chan struct{})
		seen := make(chan int, 20)
		On0(r.srv.Of("/slow"), "x", func(context.Context, *Socket) error { <-stay; return nil })
		On(r.srv, "x", func(_ context.Context, _ *Socket, i int) error { <-steps; seen <- i; return nil })
		p := r.websocket()
		s := p.join("/")
		p.join("/slow")
		all := []string{`42/slow,["x"]`}
		for i := range 8 {
			all = append(all, fmt.Sprintf(`42["x",%d]`, i))
		}
		p.together(all...) // what is read at once is what counts
		synctest.Wait()
		// Four or five wait, which depends on who is faster. At two the next ones are read.
		for before, more := int32(0), false; !more; {
			l := loadOf(s)
			more = before > 0 && l.events > before
			if !l.held || l.events < 3 || more && before != 3 {
				t.Fatalf("load %+v after %d events", l, before)
			}
			before = l.events
			steps <- struct{}{}
			synctest.Wait()
		}
		close(steps)
		for i := range 8 {
			wantFrom(t, seen, i)
		}
		close(stay)
	})
}

// A client may go away while its connection is paused.
func TestClientGoneWhilePaused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{QueueEvents: 2}
		r := memory(t, cfg)
		open := make(chan struct{})
		gone := make(chan Reason, 1)
		handled := 0
		On0(r.srv, "x", func(context.Context, *Socket) error { <-open; handled++; return nil })
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
		p, _ := r.join()
		for range 10 {
			p.send(`42["x"]`)
		}
		p.close()
		synctest.Wait()
		close(open)
		wantFrom(t, gone, TransportClose)
		if handled != 10 {
			t.Errorf("%d of 10 events were handled", handled)
		}
	})
}

// While a Call waits, more is read, but not without limit.
func TestFloodWhileCallingIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const limit = 4
		r := memory(t, Config{QueueEvents: limit})
		On0(r.srv, "flood", func(context.Context, *Socket) error { return nil })
		OnAck0(r.srv, "start", func(ctx context.Context, s *Socket) (int, error) {
			return Call[int](ctx, s.Timeout(time.Second), "ask")
		})
		p, s := r.join()
		p.send(`421["start"]`)
		p.want(`420["ask"]`)
		for range 20 * limit {
			p.send(`42["flood"]`)
		}
		p.send(`430[1]`) // too far behind
		synctest.Wait()
		if l := loadOf(s); !l.held || l.events > whileCalling*limit+1 || l.events < whileCalling*limit {
			t.Errorf("load %+v", l)
		}
		p.want(`431[{"error":{"message":"internal error"}}]`)
		r.wantSettled(s)
		if l := loadOf(s); l != (load{}) {
			t.Errorf("load %+v", l)
		}
	})
}

func TestCloseWhenFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{}
		cfg.Engine.SendBuffer = 64 << 10
		r := memory(t, cfg)
		gone := make(chan Reason, 3)
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
		for _, open := range []func() *peer{r.websocket, r.polling} {
			s := open().join("/")
			q, _ := r.join()
			var err error
			for n := 0; err == nil && n < 100; n++ {
				err = s.Emit("fill", strings.Repeat("x", 16<<10))
				synctest.Wait()
			}
			wantErr(t, err, ErrBufferFull)
			wantFrom(t, gone, SlowClient)
			wantErr(t, s.Emit("after"), ErrClosed)
			must(t, q.r.srv.Emit("others are fine"))
			q.want(`42["others are fine"]`)

			// The same for a broadcast, whose sender sees nothing of it.
			s = open().join("/")
			for n := 0; s.Connected() && n < 100; n++ {
				must(t, s.To(s.ID()).Emit("x"))
				must(t, r.srv.To(s.ID()).Emit("fill", strings.Repeat("x", 16<<10)))
				synctest.Wait()
			}
			wantFrom(t, gone, SlowClient)
			q.close()
			wantFrom(t, gone, TransportClose)
		}
	})
}

func TestDropWhenFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{WhenFull: DropWhenFull}
		cfg.Engine.SendBuffer = 64 << 10
		r := memory(t, cfg)
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) {
			if reason == SlowClient {
				t.Error("closed")
			}
		})
		for _, open := range []func() *peer{r.websocket, r.polling} {
			p := open()
			s := p.join("/")
			fill := strings.Repeat("x", 16<<10)
			sent := 0
			for ; ; sent++ {
				err := s.Emit("fill", sent, fill)
				synctest.Wait()
				if errors.Is(err, ErrBufferFull) {
					break
				}
				must(t, err)
			}
			must(t, r.srv.To(s.ID()).Emit("fill", -1, fill)) // dropped, too
			for i := range sent {
				p.want(fmt.Sprintf(`42["fill",%d,"%s"]`, i, fill))
			}
			must(t, s.Emit("after"))
			p.want(`42["after"]`)
		}
	})
}
