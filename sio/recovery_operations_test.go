package sio

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
)

// What is sent through the log of recovery, and who comes back, is told and counted like everything
// else.
func TestRecoveryIsObserved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var l told
		hooks := recordHooks(&l)
		hooks.Connect, hooks.Disconnect = nil, nil
		hooks.Recover = func(s *Socket, missed int, took time.Duration, err error) {
			l.add("recover %v %d %v %v", s.Recovered(), missed, took, err)
		}
		r := memory(t, withRecovery(Config{Hooks: hooks, CountTraffic: true}))
		c := r.traveller("/")
		s := c.socket()
		s.HandleAnyOutgoing(func(_ *Socket, event string, _ []any) { l.add("out %s", event) })
		l.want(t)
		must(t, s.Emit("a", 1))
		synctest.Wait()
		must(t, s.Volatile().Emit("v"))
		must(t, r.srv.Emit("b"))
		synctest.Wait()
		first := c.next().data
		c.took(first)
		c.want(`42["v"]`)
		second := c.next().data
		c.took(second)
		l.want(t, "out a", fmt.Sprintf("emit a %d <nil>", 2+len(first)), "out v", "emit v 9 <nil>",
			fmt.Sprintf("broadcast / b 1 %d <nil>", 2+len(second)), "out b")
		sent := 2 + len(first) + 9 + 2 + len(second)
		if st := r.srv.Stats(); st.PacketsSent != 3 || st.BytesSent != int64(sent) {
			t.Errorf("%d packets of %d bytes sent, want 3 of %d", st.PacketsSent, st.BytesSent, sent)
		}

		c.lose()
		must(t, r.srv.Emit("c"))
		must(t, s.Emit("d"))
		l.want(t, fmt.Sprintf("broadcast / c 0 %d <nil>", 2+len(second)), "out d", fmt.Sprintf("emit d %d <nil>", 2+len(second)))
		c.wantBack()
		c.wantEarly(`42["c"]`, `42["d"]`)
		l.want(t, "recover true 2 0s <nil>")
		sent += 2 * (2 + len(second))
		if st := r.srv.Stats(); st.Recovered != 1 || st.RecoveryFailed != 0 || st.PacketsSent != 5 || st.BytesSent != int64(sent) {
			t.Errorf("%d recovered, %d not, %d packets of %d bytes sent, want 5 of %d", st.Recovered, st.RecoveryFailed, st.PacketsSent, st.BytesSent, sent)
		}

		c.lose()
		time.Sleep(time.Hour)
		c.wantStranger()
		l.want(t, "recover false 0 0s adapter: no such session")
		if st := r.srv.Stats(); st.Recovered != 1 || st.RecoveryFailed != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// The policies for full buffers hold for events of the log.
func TestRecoveryWhenFull(t *testing.T) {
	for _, how := range []string{"emit", "broadcast", "old client"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				cfg := withRecovery(smallBuffer(CloseWhenFull))
				drops := 0
				cfg.Hooks.Drop = func(_ *Socket, packets int) { drops += packets }
				cfg.Engine.AllowEIO3 = true
				r := memory(t, cfg)
				var p *peer
				var s *Socket
				if how == "old client" { // gets the events without offsets
					p, s = r.oldJoined("")
				} else {
					c := r.traveller("/")
					p, s = c.peer, c.socket()
				}
				emit := s.WhenFull(DropOldestWhenFull).Emit
				if how != "emit" {
					emit = r.srv.WhenFull(DropOldestWhenFull).Emit
				}
				const n = 40
				for i := range n {
					must(t, emit("n", i, fill))
					synctest.Wait()
				}
				got := p.readNumbers(n - 1)
				if len(got)+drops != n || drops == 0 || len(got) < 4 {
					t.Errorf("%d arrived, %d were dropped", len(got), drops)
				}

				drop := s.WhenFull(DropWhenFull).Emit
				before, arrived := drops, 0
				var err error
				for ; err == nil; arrived++ {
					err = drop("m", arrived, fill)
					synctest.Wait()
				}
				wantErr(t, err, ErrBufferFull)
				if drops != before+1 || !s.Connected() {
					t.Errorf("%d packets were dropped, connected: %v", drops-before, s.Connected())
				}
				gone := make(chan Reason, 1)
				s.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
				wantErr(t, s.Emit("m", -1, fill), ErrBufferFull)
				wantFrom(t, gone, SlowClient)
			})
		})
	}
}

// A volatile event has no offset and goes past the log, with the same policy as others.
func TestRecoveryVolatileIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var l told
		cfg := withRecovery(smallBuffer(DropWhenFull))
		cfg.Hooks.Emit = func(_ *Socket, event string, _ int, err error) { l.add("%s %v", event, err) }
		r := memory(t, cfg)
		s := r.traveller("/").socket()
		big := strings.Repeat("x", 60<<10)
		for must(t, s.Emit("n", big)); ; {
			synctest.Wait() // what fits has left
			if s.Emit("n", big) != nil {
				break
			}
		}
		l.mu.Lock()
		l.list = nil
		l.mu.Unlock()
		wantErr(t, s.Volatile().Emit("v"), ErrDropped)
		l.want(t, "v "+ErrDropped.Error())
	})
}

// A session from a server that allows more rooms cannot be had back here; its client starts afresh.
func TestRecoveryOfTooManyRooms(t *testing.T) {
	for _, middlewares := range []bool{false, true} {
		t.Run(fmt.Sprint(middlewares), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, Config{MaxRooms: 2, Recovery: &Recovery{RunMiddlewares: middlewares}})
				r.srv.Use(func(ctx context.Context, s *Socket) error { return nil })
				c := r.traveller("/")
				must(t, c.socket().Join("a", "b"))
				c.lose()
				c.wantBack()
				r.srv.root.index.LimitRooms(0)
				must(t, c.socket().Join("c"))
				r.srv.root.index.LimitRooms(2)
				c.lose()
				c.wantStranger()
				r.wantLog("client not recovered", ErrTooManyRooms.Error())
			})
		})
	}
}

// Hooks that are told of rooms run without the log's lock, which connecting and coming back take: they may send.
func TestRecoveryRoomHooksMaySend(t *testing.T) {
	r := loopback(t, withRecovery(Config{}))
	joined := make(chan string, 10)
	r.srv.Of("/").Adapter().Index().Observe(func(e adapter.RoomEvent) {
		if e.Kind != adapter.JoinRoom {
			return
		}
		sent := make(chan error, 1)
		go func() { sent <- r.srv.To("nobody").Emit("hook", e.Room) }()
		select {
		case err := <-sent:
			must(t, err)
		case <-time.After(patience):
			t.Error("a hook runs under the lock")
		}
		joined <- e.Room
	})
	c := r.traveller("/")
	s := c.socket()
	wantFrom(t, joined, s.ID())
	must(t, s.Join("room"))
	wantFrom(t, joined, "room")
	must(t, r.srv.Emit("one"))
	c.wantEvents(`42["one"]`)
	c.close()
	c.wantBack()
	if a, b := receive(t, joined), receive(t, joined); a+b != s.ID()+"room" && b+a != s.ID()+"room" {
		t.Errorf("joined %q and %q", a, b)
	}
}
