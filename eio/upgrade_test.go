package eio

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

func TestUpgrade(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		s := r.session()
		parked := r.parked(sid)
		c := r.candidate(sid)
		c.send("2probe")
		c.want("3probe")
		wait(t, parked, "the parked GET").want(200, "6")
		if !s.Upgrading() || s.Transport() != Polling {
			t.Errorf("upgrading %v on %v", s.Upgrading(), s.Transport())
		}
		// Data goes on over polling.
		r.post(sid, "4during").want(200, "ok")
		r.get(sid).want(200, "4during")
		s.SendMessage([]byte("in the buffer"), false)
		c.write(append(textFrame("5"), textFrame("4first")...))
		c.want("4in the buffer", "4first")
		if s.Upgrading() || s.Transport() != WebSocket {
			t.Errorf("upgrading %v on %v", s.Upgrading(), s.Transport())
		}
		r.wantSaid("during", "first")

		// HTTP is over now, and so are further upgrades.
		r.get(sid).wantCode(CodeBadRequest)
		r.post(sid, "4x").wantCode(CodeBadRequest)
		second := r.candidate(sid)
		second.wantCloseFrame(1005)
		c.send("4still fine")
		c.want("4still fine")
		c.close()
		r.wantClose(TransportClose)
		r.get(sid).wantCode(CodeUnknownSession)
	})
}

func TestUpgradeOdd(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()

		t.Run("polling on an upgrade request", func(t *testing.T) {
			for _, path := range []string{pollingPath, pollingPath + "&sid=" + sid} {
				c := r.upgrade(path, nil)
				c.want101()
				c.wantCloseFrame(1005)
			}
			r.wantAlive(sid)
		})
		t.Run("garbage on the candidate", func(t *testing.T) {
			for _, frame := range [][]byte{
				textFrame("2"), textFrame("2other"), textFrame("4message"), textFrame("x"), textFrame(""), textFrame("1"), textFrame("3"),
				clientFrame(0x82, []byte("binary")), clientFrame(0x88, nil),
			} {
				c := r.candidate(sid)
				c.write(frame)
				c.wantCloseFrame(1005)
				r.wantAlive(sid)
			}
			c := r.candidate(sid)
			c.send("2probe", "4message")
			c.want("3probe")
			c.wantCloseFrame(1005)
			c = r.candidate(sid)
			c.write([]byte{0x81, 1, 'x'}) // not masked
			c.wantCloseFrame(1002)
			r.wantAlive(sid)
		})
		t.Run("second candidate", func(t *testing.T) {
			first := r.candidate(sid)
			first.send("2probe")
			first.want("3probe")
			r.candidate(sid).wantCloseFrame(1005)
			first.send("2probe") // a repeated probe is answered again
			first.want("3probe")
			first.write(clientFrame(0x89, []byte("p")))
			if op, _, err := first.frame(); op != ws.OpPong {
				t.Errorf("got %v %v, want a pong", op, err)
			}
			first.close()
			s := r.srv.Session(sid)
			eventually(t, "candidate is gone", func() bool { return !s.Upgrading() })
			r.wantAlive(sid)
		})
		t.Run("no probe", func(t *testing.T) {
			parked := r.parked(sid)
			c := r.candidate(sid)
			c.send("5", "4hello")
			wait(t, parked, "the parked GET").want(200, "6")
			c.want("4hello")
		})
		if n := r.srv.Sessions(); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
	})
}

// A GET that is sent behind the UPGRADE may be here before it, and is refused all the
// same. One that was there for longer gets its NOOP.
func TestUpgradeOvertaken(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		for _, tt := range []struct {
			ahead time.Duration
			want  func(reply)
		}{
			{0, func(p reply) { p.wantCode(CodeBadRequest) }},
			{5 * time.Millisecond, func(p reply) { p.wantCode(CodeBadRequest) }},
			{20 * time.Millisecond, func(p reply) { p.want(200, "6") }},
		} {
			r := d.open(t, Config{}, nil)
			sid := r.poll()
			c := r.candidate(sid)
			c.send("2probe")
			c.want("3probe")
			parked := r.parked(sid)
			time.Sleep(tt.ahead)
			c.send("5", "4hello")
			tt.want(wait(t, parked, "the parked GET"))
			c.want("4hello")
			r.stop()
		}
	})
}

