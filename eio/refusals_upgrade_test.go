package eio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestRefusedOverlaps holds the rows of two requests at a time that end a connection
// instead of answering it.
func TestRefusedOverlaps(t *testing.T) {
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		parked := r.parked(sid)
		first := r.slowPost(sid, 100, "4abc")
		if got := r.exact(t, "POST "+pollingPath+"&sid="+sid+" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n4x"); got != "400 | content-length: 0 | " {
			t.Errorf("second POST was answered with %q", got)
		}
		first.(net.Conn).SetDeadline(time.Now().Add(patience))
		if b, err := io.ReadAll(first); len(b) != 0 || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("first POST was answered with %q, %v", b, err)
		}
		wait(t, parked, "the parked GET").want(200, "1")
		r.wantClose(TransportError, ErrPostOverlap)

		// A second candidate, and one for a session that has left polling.
		sid = r.poll()
		c := r.candidate(sid)
		second := r.candidate(sid)
		second.hear(t, "close", "EOF")
		c.send("2probe")
		c.hear(t, "text 3probe")
		c.send("5")
		eventually(t, "upgraded", func() bool { return r.srv.Session(sid).Transport() == WebSocket })
		second = r.candidate(sid)
		second.hear(t, "close", "EOF")
		c.send("4x")
		c.hear(t, "text 4x")

		// Polling on a WebSocket connection: the upgrade succeeds and is closed at once.
		for _, path := range []string{pollingPath, pollingPath + "&sid=" + sid} {
			c := r.upgrade(path, nil)
			c.want101()
			c.hear(t, "close", "EOF")
		}
	})
}

func TestRefusedCandidates(t *testing.T) {
	// Whatever a candidate says but the upgrade, the session stays on polling.
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		for name, tt := range map[string]struct {
			send []byte
			hear []string
		}{
			"message":               {text("4x"), []string{"close", "EOF"}},
			"binary":                {frame(0x82, "x"), []string{"close", "EOF"}},
			"PING without probe":    {text("2"), []string{"close", "EOF"}},
			"other probe":           {text("2Probe"), []string{"close", "EOF"}},
			"CLOSE":                 {text("1"), []string{"close", "EOF"}},
			"garbage":               {text("x"), []string{"close", "EOF"}},
			"nothing":               {text(""), []string{"close", "EOF"}},
			"message after a probe": {join(text("2probe"), text("4x")), []string{"text 3probe", "close", "EOF"}},
			"two probes":            {join(text("2probe"), text("2probe"), text("x")), []string{"text 3probe", "text 3probe", "close", "EOF"}},
			"close frame":           {closing(1001, "going"), []string{"close 1001 going", "EOF"}},
			"bad frame":             {[]byte{0xff, 0xff}, []string{"close 1002", "EOF"}},
			"bad UTF-8":             {text("\xff"), []string{"close 1007", "EOF"}},
			"pings and pongs only":  {join(ping("p"), frame(0x8a, ""), text("x")), []string{"pong p", "close", "EOF"}},
		} {
			t.Run(name, func(t *testing.T) {
				c := r.candidate(sid)
				c.nc.SetDeadline(time.Now().Add(patience))
				c.write(tt.send)
				c.hear(t, tt.hear...)
				c.close()
			})
			eventually(t, "candidate is gone", func() bool { return !r.srv.Session(sid).Upgrading() })
			r.wantAlive(sid)
		}
		if len(r.app.said) != 0 {
			t.Errorf("message from a candidate: %q", <-r.app.said)
		}
	})
}

func TestRefusedHeads(t *testing.T) {
	// Heads over the limit: 431, whatever they ask for, and no session.
	for _, d := range strictDoors {
		if !d.direct {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			r := d.open(t, Config{MaxHeaderBytes: 2000}, nil)
			want := "431 | connection: close; content-length: 0 | "
			long := "X: " + string(bytes.Repeat([]byte("x"), 2000)) + "\r\n"
			for _, request := range []string{
				strings.Replace(goodOpening, "Host", long+"Host", 1),
				"GET " + pollingPath + " HTTP/1.1\r\nHost: x\r\n" + long + "\r\n",
				"GET / HTTP/1.1\r\n" + long, // no end in sight
				strings.Repeat("x", 2500),
			} {
				if got := r.exact(t, request); got != want {
					t.Errorf("%.30q: got %q", request, got)
				}
			}
			if n := r.srv.Sessions(); n != 0 {
				t.Errorf("%d sessions", n)
			}
		})
	}
}

// TestUpgradeAnsweredToCandidate looks for a candidate as soon as the answer is there: another that comes after the answer
// must not be able to take its place.
func TestUpgradeAnsweredToCandidate(t *testing.T) {
	eachStrictDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		for range 100 {
			sid := r.poll()
			s := r.session()
			nc := r.ask(strings.NewReplacer("@", "", "EIO=4", "EIO=4&sid="+sid).Replace(goodUpgrade))
			b := make([]byte, 1024)
			n, err := nc.Read(b)
			if !s.Upgrading() {
				t.Error("there is no candidate after the answer")
			}
			if !bytes.HasPrefix(b[:n], []byte("HTTP/1.1 101 ")) || err != nil {
				t.Fatalf("got %q, %v", b[:n], err)
			}
			s.Close(ForcedClose)
			r.wantClose(ForcedClose)
		}
	})
}
