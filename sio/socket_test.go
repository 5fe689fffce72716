package sio

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/eio"
)

func TestConfigCanBeRead(t *testing.T) {
	srv, err := New(Config{QueueEvents: 7, ServerID: "blue-1", Engine: eio.Config{PingTimeout: time.Second}})
	must(t, err)
	defer srv.Close()
	c := srv.Config()
	if c.QueueEvents != 7 || c.QueueBytes != DefaultQueueBytes || c.Parser != codec.JSON || c.ServerID != "blue-1" ||
		c.Engine.Path != "/socket.io/" || c.Engine.PingTimeout != time.Second || c.Engine.PingInterval != eio.DefaultPingInterval {
		t.Errorf("got %+v", c)
	}
	if srv.ID() != "blue-1" {
		t.Errorf("the server is called %q", srv.ID())
	}
	other, err := New(Config{})
	must(t, err)
	defer other.Close()
	third, err := New(Config{})
	must(t, err)
	defer third.Close()
	if len(other.ID()) != 20 || other.ID() == third.ID() {
		t.Errorf("ids %q and %q", other.ID(), third.ID())
	}
}

// What is read can be used for another server, which does nothing twice.
func TestConfigCanBeUsedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := make(chan struct{}, 10)
		cfg := Config{OnSlow: func(*Socket, int) { slow <- struct{}{} }}
		cfg.Engine.Flow.HighWater = 32 << 10
		first, err := New(cfg)
		must(t, err)
		first.Close()
		r := memory(t, first.Config())
		_, s := r.join()
		for i := range lag {
			must(t, s.Emit("n", i, fill))
			synctest.Wait()
		}
		time.Sleep(time.Second)
		if len(slow) != 1 {
			t.Errorf("told %d times", len(slow))
		}
	})
}

func TestProtocolOfASocket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, allowOld)
		_, s := r.join()
		_, old := r.oldJoined("")
		if s.Protocol() != 5 || old.Protocol() != 4 {
			t.Errorf("protocols %d and %d", s.Protocol(), old.Protocol())
		}
	})
}

func TestLeaveAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		p, s := r.join()
		must(t, s.Join("a", "b", "c"))
		s.LeaveAll()
		if rooms := s.Rooms(); !slices.Equal(rooms, []string{s.ID()}) {
			t.Errorf("rooms %q", rooms)
		}
		must(t, r.srv.To("a", "b", "c").Emit("nobody"))
		must(t, r.srv.To(s.ID()).Emit("found"))
		p.want(`42["found"]`)
		s.Leave(s.ID())
		s.LeaveAll() // of none
		if rooms := s.Rooms(); len(rooms) != 0 {
			t.Errorf("rooms %q", rooms)
		}
	})
}

func TestWithin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, Config{})
		peers, s := r.clients(3)
		must(t, s[0].Join("x"))
		must(t, s[1].Join("x"))
		must(t, s[2].Join("y"))
		must(t, s[0].To("x").Emit("without"))
		must(t, s[0].Within("x").Emit("with"))
		must(t, s[0].Broadcast().Within("x").Emit("with"))
		must(t, s[0].Timeout(1).Within("x").Compress(false).Emit("with"))
		must(t, s[0].To("y").Within("x").Emit("both"))
		must(t, s[2].Within("x").Emit("not a member"))
		peers[1].want(`42["without"]`)
		for _, p := range peers[:2] {
			p.want(`42["with"]`, `42["with"]`, `42["with"]`, `42["both"]`, `42["not a member"]`)
			p.wantNothing()
		}
		peers[2].want(`42["both"]`)
		peers[2].wantNothing()
	})
}

// What AuthOf cannot decode refuses the client, without telling it why.
func TestAuthOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type creds struct{ Token string }
		r := memory(t, Config{})
		user := NewKey[string]("user")
		r.srv.Use(func(_ context.Context, s *Socket) error {
			c, err := AuthOf[creds](s)
			if err != nil {
				if e, ok := errors.AsType[*codec.DecodeError](err); !ok || e.Arg != -1 {
					t.Errorf("got %v", err)
				}
				return err
			}
			user.Set(s, "user of "+c.Token)
			return nil
		})
		OnAck0(r.srv, "user", func(_ context.Context, s *Socket) (string, error) { return user.Require(s) })
		p := r.websocket()
		p.join("/", `{"token":"t"}`)
		p.send(`421["user"]`)
		p.want(`431["user of t"]`)
		q := r.websocket()
		q.send(`40{"token":[1]}`)
		q.want(`44{"message":"connection refused"}`)
		w := r.websocket()
		w.join("/") // without any
	})
}

// A socket that the application keeps goes with the application's reference: nothing of the
// server holds one that has left, whatever was done with it.
func TestSocketsAreForgotten(t *testing.T) {
	r := loopback(t, Config{Engine: eio.Config{Portable: true}})
	kept := make(chan *Socket, 1)
	OnAck(r.srv, "echo", func(_ context.Context, s *Socket, v string) (string, error) { return v, nil })
	r.srv.OnDisconnect(func(s *Socket, _ Reason) { kept <- s })
	ref := func() weak.Pointer[Socket] {
		p, s := r.join()
		must(t, s.Join("room"))
		NewKey[*Socket]("itself").Set(s, s)
		s.SetData(s)
		On0(s, "own", func(context.Context, *Socket) error { return nil })
		s.Wrap(func(next Handler) Handler { return next })
		p.send(`421["echo","hello"]`, `42["own"]`)
		p.want(`431["hello"]`)
		must(t, r.srv.To("room").Emit("x"))
		p.want(`42["x"]`)
		done := make(chan error)
		go func() { _, err := Call[string](context.Background(), s, "ask"); done <- err }()
		got := p.next().data
		p.send("43" + strings.TrimSuffix(got[2:], `["ask"]`) + `["yes"]`)
		must(t, receive(t, done))
		p.close()
		return weak.Make(s)
	}()
	s := receive(t, kept)
	if ref.Value() != s || s.Connected() || s.Emit("x") == nil || s.Join("x") == nil || s.Reason() == "" {
		t.Error("a socket that is kept can still be asked")
	}
	s = nil
	eventually(t, "the socket is forgotten", func() bool {
		runtime.GC()
		return ref.Value() == nil
	})
}

// Answers of a cluster come one by one, with the ids of their sockets.
func TestGatherFromTheCluster(t *testing.T) {
	bubble(t, func(t *testing.T) {
		servers := cluster(t, 2, Config{AckTimeout: 5 * time.Second})
		want := map[string]int{}
		for i, r := range servers {
			p, s := r.join()
			want[s.ID()] = i
			go func() {
				got := p.next().data
				p.send("43" + strings.TrimSuffix(got[2:], `["n"]`) + "[" + string(rune('0'+i)) + `,"more"]`)
			}()
		}
		for a, err := range Gather[int](context.Background(), servers[0].srv, "n") {
			if n, ok := want[a.ID]; err != nil || !ok || n != a.Value {
				t.Errorf("got %+v %v", a, err)
			}
			delete(want, a.ID)
		}
		if len(want) != 0 {
			t.Errorf("no answer of %v", want)
		}
		synctest.Wait()
	})
}
