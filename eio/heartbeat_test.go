package eio

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

func TestHeartbeatWebSocket(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		c := r.websocket()
		start := time.Now()
		within := func(what string, least time.Duration) {
			t.Helper()
			if e := time.Since(start); e < least || e > least+least/50 {
				t.Errorf("%s after %v, want %v", what, e, least)
			}
		}
		for range 3 {
			start = time.Now()
			c.want("2")
			within("PING", 25*time.Second)
			c.send("3")
		}
		start = time.Now()
		c.want("2")
		c.wantCloseFrame(1005)
		within("end", 45*time.Second)
		r.wantClose(PingTimeout)
	})
}

func TestHeartbeatPolling(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		for range 3 {
			r.get(sid).want(200, "2") // parked for 25 s
			r.post(sid, "3").want(200, "ok")
		}
		r.get(sid).want(200, "2")
		r.get(sid).want(200, "1") // parked when the time is over
		r.wantClose(PingTimeout)
		r.get(sid).wantCode(CodeUnknownSession)

		// Nobody polls: the PING waits, the deadline does not.
		sid = r.poll()
		time.Sleep(44 * time.Second)
		if r.srv.Session(sid) == nil {
			t.Error("session gone too early")
		}
		time.Sleep(2 * time.Second)
		r.wantClose(PingTimeout)
	})
}

func TestHeartbeatLateTimer(t *testing.T) {
	// A request after the deadline finds the session gone, even when the timer is late.
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		r.get(sid).want(200, "2")
		s := r.srv.Session(sid)
		s.timer.Stop()
		s.mu.Lock()
		deadline := s.m.beat
		s.mu.Unlock()
		time.Sleep(deadline - r.srv.now() - time.Millisecond)
		if !s.current() {
			t.Error("gone before the deadline")
		}
		time.Sleep(time.Millisecond)
		r.get(sid).wantCode(CodeUnknownSession)
		r.wantClose(PingTimeout)
	})
}

func TestHeartbeatExtension(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		c := r.websocket()
		c.want("2")
		start := time.Now()
		for range 10 {
			time.Sleep(3 * time.Second)
			c.nc.Write(textFrame("4x"))
			if op, _, err := c.frame(); err != nil || op != ws.OpText {
				break
			}
		}
		r.wantClose(PingTimeout)
		if e := time.Since(start); e < 22*time.Second || e > 25*time.Second {
			t.Errorf("ended %v after the PING, want 3 s + 20 s", e)
		}
	})
}

func TestHeartbeatAcrossUpgrade(t *testing.T) {
	// Upgraded while a PONG is awaited, the heartbeat goes on.
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		r.get(sid).want(200, "2")
		c := r.candidate(sid)
		c.send("2probe", "5", "3")
		c.want("3probe", "2") // 25 s later
		c.wantCloseFrame(1005)
		r.wantClose(PingTimeout)
	})
}

func TestHeartbeatPaused(t *testing.T) {
	// While the application takes nothing, a silent peer is not blamed.
	eachMemoryDoor(t, func(t *testing.T, d door) {
		a := &app{}
		a.onMessage = func(s *Session, _ []byte, _ bool) { s.Pause() }
		r := d.open(t, Config{}, a)
		c := r.websocket()
		s := r.session()
		c.send("4stop")
		c.want("2")
		c.send("3")
		time.Sleep(100 * time.Second)
		if s.Closed() {
			t.Fatal("closed while paused")
		}
		s.Resume()
		c.want("2")
		c.send("3")
	})
}

func TestCloseMemory(t *testing.T) {
	// The CLOSE packet waits 30 s for a poll.
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		early, late := r.poll(), r.poll()
		r.session().Close(ForcedClose)
		r.session().Close(ForcedClose)
		if n := r.srv.Sessions(); n != 2 {
			t.Errorf("%d sessions while CLOSE waits, want 2", n)
		}
		time.Sleep(29 * time.Second)
		r.get(early).want(200, "6\x1e1")
		time.Sleep(2 * time.Second)
		r.get(late).wantCode(CodeUnknownSession)
		synctest.Wait()
		if n := r.srv.Sessions(); n != 0 {
			t.Errorf("%d sessions left", n)
		}
	})
}

func TestHandshakeTimeout(t *testing.T) {
	// A connection whose request head does not become complete is closed.
	synctest.Test(t, func(t *testing.T) {
		r := memoryDoors[1].open(t, Config{}, nil)
		for _, part := range []string{"", "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"} {
			nc, err := r.dial()
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			nc.Write([]byte(part))
			if n, err := nc.Read(make([]byte, 100)); err == nil {
				t.Errorf("got %d bytes", n)
			}
			if e := time.Since(start); e < 10*time.Second || e > 11*time.Second {
				t.Errorf("closed after %v", e)
			}
			nc.Close()
		}
	})
}
