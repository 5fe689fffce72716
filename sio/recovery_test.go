package sio

import (
	"context"
	"encoding/json"
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

// traveller is a client that comes back: it keeps what the official one keeps. It
// belongs to one goroutine.
type traveller struct {
	*peer
	r    *rig
	nsp  string
	sid  string
	pid  string
	last *string // offset
	auth string  // more of the auth payload: `,"token":1`

	recovered bool
	early     []string // what came in front of the answer to CONNECT
}

func withRecovery(cfg Config) Config {
	if cfg.Recovery == nil {
		cfg.Recovery = new(Recovery)
	}
	return cfg
}

// traveller connects a client to the namespace.
func (r *rig) traveller(nsp string) *traveller {
	c := &traveller{r: r, nsp: nsp}
	c.connect(r.websocket())
	return c
}

// back is a new connection of a client that was away.
func (c *traveller) back() *traveller {
	c.r.t.Helper()
	c.connect(c.r.websocket())
	return c
}

// wantBack is back for a client that must be recovered.
func (c *traveller) wantBack() *Socket {
	c.r.t.Helper()
	sid := c.sid
	c.back()
	if !c.recovered || c.sid != sid {
		c.r.t.Fatalf("not recovered: %s is now %s\n%s", sid, c.sid, c.r.log)
	}
	s := c.socket()
	if s == nil || !s.Recovered() {
		c.r.t.Fatalf("the server's socket is %v", s)
	}
	return s
}

// wantStranger is back for a client that must not be recovered.
func (c *traveller) wantStranger() *Socket {
	c.r.t.Helper()
	sid := c.sid
	c.back()
	if c.recovered || c.sid == sid || len(c.early) > 0 {
		c.r.t.Fatalf("recovered %s (%s), got %q before", sid, c.sid, c.early)
	}
	s := c.socket()
	if s == nil || s.Recovered() {
		c.r.t.Fatalf("the server's socket is %v", s)
	}
	return s
}

// connect joins the namespace as the official client does.
func (c *traveller) connect(p *peer) {
	c.r.t.Helper()
	c.peer = p
	auth := c.auth
	if c.pid != "" {
		auth = `,"pid":"` + c.pid + `"` + auth
		if c.last != nil {
			text, err := json.Marshal(c.last)
			must(c.r.t, err)
			auth = `,"offset":` + string(text) + auth
		}
	}
	if auth != "" {
		auth = "{" + auth[1:] + "}"
	}
	p.send("40" + prefix(c.nsp) + auth)
	c.early = nil
	for {
		got := p.next().data
		body, ok := strings.CutPrefix(got, "40"+prefix(c.nsp))
		if !ok {
			c.early = append(c.early, got)
			continue
		}
		var reply struct{ SID, PID string }
		must(c.r.t, json.Unmarshal([]byte(body), &reply))
		c.recovered = c.pid == reply.PID
		c.sid, c.pid = reply.SID, reply.PID
		break
	}
	for _, e := range c.early {
		c.took(e)
	}
}

// took notes the offset of an event, as the official client does, and returns the event
// without it.
func (c *traveller) took(packet string) string {
	c.r.t.Helper()
	body, ok := strings.CutPrefix(packet, "42"+prefix(c.nsp))
	if !ok || body[0] != '[' {
		return packet
	}
	var args []json.RawMessage
	must(c.r.t, json.Unmarshal([]byte(body), &args))
	var s string
	if json.Unmarshal(args[len(args)-1], &s) != nil {
		return packet
	}
	c.last = &s
	return strings.TrimSuffix(packet, fmt.Sprintf(",%q]", s)) + "]"
}

// wantEvents checks the next events, each with an offset.
func (c *traveller) wantEvents(want ...string) {
	c.r.t.Helper()
	for _, w := range want {
		got := c.next().data
		if bare := c.took(got); bare != w || bare == got {
			c.r.t.Fatalf("got %q, want %q with an offset", got, w)
		}
	}
}

// wantEarly checks what came in front of the answer to CONNECT.
func (c *traveller) wantEarly(want ...string) {
	c.r.t.Helper()
	var got []string
	for _, e := range c.early {
		got = append(got, c.took(e))
	}
	if !slices.Equal(got, want) {
		c.r.t.Fatalf("missed %q, want %q", got, want)
	}
}

// lose ends the connection without a word.
func (c *traveller) lose() {
	c.close()
	synctest.Wait()
}

func (c *traveller) socket() *Socket {
	c.r.t.Helper()
	return c.r.srv.namespace(c.nsp).Socket(c.sid)
}

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
			events <- fmt.Sprint("connect ", s.Recovered(), u.name)
			if s.Recovered() {
				return nil
			}
			return s.Join("a", "b")
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

// The client's connection may be dead for the client only.
func TestRecoveryTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		r.srv.Of("/custom")
		reasons := make(chan Reason, 10)
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { reasons <- reason })
		c := r.traveller("/")
		old := c.socket()
		must(t, old.Join("room"))
		must(t, r.srv.To("room").Emit("one"))
		c.wantEvents(`42["one"]`)
		dead := c.peer
		must(t, r.srv.To("room").Emit("two")) // sent, but not received
		s := c.wantBack()
		c.wantEarly(`42["two"]`)
		wantFrom(t, reasons, TransportClose)
		if old.Connected() || s == old {
			t.Error("the old socket is still there")
		}
		dead.want(`42["two",` + fmt.Sprintf("%q", *c.last) + `]`)
		dead.wantEnd()
		must(t, r.srv.To("room").Emit("three"))
		c.wantEvents(`42["three"]`)

		// It waits for the handlers of the old one.
		enter, leave := make(chan bool), make(chan bool)
		On0(r.srv, "slow", func(context.Context, *Socket) error {
			enter <- true
			<-leave
			return r.srv.To("room").Emit("from the old handler")
		})
		c.send(`42["slow"]`)
		<-enter
		c.peer = r.websocket()
		c.peer.send(`40{"pid":"` + c.pid + `","offset":"` + *c.last + `"}`)
		c.wantNothing()
		close(leave)
		c.wantEvents(`42["from the old handler"]`)
		c.want(`40{"sid":"` + c.sid + `","pid":"` + c.pid + `"}`)
		c.wantNothing()
	})
}

