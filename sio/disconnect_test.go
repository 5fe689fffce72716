package sio

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDisconnectReasons(t *testing.T) {
	for _, test := range []struct {
		want Reason
		end  func(r *rig, p *peer, s *Socket)
	}{
		{TransportClose, func(_ *rig, p *peer, _ *Socket) { p.close() }},
		{TransportError, func(_ *rig, p *peer, _ *Socket) { p.send("2probe") }}, // the server sends PINGs
		{ParseError, func(_ *rig, p *peer, _ *Socket) { p.send("garbage") }},
		{ForcedClose, func(_ *rig, p *peer, _ *Socket) { p.send("42{}") }},
		{ForcedClose, func(_ *rig, _ *peer, s *Socket) { s.Conn().Close("forced close") }},
		{PingTimeout, func(_ *rig, p *peer, _ *Socket) {
			p.mute = true
			p.want("2")
			time.Sleep(21 * time.Second)
		}},
		{ClientDisconnect, func(_ *rig, p *peer, _ *Socket) { p.send("41") }},
		{ServerDisconnect, func(_ *rig, _ *peer, s *Socket) { s.Disconnect(false) }},
		{ServerDisconnect, func(_ *rig, _ *peer, s *Socket) { s.Disconnect(true) }},
		{ServerShutdown, func(r *rig, _ *peer, _ *Socket) { r.srv.Close() }},
		{SlowClient, func(_ *rig, _ *peer, s *Socket) { s.Emit("big", make([]byte, 5<<20)) }},
	} {
		t.Run(string(test.want), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				cfg := Config{}
				cfg.Engine.PingInterval = 10 * time.Second // within patience
				r := memory(t, cfg)
				gone := make(chan Reason, 2)
				r.srv.OnDisconnect(func(s *Socket, reason Reason) {
					rooms := s.Rooms() // still readable
					slices.Sort(rooms)
					want := []string{"room", s.ID()}
					slices.Sort(want)
					if !slices.Equal(rooms, want) {
						t.Errorf("rooms %q", rooms)
					}
					if s.Connected() || context.Cause(s.Context()) != reason {
						t.Errorf("connected %v, cause %v", s.Connected(), context.Cause(s.Context()))
					}
					wantErr(t, s.Emit("x"), ErrClosed)
					gone <- reason
				})
				p, s := r.join()
				must(t, s.Join("room"))
				s.SetData("kept")
				test.end(r, p, s)
				wantFrom(t, gone, test.want)
				synctest.Wait()
				if len(s.Rooms()) > 0 || r.srv.root.index.HasRoom("room") || r.srv.Socket(s.ID()) != nil {
					t.Errorf("after the disconnect: rooms %q", s.Rooms())
				}
				// Whatever is called later does nothing.
				wantErr(t, s.Emit("x"), ErrClosed)
				wantErr(t, s.Join("x"), ErrClosed)
				s.Leave("room")
				s.Disconnect(false)
				s.Disconnect(true)
				if s.Data() != "kept" || s.Handshake().Auth(new(int)) != nil {
					t.Error("data and auth should stay")
				}
				wantNone(t, gone)
			})
		})
	}
}

func TestQueuedEventsAreHandledBeforeTheDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		open := make(chan struct{})
		seen := make(chan string, 10)
		On(r.srv, "n", func(ctx context.Context, _ *Socket, n int) error {
			<-open
			seen <- fmt.Sprint(n, ctx.Err() != nil)
			return nil
		})
		r.srv.OnDisconnect(func(*Socket, Reason) { seen <- "disconnect" })
		p, _ := r.join()
		p.send(`42["n",1]`, `42["n",2]`, `42["n",3]`)
		p.close()
		synctest.Wait()
		close(open)
		wantFrom(t, seen, "1 true", "2 true", "3 true", "disconnect")
	})
}

