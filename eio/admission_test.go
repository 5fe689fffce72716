package eio

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wantRefused checks the answer to a refused upgrade.
func (c *wsClient) wantRefused(code ErrorCode, retry string) {
	c.t.Helper()
	if c.status != code.status() || c.body != code.String() || c.header.Get("Retry-After") != retry || !c.closed {
		c.t.Errorf("got %d %q, retry after %q; want %d %q, %q", c.status, c.body, c.header.Get("Retry-After"), code.status(), code.String(), retry)
	}
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestConnsPerAddress(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{Admission: Admission{ConnsPerAddress: 2}}, nil)
		sid := r.poll()
		c := r.websocket()
		r.do("GET", pollingPath, "").wantCode(CodeTooManyRequests)
		r.upgrade(wsPath, nil).wantRefused(CodeTooManyRequests, "")
		// A session that exists is served, and may upgrade.
		r.post(sid, "4x").want(200, "ok")
		r.candidate(sid)
		if st := r.srv.Stats(); st.Addresses != 1 || st.Refused[CodeTooManyRequests] != 2 {
			t.Errorf("%+v", st)
		}
		c.nc.Close()
		eventually(t, "the place is free", func() bool { return r.srv.Sessions() == 1 })
		r.websocket()
		r.upgrade(wsPath, nil).wantRefused(CodeTooManyRequests, "")
		for s := range r.srv.All() {
			s.Discard(ForcedClose)
		}
		eventually(t, "nothing is remembered", func() bool { return r.srv.Stats().Addresses == 0 })
	})
}

func TestHandshakesPerAddress(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{Admission: Admission{HandshakesPerAddress: Rate{PerSecond: 0.01, Burst: 2}}}, nil)
		r.websocket()
		sid := r.poll()
		r.upgrade(wsPath, nil).wantRefused(CodeTooManyRequests, "100")
		r.do("GET", pollingPath, "").wantCode(CodeTooManyRequests).wantHeader("Retry-After", "100")
		// What is no handshake, or no valid one, is not counted.
		r.post(sid, "4x").want(200, "ok")
		r.do("POST", pollingPath, "").wantCode(CodeBadHandshakeMethod)
	})
}

// TestHandshakeRate lets a wave in at the pace of the server, whatever it knows of
// addresses.
func TestHandshakeRate(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{Admission: Admission{ConnsPerAddress: 1, Handshakes: Rate{PerSecond: 2, Burst: 1}}}, nil)
		r.websocket()
		r.do("GET", pollingPath, "").wantCode(CodeBusy).wantHeader("Retry-After", "1")
		r.upgrade(wsPath, nil).wantRefused(CodeBusy, "1")
		time.Sleep(500 * time.Millisecond)
		r.websocket() // connections without an address have no limit of their own
		r.upgrade(wsPath, nil).wantRefused(CodeBusy, "1")
	})
}

// What the server refuses takes no place from its address.
func TestRefusedHandshakesTakeNoPlace(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{Admission: Admission{ConnsPerAddress: 2, Handshakes: Rate{PerSecond: 0.001, Burst: 1}}}, nil)
		r.websocket()
		for range 5 {
			r.upgrade(wsPath, nil).wantRefused(CodeBusy, "1000")
			r.do("GET", pollingPath, "").wantCode(CodeBusy)
		}
	})
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{
			Admission:    Admission{ConnsPerAddress: 2},
			AllowRequest: func(*http.Request) error { return &RefuseError{Message: "no"} },
		}, nil)
		for range 5 {
			r.do("GET", pollingPath, "").want(403, `{"code":4,"message":"no"}`)
			if got := r.upgrade(wsPath, nil); got.body != "no" {
				t.Errorf("got %q", got.body)
			}
		}
	})
}

func TestOverloaded(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		var pause atomic.Int64
		r := d.open(t, Config{Admission: Admission{Overloaded: func() time.Duration { return time.Duration(pause.Load()) }}}, nil)
		sid := r.poll()
		r.websocket()
		pause.Store(int64(1500 * time.Millisecond))
		r.do("GET", pollingPath, "").wantCode(CodeBusy).wantHeader("Retry-After", "2")
		r.upgrade(wsPath, nil).wantRefused(CodeBusy, "2")
		r.post(sid, "4x").want(200, "ok")
	})
}

