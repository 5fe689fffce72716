package sio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/eio"
)

func TestRecoveryOnTheWire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		r.srv.Of("/custom")
		for _, nsp := range []string{"/", "/custom"} {
			ns := r.srv.Of(nsp)
			c := r.traveller(nsp)
			if len(c.pid) != 20 || c.pid == c.sid || c.recovered {
				t.Fatalf("pid %q, sid %q", c.pid, c.sid)
			}
			s := c.socket()
			must(t, s.Join("room"))
			p := "42" + prefix(nsp)

			// What has an offset.
			must(t, s.Emit("one", 1))
			must(t, ns.Emit("two"))
			must(t, ns.To("room").Emit("three", "x"))
			must(t, s.Compress(false).Emit("four", nil))
			c.wantEvents(p+`["one",1]`, p+`["two"]`, p+`["three","x"]`, p+`["four",null]`)
			must(t, s.Emit("bin", []byte{1, 2}))
			got := c.next().data
			if c.took(strings.Replace(got, "451-", "42", 1)) != p+`["bin",{"_placeholder":true,"num":0}]` {
				t.Errorf("got %q", got)
			}
			c.wantBinary("\x01\x02")

			// What has none. Volatile ones need a connection that is not busy.
			synctest.Wait()
			must(t, s.Volatile().Emit("volatile", 1))
			c.want(p + `["volatile",1]`)
			synctest.Wait()
			must(t, ns.Volatile().Emit("volatile", 2))
			c.want(p + `["volatile",2]`)
			done := make(chan error, 1)
			go func() {
				_, err := Call[None](context.Background(), s, "ask", 3)
				done <- err
			}()
			c.want("42" + prefix(nsp) + `0["ask",3]`)
			c.send("43" + prefix(nsp) + `0[]`)
			must(t, receive(t, done))

			// What was missed comes first.
			c.lose()
			must(t, ns.Emit("missed", 1))
			must(t, ns.Volatile().Emit("volatile", 3))
			must(t, ns.To("room", "other").Emit("missed", 2))
			must(t, ns.To("other").Emit("missed", -1))
			must(t, ns.Except("room").Emit("missed", -2))
			must(t, ns.To(c.sid).Emit("missed", 3))
			must(t, s.Emit("missed", 4)) // the socket from before
			must(t, s.Broadcast().Emit("missed", -3))
			c.wantBack()
			c.wantEarly(p+`["missed",1]`, p+`["missed",2]`, p+`["missed",3]`, p+`["missed",4]`)
			must(t, ns.To("room").Emit("live"))
			c.wantEvents(p + `["live"]`)
			must(t, s.Emit("by the old one"))
			c.wantEvents(p + `["by the old one"]`)
			c.wantNothing()
		}
	})
}

func TestRecoveryRestores(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		type user struct{ name string }
		events := make(chan string, 10)
		r.srv.Use(func(_ context.Context, s *Socket) error {
			events <- "middleware"
			s.SetData(&user{"ada"})
			return nil
		})
		r.srv.OnConnect(func(_ context.Context, s *Socket) error {
			u, _ := DataOf[*user](s)
			var err error
			if !s.Recovered() {
				err = s.Join("a", "b")
			}
			events <- fmt.Sprint("connect ", s.Recovered(), u.name)
			return err
		})
		r.srv.OnDisconnect(func(s *Socket, reason Reason) { events <- string(reason) })
		c := r.traveller("/")
		s := c.socket()
		wantFrom(t, events, "middleware", "connect falseada")
		rooms := s.Rooms()
		slices.Sort(rooms)
		for range 3 {
			c.lose()
			wantFrom(t, events, "transport close")
			s = c.wantBack()
			wantFrom(t, events, "connect trueada")
			got := s.Rooms()
			slices.Sort(got)
			if !slices.Equal(got, rooms) {
				t.Errorf("rooms %q, want %q", got, rooms)
			}
			must(t, r.srv.To("b").Emit("to the room"))
			c.wantEvents(`42["to the room"]`)
		}
		wantNone(t, events)

		// A socket that has left its own room stays out of it.
		s.Leave(s.ID())
		c.lose()
		must(t, r.srv.To(c.sid).Emit("to its own room"))
		must(t, s.Emit("to itself"))
		s = c.wantBack()
		c.wantEarly(`42["to itself"]`)
		if slices.Contains(s.Rooms(), s.ID()) {
			t.Errorf("rooms %q", s.Rooms())
		}
		must(t, s.Emit("to itself"))
		c.wantEvents(`42["to itself"]`)
	})
}

