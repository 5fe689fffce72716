package sio

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/eio"
)

// smallBuffer is a configuration whose send buffer holds four of fill and no more.
func smallBuffer(p FullPolicy) Config {
	cfg := Config{WhenFull: p}
	cfg.Engine.SendBuffer = 64 << 10
	return cfg
}

// lag is how many of fill make a connection that does not read slow: more than are in
// flight.
const lag = 24

var fill = strings.Repeat("x", 15<<10)

// readNumbers reads events ["n", number, …] until number last and returns the numbers.
func (p *peer) readNumbers(last int) (got []int) {
	p.t.Helper()
	for {
		var n int
		if _, err := fmt.Sscanf(p.next().data, `42["n",%d`, &n); err != nil {
			p.t.Fatal(err)
		}
		if got = append(got, n); n == last {
			return got
		}
	}
}

// TestDropOldest sends more than fits; what arrives ends with the newest, without gaps
// behind the first one.
func TestDropOldest(t *testing.T) {
	for _, transport := range []string{"websocket", "polling"} {
		for _, how := range []string{"emit", "broadcast"} {
			t.Run(transport+"/"+how, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					cfg := smallBuffer(DropOldestWhenFull)
					drops := 0
					cfg.Hooks.Drop = func(_ *Socket, packets int) { drops += packets }
					r := memory(t, cfg)
					p := r.websocket()
					if transport == "polling" {
						p = r.polling()
					}
					s := p.join("/")
					const n = 40 // the connection holds 17 in flight
					for i := range n {
						if how == "emit" {
							must(t, s.Emit("n", i, fill))
						} else {
							must(t, r.srv.Emit("n", i, fill))
						}
						synctest.Wait()
					}
					got := p.readNumbers(n - 1)
					if len(got)+drops != n || drops == 0 || len(got) < 4 {
						t.Errorf("%d arrived, %d were dropped", len(got), drops)
					}
					if st := r.srv.Stats(); st.Dropped != int64(drops) {
						t.Errorf("%d drops were counted, %d told", st.Dropped, drops)
					}
					gaps := 0
					for i, v := range got[1:] {
						if v <= got[i] {
							t.Fatalf("got %v", got)
						} else if v > got[i]+1 {
							gaps++
						}
					}
					// On polling nothing is on its way: what was dropped is older than all that arrived.
					if want := map[string]int{"websocket": 1}[transport]; gaps != want {
						t.Errorf("%d gaps, want %d: %v", gaps, want, got)
					}
				})
			})
		}
	}
}

// Attachments go with their event, and what must arrive does.
func TestDropOldestKeepsWholePackets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, smallBuffer(DropOldestWhenFull))
		p, s := r.join()
		for range 3 { // firm: two wait for an acknowledgement, one was sent with another policy
			synctest.Wait()
			go Call[None](t.Context(), s, "ask", "x")
		}
		synctest.Wait()
		must(t, s.WhenFull(CloseWhenFull).Emit("firm"))
		blob := []byte(fill)
		for i := range 20 {
			must(t, s.Emit("bin", i, blob, blob))
			synctest.Wait()
		}
		last, firm, seen := -1, 0, 0
		for last < 19 {
			got := p.next().data
			var n int
			switch {
			case strings.HasSuffix(got, `["ask","x"]`) || got == `42["firm"]`:
				firm++
			default:
				if _, err := fmt.Sscanf(got, `452-["bin",%d,`, &n); err != nil {
					t.Fatalf("got %.50q", got)
				}
				if n <= last {
					t.Fatalf("packet %d after %d", n, last)
				}
				last = n
				seen++
				p.wantBinary(fill)
				p.wantBinary(fill)
			}
		}
		if firm != 4 || seen == 20 {
			t.Errorf("%d of 4 firm packets arrived, and %d others", firm, seen)
		}
		// More than the buffer holds cannot be helped.
		wantErr(t, s.Emit("bin", make([]byte, 65<<10)), ErrBufferFull)
		if !s.Connected() {
			t.Error("the connection was closed")
		}
	})
}