// TestProxies counts clients behind a proxy by what the proxy says, and nobody else by what
// they say.
func TestProxies(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{Admission: Admission{ConnsPerAddress: 1, Proxies: prefixes("127.0.0.0/8", "10.0.0.0/8")}}, nil)
		as := func(list string) []string { return []string{"X-Forwarded-For", list} }
		r.upgrade(wsPath, nil, as("192.0.2.1")...).want101()
		r.upgrade(wsPath, nil, as("192.0.2.1")...).wantRefused(CodeTooManyRequests, "")
		r.upgrade(wsPath, nil, as("192.0.2.9, 192.0.2.1, 10.1.1.1")...).wantRefused(CodeTooManyRequests, "")
		r.upgrade(wsPath, nil, as("192.0.2.1, 192.0.2.2")...).want101()
		r.do("GET", pollingPath, "", as("192.0.2.2")...).wantCode(CodeTooManyRequests)
	})
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{Admission: Admission{ConnsPerAddress: 1}}, nil)
		r.upgrade(wsPath, nil, "X-Forwarded-For", "192.0.2.1").want101()
		r.upgrade(wsPath, nil, "X-Forwarded-For", "192.0.2.2").wantRefused(CodeTooManyRequests, "")
	})
}

func TestClientAddr(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{Admission: Admission{ConnsPerAddress: 1, ClientAddr: func(r *http.Request) netip.Addr {
			addr, _ := netip.ParseAddr(r.Header.Get("CF-Connecting-IP"))
			return addr
		}}}, nil)
		r.upgrade(wsPath, nil, "CF-Connecting-IP", "192.0.2.1").want101()
		r.upgrade(wsPath, nil, "CF-Connecting-IP", "192.0.2.1").wantRefused(CodeTooManyRequests, "")
		r.upgrade(wsPath, nil, "CF-Connecting-IP", "192.0.2.2").want101()
		r.websocket()
		r.websocket() // nobody knows who that is
	})
}

func TestAddressOfARequest(t *testing.T) {
	a := Admission{ConnsPerAddress: 1, Proxies: prefixes("10.0.0.0/8", "fd00::/8")}
	a.normalize()
	for _, tt := range []struct{ peer, header, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "192.0.2.7", "192.0.2.1"}, // anybody can say that
		{"10.0.0.1:5", "", "10.0.0.1"},
		{"10.0.0.1:5", "192.0.2.7", "192.0.2.7"},
		{"10.0.0.1:5", "1.2.3.4,192.0.2.7", "192.0.2.7"},
		{"10.0.0.1:5", "1.2.3.4, 192.0.2.7:99, 10.2.3.4", "192.0.2.7"},
		{"10.0.0.1:5", "1.2.3.4, unknown, 10.2.3.4", "10.2.3.4"},
		{"10.0.0.1:5", "10.9.9.9, 10.2.3.4", "10.9.9.9"},
		{"10.0.0.1:5", ",,", "10.0.0.1"},
		{"[::ffff:10.0.0.1]:5", "192.0.2.7", "192.0.2.7"},
		{"[2001:db8:1:2:3:4:5:6]:5", "", "2001:db8:1:2::"},
		{"[fd00::1]:5", "2001:db8:1:2:ffff::1", "2001:db8:1:2::"},
		{"[fd00::1]:5", "[2001:db8:1:2:ffff::1]:443", "2001:db8:1:2::"},
		{"[fd00::1%eth0]:5", "[2001:db8:1:3::1]", "2001:db8:1:3::"},
		{"[::ffff:192.0.2.1]:5", "", "192.0.2.1"},
		{"@", "192.0.2.7", "192.0.2.7"}, // a Unix socket
		{"", "", "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{}}
		if tt.header != "" {
			r.Header.Set("X-Forwarded-For", tt.header)
		}
		if got := a.of(r).String(); got != tt.want {
			t.Errorf("%s, %q: got %s, want %s", tt.peer, tt.header, got, tt.want)
		}
	}
}

// TestAddressesAreBounded comes from more addresses than are to be remembered. Those
// with sessions are never forgotten.
func TestAddressesAreBounded(t *testing.T) {
	const limit = 320
	cfg := Admission{ConnsPerAddress: 1, HandshakesPerAddress: Rate{PerSecond: 0.001, Burst: 2}, MaxAddresses: limit}
	cfg.normalize()
	a := newAdmission(cfg)
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	const open = 100
	for i := range 20_000 {
		wait, ok := a.take(addr(i), time.Second)
		if wait > 0 || !ok {
			t.Fatalf("address %d: %v, %t", i, wait, ok)
		}
		if i >= open {
			lease{a, addr(i)}.release()
		}
		// A look at a few that all have sessions finds nothing to forget, for once.
		if n := a.addresses(); n > limit+len(a.shards) {
			t.Fatalf("%d addresses are remembered", n)
		}
	}
	for i := range open {
		if _, ok := a.take(addr(i), time.Second); ok {
			t.Errorf("address %d is forgotten", i)
		}
	}
	// Time passes: what is full again goes, a few at a time.
	for i := range 2000 {
		a.take(addr(1<<20+i), 3*time.Hour)
		lease{a, addr(1<<20 + i)}.release()
	}
	if n := a.addresses(); n > limit+len(a.shards) {
		t.Errorf("%d addresses are remembered", n)
	}
}