// A client that has got no event yet has no offset to come back with.
func TestRecoveryBeforeTheFirstEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		r.traveller("/")
		must(t, r.srv.Emit("too early"))
		c := r.traveller("/")
		for range 3 {
			c.lose()
			c.wantBack()
			c.wantEarly()
		}
		c.lose()
		must(t, r.srv.Emit("one"))
		c.wantBack()
		c.wantEarly(`42["one"]`)
		c.lose()
		c.wantBack()
		c.wantEarly()
		c.wantNothing()
	})
}

// Who leaves on purpose, or is made to, does not come back.
func TestRecoveryOnlyAfterLosses(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(r *rig, c *traveller)
		back bool
	}{
		{"client leaves", func(_ *rig, c *traveller) { c.send("41"); synctest.Wait(); c.lose() }, false},
		{"server disconnects", func(_ *rig, c *traveller) { c.socket().Disconnect(false); c.want("41"); c.lose() }, false},
		{"server closes", func(_ *rig, c *traveller) { c.socket().Disconnect(true); synctest.Wait() }, false},
		{"parse error", func(_ *rig, c *traveller) { c.send("x"); synctest.Wait() }, false},
		{"connection lost", func(_ *rig, c *traveller) { c.lose() }, true},
		{"client closes", func(_ *rig, c *traveller) { c.send("1"); synctest.Wait() }, true},
		{"violation", func(_ *rig, c *traveller) { c.send("42{}"); synctest.Wait() }, true},
		{"engine closed", func(_ *rig, c *traveller) { c.socket().Conn().Close(eio.ForcedClose); synctest.Wait() }, true},
		{"ping timeout", func(*rig, *traveller) { time.Sleep(46 * time.Second) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := memory(t, withRecovery(Config{}))
				reasons := make(chan Reason, 1)
				r.srv.OnDisconnect(func(_ *Socket, reason Reason) { reasons <- reason })
				c := r.traveller("/")
				s := c.socket()
				must(t, s.Emit("first"))
				c.wantEvents(`42["first"]`)
				test.end(r, c)
				if got := receive(t, reasons); got.recoverable() != test.back {
					t.Fatalf("the reason was %q", got)
				}
				if err := s.Emit("missed"); errors.Is(err, ErrClosed) == test.back {
					t.Errorf("Emit returned %v", err)
				}
				if test.back {
					c.wantBack()
					c.wantEarly(`42["missed"]`)
				} else {
					c.wantStranger()
				}
			})
		})
	}
}

func TestRecoveryRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		r.srv.Of("/other")
		first := func() *traveller {
			c := r.traveller("/")
			must(t, c.socket().Emit("first"))
			c.wantEvents(`42["first"]`)
			c.lose()
			return c
		}
		str := func(s string) *string { return &s }
		for name, change := range map[string]func(*traveller){
			"pid of nobody":           func(c *traveller) { c.pid = "01234567890123456789" },
			"no pid":                  func(c *traveller) { c.pid = "" },
			"long pid":                func(c *traveller) { c.pid = strings.Repeat("x", 100_000) },
			"empty offset":            func(c *traveller) { c.last = str("") },
			"strange offset":          func(c *traveller) { c.last = str("strange") },
			"long offset":             func(c *traveller) { c.last = str(strings.Repeat("x", 100_000)) },
			"offset of another log":   func(c *traveller) { c.last = str("????" + (*c.last)[4:]) },
			"offset to come":          func(c *traveller) { c.last = str((*c.last)[:4] + "zzzzzzzz") },
			"offset in wrong letters": func(c *traveller) { c.last = str((*c.last)[:11] + "*") },
			"offset is a number":      func(c *traveller) { c.auth = `,"offset":7` },
			"offset is an object":     func(c *traveller) { c.auth = `,"offset":{"pid":1}` },
			"pid is a list":           func(c *traveller) { c.auth = `,"pid":["x"]` },
			"other namespace":         func(c *traveller) { c.nsp = "/other" },
		} {
			t.Log(name)
			c := first()
			change(c)
			c.wantStranger()
			must(t, c.socket().Emit("alive"))
			c.wantEvents("42" + prefix(c.nsp) + `["alive"]`)
		}

		// Once is enough, and it is used up also by an attempt that fails.
		c := first()
		twin := *c
		c.wantBack()
		c.send("41")
		synctest.Wait()
		twin.wantStranger()
		c = first()
		twin = *c
		c.last = str("strange")
		c.wantStranger()
		twin.wantStranger()
	})
}

