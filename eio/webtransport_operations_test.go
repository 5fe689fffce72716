package eio

import (
	"testing"
	"testing/synctest"
	"time"
)

// Limits on handshakes hold for WebTransport, too. One that fails takes no place.
func TestWebTransportAdmission(t *testing.T) {
	cfg := Config{Admission: Admission{ConnsPerAddress: 2}}
	wtTest(t, cfg, nil, func(r *rig) {
		first := r.webtransport()
		for range 3 {
			c := r.dialWT(wtRequest(wtQuery))
			synctest.Wait()
			r.dialWT(wtRequest(wtQuery)).wantStatus(429, CodeTooManyRequests) // both places are taken
			c.stream()
			c.send("4this is no OPEN packet")
			c.wantClosed()
		}
		r.webtransport()
		r.dialWT(wtRequest(wtQuery)).wantStatus(429, CodeTooManyRequests)
		first.nc.Close()
		synctest.Wait()
		r.webtransport()
		if st := r.srv.Stats(); st.WebTransport != 3 || st.Refused[CodeTooManyRequests] != 4 || st.Refused[CodeBadRequest] != 3 {
			t.Errorf("%+v", st)
		}
		// An upgrade is no handshake.
		sid := r.poll()
		c := r.wtCandidate(sid)
		c.send("2probe")
		c.want("3probe")
		c.send("5")
		synctest.Wait()
		if st := r.srv.Stats(); st.Upgraded != 1 || st.Polling != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestWebTransportWhileDraining(t *testing.T) {
	wtTest(t, Config{}, nil, func(r *rig) {
		sid := r.poll()
		late := r.dialWT(wtRequest(wtQuery))
		synctest.Wait()
		r.srv.RefuseHandshakes()
		r.dialWT(wtRequest(wtQuery)).wantStatus(503, CodeShuttingDown)
		late.stream()
		late.send("0")
		late.wantClosed() // it had been let in, but has no session yet
		c := r.wtCandidate(sid)
		c.send("2probe")
		c.want("3probe")
	})
}

// Slow clients, and packets that make room for newer ones.
func TestWebTransportFlow(t *testing.T) {
	var heard chan string
	cfg := Config{SendBuffer: 256 << 10, Flow: Flow{
		HighWater: 64 << 10,
		OnSlow:    func(*Session, int) { heard <- "slow" },
		OnFast:    func(*Session, int) { heard <- "fast" },
	}}
	for _, how := range []string{"begun", "upgraded"} {
		t.Run(how, func(t *testing.T) {
			wtTest(t, cfg, nil, func(r *rig) {
				heard = make(chan string, 10)
				var c *wtClient
				if how == "begun" {
					c = r.webtransport()
				} else {
					sid := r.poll()
					c = r.wtCandidate(sid)
					c.send("2probe")
					c.want("3probe")
					c.send("5")
				}
				synctest.Wait()
				s := r.session()
				fill := repeat("x", 8<<10)
				const n = 80
				dropped := 0
				for i := range n {
					k, err := s.SendReplacing(droppable(string(rune('0'+i)) + fill))
					if err != nil {
						t.Fatal(err)
					}
					dropped += k
					synctest.Wait()
				}
				if dropped == 0 || s.Buffered() > 256<<10 {
					t.Errorf("%d packets were dropped, %d bytes wait", dropped, s.Buffered())
				}
				if s.Slow() {
					t.Error("slow at once")
				}
				time.Sleep(time.Second)
				if !s.Slow() {
					t.Error("not slow")
				}
				if got := wait(t, heard, "slow"); got != "slow" {
					t.Errorf("heard %q", got)
				}
				last := ""
				for got := 0; got < n-dropped; got++ {
					text := c.text()
					if text[2:] != fill || text[1:2] <= last {
						t.Fatalf("got %.10q after %q", text, last)
					}
					last = text[1:2]
				}
				if last != string(rune('0'+n-1)) {
					t.Errorf("the last packet is %q", last)
				}
				if got := wait(t, heard, "fast"); got != "fast" || s.Slow() {
					t.Errorf("heard %q", got)
				}
			})
		})
	}
}