// A handler that does not end costs the recovery, nothing else.
func TestRecoveryGivesUpOnHandlers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{}))
		enter, leave := make(chan bool), make(chan bool)
		On0(r.srv, "slow", func(context.Context, *Socket) error { enter <- true; <-leave; return nil })
		c := r.traveller("/")
		c.send(`42["slow"]`)
		<-enter
		twin := *c
		c.wantStranger()
		close(leave)
		synctest.Wait()
		twin.wantStranger()
		r.wantLog("session given up")
	})
}

func TestRecoveryWithMiddlewares(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{Recovery: &Recovery{RunMiddlewares: true}}))
		verdict := error(nil)
		var during func(s *Socket)
		r.srv.Use(func(_ context.Context, s *Socket) error {
			if during != nil {
				during(s)
			}
			return verdict
		})
		c := r.traveller("/")
		must(t, c.socket().Join("room"))
		c.socket().SetData("data")
		c.lose()
		must(t, r.srv.To("room").Emit("one"))
		during = func(s *Socket) {
			if !s.Recovered() || s.Data() != "data" || !slices.Contains(s.Rooms(), "room") {
				t.Errorf("recovered %v, data %v, rooms %q", s.Recovered(), s.Data(), s.Rooms())
			}
			must(t, s.Emit("from the middleware"))
			must(t, r.srv.Emit("to all"))
		}
		c.wantBack()
		c.wantEarly(`42["one"]`, `42["from the middleware"]`, `42["to all"]`)

		// The client goes in the meantime: nothing is lost.
		c.lose()
		goes := c.pid
		during = func(s *Socket) {
			s.Conn().Discard(eio.TransportClose)
			must(t, r.srv.To("room").Emit("two"))
		}
		p := r.websocket()
		p.send(`40{"pid":"` + goes + `","offset":"` + *c.last + `"}`)
		p.wantEnd()
		synctest.Wait()
		during = nil
		c.wantBack()
		c.wantEarly(`42["two"]`)

		// A refusal is one, and final.
		c.lose()
		verdict = &Error{Message: "no"}
		p = r.websocket()
		p.send(`40{"pid":"` + c.pid + `","offset":"` + *c.last + `"}`)
		p.want(`44{"message":"no"}`)
		verdict = nil
		c.wantStranger()

		// Events of a middleware come before the answer, for new sockets.
		during = func(s *Socket) { must(t, s.Emit("welcome")) }
		c = r.traveller("/")
		c.wantEarly(`42["welcome"]`)
		c.lose()
		during = nil
		c.wantBack()
		c.wantEarly()
	})
}

// When the log loses what was missed while the middlewares run, the client has to come
// again: they know the socket as recovered.
func TestRecoveryFailsBehindMiddlewares(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, withRecovery(Config{Recovery: &Recovery{RunMiddlewares: true, LogPackets: 5}}))
		var during func()
		r.srv.Use(func(context.Context, *Socket) error {
			if during != nil {
				during()
			}
			return nil
		})
		c := r.traveller("/")
		c.lose()
		must(t, r.srv.Emit("missed"))
		during = func() {
			for range 10 {
				must(t, r.srv.Emit("too much"))
			}
		}
		p := r.websocket()
		p.send(`40{"pid":"` + c.pid + `"}`)
		p.wantEnd()
		synctest.Wait()
		during = nil
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