// A client is told nothing that was said before it came.
func TestRecoveryFromBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		old := r.traveller("/")
		must(t, r.srv.Emit("one"))
		old.wantEvents(`42["one"]`)
		must(t, r.srv.Emit("two"))
		c := r.traveller("/")
		for range 2 {
			c.lose()
			c.last = old.last
			c.wantBack()
			c.wantEarly()
		}
		must(t, r.srv.Emit("three"))
		c.wantEvents(`42["three"]`)
	})
}

func TestRecoveryEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{Recovery: &Recovery{MaxDisconnection: time.Minute}}))
		c := r.traveller("/")
		s := c.socket()
		c.lose()
		time.Sleep(59 * time.Second)
		must(t, s.Emit("just in time"))
		s = c.wantBack()
		c.wantEarly(`42["just in time"]`)
		c.lose()
		time.Sleep(61 * time.Second)
		wantErr(t, s.Emit("too late"), ErrClosed)
		c.wantStranger()
	})
}

// A child without sockets waits for those who may come back, and goes in the end.
func TestRecoveryInAChild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		r.srv.Of("/tenant/{id}")
		c := r.traveller("/tenant/7")
		for range 3 {
			s := c.socket()
			must(t, s.Join("room"))
			c.lose()
			time.Sleep(time.Minute)
			must(t, r.srv.namespace("/tenant/7").To("room").Emit("missed"))
			c.wantBack()
			c.wantEarly(`42/tenant/7,["missed"]`)
			time.Sleep(30 * time.Second)
		}
		c.lose()
		time.Sleep(3 * time.Minute)
		if r.srv.namespace("/tenant/7") != nil {
			t.Error("the namespace is still there")
		}
		c.wantStranger()
		c.send("41/tenant/7")
		time.Sleep(3 * time.Minute)
		if r.srv.namespace("/tenant/7") != nil {
			t.Error("the namespace is still there after its client has left")
		}

		// Anybody can make them, so there are not many.
		for i := range maxLingering + 10 {
			r.traveller(fmt.Sprint("/tenant/", i)).close()
		}
		synctest.Wait()
		n := 0
		for range r.srv.Namespaces() {
			n++
		}
		if n != maxLingering+1 {
			t.Errorf("%d namespaces", n)
		}
	})
}

// Old clients see nothing of it.
func TestRecoveryOldClients(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := withRecovery(Config{})
		cfg.Engine.AllowEIO3 = true
		r := memory(t, cfg)
		c := r.traveller("/")
		old, s := r.oldJoined("")
		must(t, r.srv.Emit("all", 1))
		must(t, r.srv.Emit("none"))
		must(t, s.Emit("one", "x"))
		old.want(`42["all",1]`, `42["none"]`, `42["one","x"]`)
		must(t, r.srv.Emit("bin", []byte{1}))
		old.want(`451-["bin",{"_placeholder":true,"num":0}]`)
		c.wantEvents(`42["all",1]`, `42["none"]`)
	})
}

// noRecovery is an adapter without it.
type noRecovery struct{ adapter.Adapter }

// unwilling is one that could, but not as it is.
type unwilling struct{ *adapter.Memory }

func (unwilling) EnableRecovery(adapter.RecoveryHost, adapter.RecoveryConfig) error {
	return errors.New("not with this broker")
}

func TestRecoveryNeedsAnAdapter(t *testing.T) {
	for _, test := range []struct {
		factory adapter.Factory
		problem string
	}{
		{func(adapter.Host) adapter.Adapter { return noRecovery{adapter.NewMemory(adapter.Config{})} }, "noRecovery"},
		{func(adapter.Host) adapter.Adapter { return unwilling{adapter.NewMemory(adapter.Config{})} }, "not with this broker"},
	} {
		_, err := New(Config{Recovery: new(Recovery), Adapter: test.factory})
		e, ok := errors.AsType[*ConfigError](err)
		if !ok || e.Field != "Recovery" || !strings.Contains(e.Problem, test.problem) {
			t.Errorf("got %v", err)
		}
	}
	_, err := New(Config{Recovery: &Recovery{MaxDisconnection: -1, LogPackets: -1, LogBytes: -1, Sessions: -1}})
	for _, field := range []string{"MaxDisconnection", "LogPackets", "LogBytes", "Sessions"} {
		if err == nil || !strings.Contains(err.Error(), "Config.Recovery."+field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}