// TestAdmissionModel compares with a plain map.
func TestAdmissionModel(t *testing.T) {
	cfg := Admission{ConnsPerAddress: 3, HandshakesPerAddress: Rate{PerSecond: 1, Burst: 4}}
	cfg.normalize()
	a := newAdmission(cfg)
	rnd := rand.New(rand.NewPCG(1, 1))
	type state struct{ conns, tokens int }
	model := make([]state, 5)
	for i := range model {
		model[i].tokens = 4
	}
	now := time.Second
	for step := range 20_000 {
		i := rnd.IntN(len(model))
		addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		m := &model[i]
		switch rnd.IntN(4) {
		case 0:
			now += time.Second
			for j := range model {
				model[j].tokens = min(model[j].tokens+1, 4)
			}
		case 1:
			if m.conns > 0 {
				m.conns--
				lease{a, addr}.release()
			}
		default:
			wait, ok := a.take(addr, now)
			if got, want := fmt.Sprint(ok, wait == 0), fmt.Sprint(m.conns < 3, m.conns >= 3 || m.tokens > 0); got != want {
				t.Fatalf("step %d: got %s, want %s for %+v", step, got, want, *m)
			}
			if ok && wait == 0 {
				m.conns++
				m.tokens--
			}
		}
	}
}

// A refused handshake that a hook wants to know of goes through net/http, and is told.
func TestAdmissionIsReported(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		told := make(chan *ConnectionError, 10)
		r := d.open(t, Config{
			Admission:         Admission{ConnsPerAddress: 1},
			OnConnectionError: func(e *ConnectionError) { told <- e },
		}, nil)
		r.websocket()
		r.upgrade(wsPath, nil).wantRefused(CodeTooManyRequests, "")
		if e := wait(t, told, "the report"); e.Code != CodeTooManyRequests || e.Context.Name != "ADDRESS_CONNECTIONS" || e.Context.Address != "127.0.0.1" {
			t.Errorf("%+v", e)
		}
	})
}

func TestAdmissionConfig(t *testing.T) {
	_, err := NewServer(Config{
		Admission: Admission{
			ConnsPerAddress: -1, HandshakesPerAddress: Rate{PerSecond: -1}, Handshakes: Rate{Burst: -1},
			Proxies: []netip.Prefix{{}}, IPv6Bits: 129, MaxAddresses: -1,
		},
		Flow: Flow{HighWater: 5 << 20, LowWater: 6 << 20, MaxSlow: -1},
	}, &app{})
	for _, f := range []string{
		"Admission.ConnsPerAddress", "Admission.HandshakesPerAddress", "Admission.Handshakes", "Admission.Proxies",
		"Admission.IPv6Bits", "Admission.MaxAddresses", "Flow.HighWater", "Flow.LowWater", "Flow.MaxSlow",
	} {
		if err == nil || !strings.Contains(err.Error(), "Config."+f+":") {
			t.Errorf("nothing is said about %s: %v", f, err)
		}
	}
	if _, err := NewServer(Config{Flow: Flow{MaxSlow: time.Second}}, &app{}); err == nil {
		t.Error("MaxSlow without HighWater was accepted")
	}
}

// TestStatsOfSessions counts how sessions come and go.
func TestStatsOfSessions(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, nil)
		sid := r.poll()
		k := r.candidate(sid)
		k.send("2probe")
		if got := k.text(); got != "3probe" {
			t.Fatalf("got %q", got)
		}
		k.send("5")
		c := r.websocket()
		synctest.Wait()
		r.do("GET", "/engine.io/?EIO=4&transport=nope", "").wantCode(CodeUnknownTransport)
		r.upgrade("/engine.io/?EIO=3&transport=websocket", nil)
		st := r.srv.Stats()
		if st.Polling != 1 || st.WebSocket != 1 || st.Upgraded != 1 || st.Sessions != 2 || st.Refused[CodeUnknownTransport] != 1 ||
			st.Refused[CodeUnsupportedProtocol] != 1 {
			t.Errorf("%+v", st)
		}
		c.nc.Close()
		synctest.Wait()
		r.srv.Session(sid).Close("because")
		for i := range 100 {
			s := r.srv.Session(r.poll())
			s.Discard(Reason(fmt.Sprint("reason ", i)))
		}
		synctest.Wait()
		st = r.srv.Stats()
		if st.Closed[Closing{TransportClose, WebSocket}] != 1 || st.Closed[Closing{"because", WebSocket}] != 1 ||
			len(st.Closed) != maxClosings+1 || st.Closed[Closing{"other", Polling}] != 100+2-maxClosings {
			t.Errorf("%v", st.Closed)
		}
	})
}