func TestUpgradeDisabled(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{DisableUpgrades: true}, nil)
		p := r.do("GET", pollingPath, "")
		if !strings.Contains(p.body, `"upgrades":[]`) {
			t.Errorf("upgrades announced: %q", p.body)
		}
		sid := parseOpen(t, p.body).SID
		if c := r.upgrade(wsPath+"&sid="+sid, nil); c.status != 400 || c.body != "Bad request" {
			t.Errorf("uninvited upgrade: got %d %q", c.status, c.body)
		}
		r.wantAlive(sid)
		r.websocket() // by itself still welcome
	})
}

func TestUpgradeWaitsForPost(t *testing.T) {
	// UPGRADE overtakes a POST: the messages of both arrive, those of the POST first.
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, &app{})
		sid := r.poll()
		c := r.candidate(sid)
		c.send("2probe")
		c.want("3probe")
		first := r.slowPost(sid, 6, "4o")
		c.send("5", "4two")
		eventually(t, "UPGRADE has arrived", func() bool {
			s := r.srv.Session(sid)
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.m.candidate == stagePending
		})
		first.Write([]byte("nely"))
		r.wantSaid("onely", "two")
	})
}

// The POST that an UPGRADE waits for breaks off: that is the end of the session, and
// of the candidate as well.
func TestUpgradeWaitsForPostInVain(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, &app{})
		sid := r.poll()
		s := r.session()
		c := r.candidate(sid)
		c.send("2probe")
		c.want("3probe")
		first := r.slowPost(sid, 6, "4o")
		c.send("5", "4two")
		eventually(t, "UPGRADE has arrived", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.m.candidate == stagePending
		})
		first.Close()
		r.wantClose(TransportError, ErrPostAborted)
		c.wantCloseFrame(1005)
		c.close()
		eventually(t, "the connection is gone", func() bool { return r.srv.engine.Conns() == 0 })
		r.get(sid).wantCode(CodeUnknownSession)
	})
}

func TestUpgradeTimeout(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		silent := r.candidate(sid)
		start := time.Now()
		silent.wantCloseFrame(1005)
		if e := time.Since(start); e < 10*time.Second || e > 10*time.Second+200*time.Millisecond {
			t.Errorf("silent candidate closed after %v", e)
		}
		probed := r.candidate(sid)
		probed.send("2probe")
		probed.want("3probe")
		probed.wantCloseFrame(1005)
		r.wantAlive(sid)
	})
}

func TestUpgradeNoops(t *testing.T) {
	// A client that polls again before it pauses is answered each time, and is
	// slowed down.
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		c := r.candidate(sid)
		c.send("2probe")
		c.want("3probe")
		start := time.Now()
		n := 0
		for ; time.Since(start) < time.Second; n++ {
			r.get(sid).want(200, "6")
		}
		if n < 10 || n > 20 {
			t.Errorf("%d polls answered in a second", n)
		}
		c.send("5", "4done")
		c.want("4done")
	})
}

func TestUpgradeWhileClosing(t *testing.T) {
	// The client has stopped polling and is about to send UPGRADE when the server
	// closes: it gets the last packets and the end over the WebSocket.
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		s := r.session()
		c := r.candidate(sid)
		c.send("2probe")
		c.want("3probe")
		s.SendMessage([]byte("last words"), false)
		s.Close(ForcedClose)
		r.wantClose(ForcedClose)
		c.send("5", "4too late")
		c.want("4last words")
		c.wantCloseFrame(1005)
		synctest.Wait()
		if r.srv.Sessions() != 0 || len(r.app.said) != 0 {
			t.Errorf("%d sessions, %d messages", r.srv.Sessions(), len(r.app.said))
		}

		// Discarded: the candidate goes with the session, and so does a parked GET.
		sid = r.poll()
		s = r.session()
		parked := r.parkedContext(context.Background(), sid)
		c = r.candidate(sid)
		s.Discard(ForcedClose)
		c.wantCloseFrame(1005)
		wait(t, parked, "the parked GET").want(200, "1")
	})
}