// Emit before Disconnect arrives before it.
func TestWhatWasSentBeforeArrives(t *testing.T) {
	r := loopback(t, Config{})
	ns := r.srv.Of("/b")
	for _, transport := range []func() *peer{r.websocket, r.polling} {
		p := transport()
		s, o := p.join("/"), p.join("/b")
		must(t, s.Emit("last"))
		must(t, ns.Emit("last"))
		s.Disconnect(true)
		p.want(`42["last"]`, `42/b,["last"]`)
		got := []string{p.next().data, p.next().data}
		if slices.Sort(got); !slices.Equal(got, []string{"41", "41/b,"}) { // each namespace is told
			t.Errorf("got %q", got)
		}
		p.wantEnd()
		eventually(t, "both are gone", func() bool { return !s.Connected() && !o.Connected() })
		wantErr(t, context.Cause(s.Context()), ServerDisconnect)
		wantErr(t, context.Cause(o.Context()), ServerDisconnect)
	}
}

func TestDisconnectOfOneNamespaceLeavesTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		OnAck0(r.srv.Of("/b"), "alive", func(context.Context, *Socket) (bool, error) { return true, nil })
		p := r.websocket()
		s := p.join("/")
		p.join("/b")
		s.Disconnect(false)
		p.want("41")
		p.send(`42/b,1["alive"]`)
		p.want(`43/b,1[true]`)
	})
}

func TestDisconnectFromHandlers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		var gone atomic.Int32
		r.srv.OnDisconnect(func(s *Socket, _ Reason) {
			gone.Add(1)
			s.Disconnect(true) // it has left: this does not concern the connection
		})
		OnAck(r.srv, "bye", func(_ context.Context, s *Socket, all bool) (int, error) { s.Disconnect(all); return 1, nil })
		p, _ := r.join()
		p.send(`421["bye",false]`)
		p.want("41") // the answer is not sent any more
		p.join("/")
		p.send(`421["bye",true]`)
		p.want("41")
		p.wantEnd()
		synctest.Wait()
		if gone.Load() != 2 {
			t.Errorf("%d disconnects", gone.Load())
		}
	})
}

func TestConcurrentDisconnects(t *testing.T) {
	r := loopback(t, Config{})
	var gone atomic.Int32
	r.srv.OnDisconnect(func(*Socket, Reason) { gone.Add(1) })
	for round := range 50 {
		p, s := r.join()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				switch i % 4 {
				case 0:
					s.Disconnect(false)
				case 1:
					s.Disconnect(true)
				case 2:
					r.srv.To(s.ID()).Disconnect(false)
				case 3:
					p.close()
				}
			})
		}
		wg.Wait()
		eventually(t, "the disconnect handler has run", func() bool { return gone.Load() >= int32(round+1) })
	}
	eventually(t, "all connections are gone", func() bool { return r.srv.Engine().Sessions() == 0 })
	if gone.Load() != 50 {
		t.Errorf("%d disconnects of 50 sockets", gone.Load())
	}
}

// The client is told once, however many disconnect it.
func TestConcurrentDisconnectsTellTheClientOnce(t *testing.T) {
	r := loopback(t, Config{})
	r.srv.Of("/marker")
	p := r.websocket()
	for range 100 {
		s := p.join("/")
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { s.Disconnect(false) })
		}
		p.want("41")
		wg.Wait()
		p.join("/marker")
		p.send("41/marker")
	}
}

func TestContextIsMadeOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		_, s := r.join()
		if s.Context() != s.Context() || s.Context().Err() != nil {
			t.Error("the context should be one and alive")
		}
	})
}

// A socket that has left stays in its rooms until its last handler is done, but
// nobody finds it there.
func TestSelectionsLeaveOutWhoHasLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		open := make(chan struct{})
		On0(r.srv, "stuck", func(context.Context, *Socket) error { <-open; return nil })
		p, s := r.join()
		must(t, s.Join("room"))
		p.send(`42["stuck"]`)
		synctest.Wait()
		s.Disconnect(false)
		p.want("41")
		must(t, r.srv.Emit("x"))
		must(t, r.srv.To("room").Emit("x"))
		p.wantNothing()
		for o := range r.srv.To("room").Sockets() {
			t.Errorf("found %s", o.ID())
		}
		if r.srv.Socket(s.ID()) != nil {
			t.Error("found by its id")
		}
		if _, err := Call[int](context.Background(), r.srv.To("room"), "x"); err != ErrNoReceivers {
			t.Errorf("asking it: %v", err)
		}
		close(open)
	})
}