// TestWhenFullPerEmit uses all policies on one full connection.
func TestWhenFullPerEmit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, smallBuffer(DropWhenFull))
		gone := make(chan Reason, 1)
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
		p, s := r.join()
		q, _ := r.join()
		for i := 0; ; i++ {
			err := s.Emit("n", i, fill)
			synctest.Wait()
			if err != nil {
				wantErr(t, err, ErrBufferFull)
				break
			}
		}
		packets, bytes := s.Buffered()
		if packets < 3 || bytes < 3*len(fill) || bytes > 64<<10 {
			t.Errorf("%d packets of %d bytes are buffered", packets, bytes)
		}
		wantErr(t, s.WhenFull(ReportWhenFull).Emit("n", -1, fill), ErrBufferFull)
		// Nothing that waits may be dropped for others.
		wantErr(t, s.WhenFull(DropOldestWhenFull).Emit("n", -1, fill), ErrBufferFull)

		err := r.srv.WhenFull(ReportWhenFull).Emit("news", fill)
		if fe, ok := errors.AsType[*FullError](err); !ok || fe.Sockets != 1 || !errors.Is(err, ErrBufferFull) {
			t.Errorf("the broadcast returned %v", err)
		}
		q.want(`42["news","` + fill + `"]`)
		must(t, r.srv.Emit("news", fill)) // silent
		q.want(`42["news","` + fill + `"]`)
		if !s.Connected() {
			t.Fatal("closed too early")
		}
		// The one that filled it, two emits, two broadcasts.
		if st := r.srv.Stats(); st.Dropped != 5 {
			t.Errorf("%d packets were counted as dropped", st.Dropped)
		}
		wantErr(t, s.WhenFull(CloseWhenFull).Emit("n", -1, fill), ErrBufferFull)
		wantFrom(t, gone, SlowClient)
		p.close()
	})
}

// A pattern's namespaces are all reached, though one reports.
func TestReportFromPattern(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, smallBuffer(DropWhenFull))
		rooms := r.srv.Of("/room/{id}")
		var peers []*peer
		for _, id := range []string{"a", "b", "c"} {
			p := r.websocket()
			s := p.join("/room/" + id)
			peers = append(peers, p)
			if id == "c" {
				break // reads
			}
			for s.Emit("n", 0, fill) == nil {
				synctest.Wait()
			}
		}
		err := rooms.WhenFull(ReportWhenFull).Emit("news", fill)
		if fe, ok := errors.AsType[*FullError](err); !ok || fe.Sockets != 2 {
			t.Errorf("got %v", err)
		}
		peers[2].want(`42/room/c,["news","` + fill + `"]`)
	})
}

// Strict says who it was, ReportWhenFull how many; what the adapter had to say is lost in neither.
func TestReportTogetherWithOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lost := errors.New("connection lost")
		cfg := smallBuffer(DropWhenFull)
		cfg.Adapter = func(h adapter.Host) adapter.Adapter {
			return &deaf{Adapter: adapter.MemoryFactory(h), err: lost}
		}
		r := memory(t, cfg)
		rooms := r.srv.Of("/room/{id}")
		var socket *Socket
		for _, id := range []string{"a", "b"} {
			socket = r.websocket().join("/room/" + id)
			for socket.Emit("n", 0, fill) == nil {
				synctest.Wait()
			}
		}
		err := rooms.WhenFull(ReportWhenFull).Emit("news", fill)
		fe, ok := errors.AsType[*FullError](err)
		_, published := errors.AsType[*PublishError](err)
		if !ok || fe.Sockets != 2 || !published || !errors.Is(err, lost) || !errors.Is(err, ErrBufferFull) {
			t.Errorf("got %v", err)
		}
		err = socket.Namespace().WhenFull(ReportWhenFull).Strict().Emit("news", fill)
		be, ok := errors.AsType[*BroadcastError](err)
		if !ok || len(be.Sockets) != 1 || be.Sockets[0].ID != socket.ID() || be.Publish == nil || !errors.Is(err, ErrBufferFull) {
			t.Errorf("with Strict: %v", err)
		}
		if _, twice := errors.AsType[*FullError](err); twice {
			t.Errorf("with Strict, the same is said twice: %v", err)
		}
	})
}

// Call and Gather have the policy of their target.
func TestWhenFullOfCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := memory(t, smallBuffer(CloseWhenFull))
		gone := make(chan Reason, 1)
		r.srv.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
		_, s := r.join()
		for s.WhenFull(DropWhenFull).Emit("n", 0, fill) == nil {
			synctest.Wait()
		}
		_, err := Call[None](t.Context(), s.WhenFull(DropWhenFull), "ask", fill)
		wantErr(t, err, ErrBufferFull)
		for _, err := range Gather[None](t.Context(), s.WhenFull(DropWhenFull), "ask", fill) {
			wantErr(t, err, ErrBufferFull)
		}
		synctest.Wait()
		if !s.Connected() {
			t.Fatal("closed in spite of the policy")
		}
		_, err = Call[None](t.Context(), s, "ask", fill)
		wantErr(t, err, ErrBufferFull)
		wantFrom(t, gone, SlowClient)
	})
}

func TestWhenFullPanics(t *testing.T) {
	r := loopback(t, Config{})
	defer func() {
		if recover() == nil {
			t.Error("a policy that does not exist was accepted")
		}
	}()
	r.srv.WhenFull(ReportWhenFull + 1)
}

