package sio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/eio"
)

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

// A session that many connections claim at the same moment belongs to one of them in the end, and so does every later event.
func TestRecoveryIsClaimedByOne(t *testing.T) {
	const rivals = 8
	for _, lost := range []bool{false, true} { // the connection it had
		bubble(t, func(t *testing.T) {
			r := memory(t, withRecovery(Config{}))
			c := r.traveller("/")
			must(t, c.socket().Join("room"))
			must(t, r.srv.To("room").Emit("one"))
			c.wantEvents(`42["one"]`)
			if lost {
				c.lose()
			}
			must(t, r.srv.To("room").Emit("two"))
			var peers []*peer
			for range rivals {
				peers = append(peers, r.websocket())
			}
			claim := `40{"pid":"` + c.pid + `","offset":"` + *c.last + `"}`
			var group sync.WaitGroup
			for _, p := range peers {
				group.Go(func() { p.send(claim) })
			}
			group.Wait()
			synctest.Wait()
			must(t, r.srv.To("room").Emit("three"))
			synctest.Wait()
			holders, three := 0, 0
			for _, p := range peers {
				var got []string
				var err error
				for packet := (packet{}); err == nil; {
					if packet, err = p.read(time.Second); err == nil {
						got = append(got, packet.data)
					}
				}
				if len(got) == 0 && errors.Is(err, io.EOF) {
					continue // another one took it away before it was connected
				}
				text := strings.Join(got, "\n")
				n := strings.Count(text, `42["three",`)
				three += n
				if !strings.Contains(text, c.pid) {
					if strings.Contains(text, "42[") || !strings.Contains(text, `40{"sid":"`) {
						t.Errorf("who starts afresh got %q", got)
					}
					continue
				}
				if strings.Count(text, `42["two",`) != 1 || !strings.HasPrefix(got[0], `42["two",`) {
					t.Errorf("who holds the session got %q", got)
				}
				if n > 0 {
					holders++
				}
			}
			if holders != 1 || three != 1 {
				t.Errorf("%d connections hold the session, %d got what came later", holders, three)
			}
			if n := len(slices.Collect(r.srv.In("room").Sockets())); n != 1 {
				t.Errorf("%d sockets are in the room", n)
			}
		})
	}
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