// TestOnSlowAndFast has a connection fall behind and catch up, twice.
func TestOnSlowAndFast(t *testing.T) {
	for _, transport := range []string{"websocket", "polling"} {
		t.Run(transport, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				cfg := Config{}
				cfg.Engine.Flow = eio.Flow{HighWater: 32 << 10, LowWater: 1 << 10}
				heard := make(chan string, 10)
				cfg.OnSlow = func(s *Socket, buffered int) {
					if buffered <= 32<<10 {
						t.Errorf("slow with %d bytes", buffered)
					}
					_, _ = s.Buffered() // no lock is held
					heard <- "slow " + s.Namespace().Name()
				}
				cfg.OnFast = func(s *Socket, buffered int) {
					if buffered > 1<<10 {
						t.Errorf("fast with %d bytes", buffered)
					}
					heard <- "fast " + s.Namespace().Name()
				}
				r := memory(t, cfg)
				p := r.websocket()
				if transport == "polling" {
					p = r.polling()
				}
				s := p.join("/")
				for range 2 {
					for i := range lag {
						must(t, s.Emit("n", i, fill))
						synctest.Wait()
					}
					wantFrom(t, heard, "slow /")
					if st := r.srv.Stats(); st.Engine.Slow != 1 {
						t.Errorf("%d sessions are slow", st.Engine.Slow)
					}
					p.readNumbers(lag - 1)
					wantFrom(t, heard, "fast /")
				}
				synctest.Wait()
				if st := r.srv.Stats(); st.Engine.Slow != 0 {
					t.Errorf("%d sessions are slow", st.Engine.Slow)
				}
				wantNone(t, heard)
			})
		})
	}
}

// A burst that the client takes at once is not worth a word.
func TestBurstIsNotSlow(t *testing.T) {
	for _, transport := range []string{"websocket", "polling"} {
		t.Run(transport, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				cfg := Config{}
				cfg.Engine.Flow = eio.Flow{HighWater: 32 << 10, MaxSlow: 50 * time.Millisecond}
				cfg.OnSlow = func(*Socket, int) { t.Error("slow") }
				cfg.OnFast = func(*Socket, int) { t.Error("fast") }
				r := memory(t, cfg)
				p := r.websocket()
				if transport == "polling" {
					p = r.polling()
				}
				s := p.join("/")
				for range 3 {
					for i := range lag {
						must(t, s.Emit("n", i, fill))
						synctest.Wait()
					}
					p.readNumbers(lag - 1)
					time.Sleep(80 * time.Millisecond)
				}
				time.Sleep(time.Second)
				if st := r.srv.Stats(); st.Engine.Slow != 0 || !s.Connected() {
					t.Errorf("%d sessions are slow, connected: %v", st.Engine.Slow, s.Connected())
				}
			})
		})
	}
}

// TestMaxSlow closes a connection that stays slow, and not one that recovers.
func TestMaxSlow(t *testing.T) {
	for _, transport := range []string{"websocket", "polling"} {
		t.Run(transport, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				cfg := Config{}
				cfg.Engine.Flow = eio.Flow{HighWater: 32 << 10, MaxSlow: 5 * time.Second}
				r := memory(t, cfg)
				gone := make(chan Reason, 1)
				r.srv.OnDisconnect(func(_ *Socket, reason Reason) { gone <- reason })
				p := r.websocket()
				if transport == "polling" {
					p = r.polling()
				}
				s := p.join("/")
				fallBehind := func() {
					for i := range lag {
						must(t, s.Emit("n", i, fill))
						synctest.Wait()
					}
				}
				fallBehind()
				time.Sleep(4 * time.Second)
				p.readNumbers(lag - 1)
				time.Sleep(4 * time.Second)
				wantNone(t, gone)
				fallBehind()
				start := time.Now()
				wantFrom(t, gone, TooSlow)
				if took := time.Since(start); took < 4900*time.Millisecond || took > 6*time.Second {
					t.Errorf("closed after %v", took)
				}
			})
		})
	}
}

// A slow client that leaves is forgotten.
func TestSlowClientLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := Config{}
		cfg.Engine.Flow = eio.Flow{HighWater: 16 << 10, MaxSlow: time.Minute}
		slow := make(chan int, 1)
		cfg.OnSlow = func(_ *Socket, n int) { slow <- n }
		cfg.OnFast = func(*Socket, int) { t.Error("a connection that ended became fast") }
		r := memory(t, cfg)
		p, s := r.join()
		for i := range lag {
			must(t, s.Emit("n", i, fill))
			synctest.Wait()
		}
		receive(t, slow)
		p.close()
		synctest.Wait()
		if st := r.srv.Stats(); st.Engine.Slow != 0 || st.Engine.Sessions != 0 {
			t.Errorf("%+v", st.Engine)
		}
	})
}

func TestFullPolicyNames(t *testing.T) {
	for p, want := range map[FullPolicy]string{
		CloseWhenFull: "close", DropWhenFull: "drop newest", DropOldestWhenFull: "drop oldest",
		ReportWhenFull: "report", 9: "FullPolicy(9)",
	} {
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
