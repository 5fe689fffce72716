package eio

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
)

func TestWebTransport(t *testing.T) {
	cfg := Config{InitialPacket: &InitialPacket{Data: []byte("welcome")}}
	wtTest(t, cfg, &app{echo: true, onOpen: func(s *Session) { s.SendMessage([]byte("from Open"), false) }}, func(r *rig) {
		req := wtRequest(wtQuery+"&token=x", "Origin", "https://elsewhere.test", "X-Test", "yes")
		c := r.dialWT(req)
		c.stream()
		c.write(append(wtPacket("0", false), wtPacket("4with the handshake", false)...))
		open := parseOpen(t, c.text())
		if len(open.SID) != 20 || open.Upgrades == nil || len(open.Upgrades) > 0 || open.PingInterval != 25000 || open.MaxPayload != DefaultMaxPayload {
			t.Errorf("handshake %+v", open)
		}
		c.want("4welcome", "4from Open", "4with the handshake")
		wait(t, c.answered, "the handler")

		s := r.session()
		if s.Transport() != WebTransport || s.Transport().String() != "webtransport" || s.Protocol() != 4 || s.ID() != open.SID {
			t.Errorf("session on %v, revision %d", s.Transport(), s.Protocol())
		}
		h := s.Handshake()
		if hr := h.Request(); hr == nil || hr.URL.Query().Get("token") != "x" || hr.Header.Get("X-Test") != "yes" || hr.RemoteAddr != "192.0.2.1:4433" ||
			!h.Secure() || hr.TLS == nil || hr.Host != "epio.test" {
			t.Errorf("handshake %+v of %+v", h, hr)
		}

		for _, text := range []string{"x", "€", repeat("a", 124), repeat("a", 125), repeat("a", 65534), repeat("a", 65535), repeat("a", DefaultMaxPayload-1)} {
			go c.send("4" + text)
			c.want("4" + text)
		}
		for _, data := range []string{"x", repeat("\x00", 126), repeat("\x01", 70000), repeat("\x02", DefaultMaxPayload)} {
			go c.sendBinary(data)
			c.wantBinary(data)
		}
		// An empty binary message comes as one, and leaves as base64: the official client
		// cannot read what it sends itself.
		c.sendBinary("")
		c.want("b")
		c.send("b") // and other base64
		c.want("b")
		c.send("bAQID")
		c.wantBinary("\x01\x02\x03")
		c.send("4\xff")
		c.want("4\ufffd")

		c.nc.Close()
		r.wantClose(TransportClose)
		wait(t, c.session.ended, "the end of the session")
	})
}

// TestWebTransportInPieces sends and receives a few bytes at a time.
func TestWebTransportInPieces(t *testing.T) {
	wtTest(t, Config{}, nil, func(r *rig) {
		c := r.dialWT(wtRequest(""))
		c.stream()
		stream := wtPacket("0", false)
		for range 3 {
			stream = append(append(stream, wtPacket("4"+repeat("a", 200), false)...), wtPacket(repeat("b", 130), true)...)
		}
		written := make(chan struct{})
		go func() {
			defer close(written)
			for b := range slices.Chunk(stream, 7) {
				c.write(b)
				time.Sleep(time.Millisecond)
			}
		}()
		parseOpen(t, c.text())
		for range 3 {
			c.want("4" + repeat("a", 200))
			c.wantBinary(repeat("b", 130))
		}
		wait(t, written, "the client's writes")
	})
}

func TestWebTransportHeartbeat(t *testing.T) {
	wtTest(t, Config{PingInterval: 10 * time.Second, PingTimeout: 5 * time.Second}, nil, func(r *rig) {
		c := r.webtransport()
		begin := time.Now()
		c.want("2")
		c.send("3")
		c.want("2")
		if d := time.Since(begin); !soon(d, 20*time.Second) {
			t.Errorf("the second PING came after %v", d)
		}
		c.wantClosed()
		r.wantClose(PingTimeout)
		// What is left of the session gets a moment for what is on its way.
		if d := time.Since(begin); !soon(d, 25*time.Second+wtFarewell) {
			t.Errorf("closed after %v", d)
		}
	})
}

// TestWebTransportClose ends sessions from the server's side: what was sent is
// delivered, however slow the client is, and the WebTransport session ends a moment later.
func TestWebTransportClose(t *testing.T) {
	wtTest(t, Config{}, nil, func(r *rig) {
		c := r.webtransport()
		s := r.session()
		for range 3 {
			if err := s.SendMessage([]byte(repeat("x", 30000)), false); err != nil {
				t.Fatal(err)
			}
		}
		s.Close(ForcedClose)
		r.wantClose(ForcedClose)
		if err := s.SendMessage([]byte("late"), false); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		time.Sleep(time.Second)
		c.send("4too late") // is read and thrown away
		for range 3 {
			c.want("4" + repeat("x", 30000))
		}
		read := time.Now()
		c.wantClosed()
		if d := time.Since(read); d > wtFarewell {
			t.Errorf("the session ended %v after the last packet", d)
		}

		// A client that does not read is cut off.
		c = r.webtransport()
		s = r.session()
		for range 3 {
			s.SendMessage([]byte(repeat("x", 30000)), false)
		}
		s.Close(ForcedClose)
		r.wantClose(ForcedClose)
		closing := time.Now()
		wait(t, c.session.ended, "the end of the session")
		if d := time.Since(closing); !soon(d, wsLinger) {
			t.Errorf("cut off after %v", d)
		}
		if n := r.srv.engine.Conns(); n > 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestWebTransportShutdown(t *testing.T) {
	var f refusals
	wtTest(t, Config{OnConnectionError: f.add}, nil, func(r *rig) {
		c := r.webtransport()
		r.session().SendMessage([]byte("last"), false)
		early := r.dialWT(wtRequest("")) // nothing on its stream yet
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- r.srv.Shutdown(context.Background()) }()
		wait(t, early.session.ended, "the end of a session without a stream")
		wait(t, early.answered, "the handler")
		if got := f.take(); len(got) != 1 || got[0].Code != CodeShuttingDown {
			t.Errorf("reported %v", got)
		}
		c.want("4last")
		c.wantClosed()
		if err := wait(t, done, "Shutdown"); err != nil {
			t.Error(err)
		}
		r.wantClose(ForcedClose)
		r.dialWT(wtRequest("")).wantStatus(http.StatusServiceUnavailable, CodeShuttingDown)
	})
}

func TestWebTransportUpgrade(t *testing.T) {
	wtTest(t, Config{}, nil, func(r *rig) {
		p := parseOpen(t, r.do("GET", pollingPath, "").body)
		sid := p.SID
		if !slices.Equal(p.Upgrades, []string{"websocket", "webtransport"}) {
			t.Errorf("upgrades %v", p.Upgrades)
		}
		s := r.session()
		parked := r.parked(sid)
		c := r.wtCandidate(sid)
		c.send("2probe")
		c.want("3probe")
		wait(t, parked, "the parked GET").want(200, "6")
		if !s.Upgrading() || s.Transport() != Polling {
			t.Errorf("upgrading %v on %v", s.Upgrading(), s.Transport())
		}
		// Others are turned away meanwhile, on either transport.
		r.candidate(sid).wantCloseFrame(1005)
		r.wtCandidate(sid).wantClosed()

		r.post(sid, "4during").want(200, "ok")
		r.get(sid).want(200, "4during")
		s.Send(codec.NewTextFrame(codec.Message, "in the buffer"))
		s.Send(codec.NewBinaryFrame([]byte{1, 2}))
		c.write(append(wtPacket("5", false), wtPacket("4first", false)...))
		c.want("4in the buffer")
		c.wantBinary("\x01\x02")
		c.want("4first")
		if s.Upgrading() || s.Transport() != WebTransport {
			t.Errorf("upgrading %v on %v", s.Upgrading(), s.Transport())
		}
		r.wantSaid("during", "first")

		// HTTP is over now, and so are further upgrades.
		r.get(sid).wantCode(CodeBadRequest)
		r.post(sid, "4x").wantCode(CodeBadRequest)
		r.candidate(sid).wantCloseFrame(1005)
		r.wtCandidate(sid).wantClosed()
		c.send("4still fine")
		c.want("4still fine", "2")
		c.send("3", "4after the PING")
		c.want("4after the PING")
		s.Close(ForcedClose)
		c.wantClosed()
		r.wantClose(ForcedClose)
		r.get(sid).wantCode(CodeUnknownSession)
	})
}

// TestWebTransportUpgradeWaitsForPost sends UPGRADE while a POST is in progress: its messages
// come first.
func TestWebTransportUpgradeWaitsForPost(t *testing.T) {
	wtTest(t, Config{}, nil, func(r *rig) {
		sid := r.poll()
		s := r.session()
		s.Pause()
		posted := make(chan reply, 1)
		go func() { posted <- r.post(sid, "4one\x1e4two") }()
		synctest.Wait()
		c := r.wtCandidate(sid)
		c.send("2probe", "5", "4three")
		c.want("3probe")
		synctest.Wait()
		if s.Transport() != Polling {
			t.Error("switched while a POST was in progress")
		}
		s.Resume()
		c.want("4one", "4two", "4three")
		r.wantSaid("one", "two", "three")
		wait(t, posted, "the POST")
	})
}

// TestWebTransportFromWebSocket: no client leaves a WebSocket. Those that try are turned away,
// and nothing happens to the session.
func TestWebTransportFromWebSocket(t *testing.T) {
	var f refusals
	wtTest(t, Config{OnConnectionError: f.add}, nil, func(r *rig) {
		direct := r.websocket()
		upgraded := r.candidate(r.poll())
		upgraded.send("5", "4switched")
		upgraded.want("4switched")
		for _, c := range []*wsClient{direct, upgraded} {
			k := r.wtCandidate(r.session().ID())
			k.wantClosed()
			wait(t, k.answered, "the handler")
			if got := f.take(); len(got) != 1 || got[0].Context.Name != "TRANSPORT_MISMATCH" || got[0].Context.PreviousTransport != "websocket" {
				t.Errorf("reported %v", got)
			}
			c.send("4fine")
			c.want("4fine")
		}
	})
}

func TestWebTransportCandidateGarbage(t *testing.T) {
	wtTest(t, Config{MaxPayload: 1000}, nil, func(r *rig) {
		sid := r.poll()
		for _, b := range []string{
			"\x012", "\x062other", "\x024m", "\x01x", "\x00", "\x011", "\x013", "\x86binary", "\x7e\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		} {
			c := r.wtCandidate(sid)
			c.write([]byte(b))
			c.wantClosed()
			r.wantAlive(sid)
		}
		c := r.wtCandidate(sid)
		c.send("2probe", "4message")
		c.next() // 3probe, if it was read before the session ended
		wait(t, c.session.ended, "the end of the session")
		r.wantAlive(sid)

		// One that goes away.
		c = r.wtCandidate(sid)
		c.send("2probe")
		c.want("3probe")
		c.nc.Close()
		wait(t, c.session.ended, "the end of the session")
		synctest.Wait() // until it has made way for another
		r.wantAlive(sid)

		// One that is silent.
		c = r.wtCandidate(sid)
		begin := time.Now()
		c.wantClosed()
		if d := time.Since(begin); !soon(d, DefaultUpgradeTimeout) {
			t.Errorf("dropped after %v", d)
		}
		r.wantAlive(sid)
		// The session ends under its candidate.
		c = r.wtCandidate(sid)
		c.send("2probe")
		c.want("3probe")
		r.srv.Session(sid).Discard(ForcedClose)
		c.wantClosed()
	})
}

func TestWebTransportGarbage(t *testing.T) {
	const limit = 1000
	size := func(n int64) error { return &SizeError{Size: n, Limit: limit} }
	for _, tt := range []struct {
		name, send string
		reason     Reason
		err        error
	}{
		{"empty text", "\x00", ParseError, codec.ErrPacket},
		{"unknown type", "\x01x", ParseError, codec.ErrPacket},
		{"one byte too many", "\x7e\x03\xe9", ParseError, size(1001)},
		{"binary, one byte too many", "\xfe\x03\xe9", ParseError, size(1001)},
		{"2^64-1 bytes", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", ParseError, size(1<<63 - 1)},
		{"a PING", "\x012", TransportError, ErrHeartbeat},
		{"a CLOSE", "\x011", TransportClose, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wtTest(t, Config{MaxPayload: limit}, nil, func(r *rig) {
				c := r.webtransport()
				c.send("4" + repeat("x", limit-1)) // exactly the limit
				c.want("4" + repeat("x", limit-1))
				c.write([]byte("\x044abc" + tt.send + "\x044def"))
				c.want("4abc")
				c.wantClosed()
				e := wait(t, r.app.closed, "Close")
				if e.reason != tt.reason || e.err != tt.err && (e.err == nil || tt.err == nil || e.err.Error() != tt.err.Error()) {
					t.Errorf("closed with %q, %v, want %q, %v", e.reason, e.err, tt.reason, tt.err)
				}
				r.wantSaid(repeat("x", limit-1), "abc")
			})
		})
	}
}

// TestWebTransportSlowReader fills the client's pipe, then our buffer, and finds everything
// delivered in order when it reads.
func TestWebTransportSlowReader(t *testing.T) {
	wtTest(t, Config{SendBuffer: 100_000}, nil, func(r *rig) {
		c := r.webtransport()
		s := r.session()
		if !s.SendVolatile(codec.NewTextFrame(codec.Message, "volatile")) {
			t.Error("a volatile packet was dropped for a client that reads")
		}
		c.want("4volatile")
		synctest.Wait()
		sent := 0
		for {
			err := s.SendMessage([]byte(repeat("x", 999)), false)
			if errors.Is(err, ErrBufferFull) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if sent++; sent%10 == 0 {
				synctest.Wait() // the writer takes what the pipe has room for
			}
		}
		if n := s.Buffered(); n > 100_000 || n < 99_000 {
			t.Errorf("%d bytes buffered", n)
		}
		if s.SendVolatile(codec.NewTextFrame(codec.Message, "never")) {
			t.Error("a volatile packet was taken while others wait")
		}
		b := r.srv.Engine().NewBatch()
		if s.QueueVolatile(codec.NewTextFrame(codec.Message, "never"), b) {
			t.Error("a volatile packet was queued while others wait")
		}
		b.Flush()
		for range sent {
			c.want("4" + repeat("x", 999))
		}
		synctest.Wait()
		b = r.srv.Engine().NewBatch()
		if !s.QueueVolatile(codec.NewTextFrame(codec.Message, "again"), b) {
			t.Error("a volatile packet was dropped")
		}
		f := codec.NewFrameIn(s.Form(), codec.ProbeFrame.Bytes())
		if err := s.QueueForm(f, b); err != nil {
			t.Error(err)
		}
		if err := s.Queue(codec.NewBinaryFrame([]byte{7}), b); err != nil {
			t.Error(err)
		}
		b.Flush()
		c.want("4again", "3probe")
		c.wantBinary("\x07")
	})
}

// TestWebTransportPause stops the flow at the application, and the client's writes with it.
func TestWebTransportPause(t *testing.T) {
	a := &app{}
	a.onMessage = func(s *Session, data []byte, _ bool) {
		a.said <- string(data[:4])
		s.Pause()
	}
	wtTest(t, Config{PingInterval: time.Hour}, a, func(r *rig) {
		c := r.webtransport()
		s := r.session()
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			for range 200 {
				c.send("4" + repeat("x", 9999))
			}
		}()
		for range 200 {
			r.wantSaid("xxxx")
			synctest.Wait()
			if n := len(r.app.said); n > 0 {
				t.Fatalf("%d messages after Pause", n)
			}
			s.Resume()
		}
		wait(t, wrote, "the client's writes")

		// A client that goes away meanwhile is noticed afterwards.
		c.send("4last")
		r.wantSaid("last")
		c.nc.Close()
		synctest.Wait()
		if s.Closed() {
			t.Error("ended while paused")
		}
		s.Resume()
		r.wantClose(TransportClose)
	})
}

// TestWebTransportPacketHooks: hooks and callbacks see what goes over WebTransport.
func TestWebTransportPacketHooks(t *testing.T) {
	seen := make(chan string, 64)
	cfg := Config{Hooks: &Hooks{
		Packet:       func(_ *Session, p codec.Packet) { seen <- "packet " + p.Type.String() + " " + string(p.Data) },
		PacketCreate: func(_ *Session, p codec.Packet) { seen <- "create " + p.Type.String() + " " + string(p.Data) },
		Heartbeat:    func(*Session) { seen <- "heartbeat" },
		Upgrading:    func(_ *Session, tr Transport) { seen <- "upgrading " + tr.String() },
		Upgrade:      func(_ *Session, tr Transport) { seen <- "upgrade " + tr.String() },
		Drain:        func(*Session) { seen <- "drain" },
	}}
	wtTest(t, cfg, &app{}, func(r *rig) {
		want := func(lines ...string) {
			t.Helper()
			for _, w := range lines {
				if got := wait(t, seen, w); got != w {
					t.Errorf("got %q, want %q", got, w)
				}
			}
		}
		sid := r.poll()
		s := r.session()
		c := r.wtCandidate(sid)
		c.send("2probe")
		c.want("3probe")
		want("upgrading webtransport")
		c.send("5")
		want("upgrade webtransport")
		c.send("4one")
		want("packet message one")
		done := make(chan error, 1)
		s.SendFunc(codec.NewTextFrame(codec.Message, "two"), func(err error) { done <- err })
		c.want("4two")
		if err := wait(t, done, "the callback"); err != nil {
			t.Errorf("the callback got %v", err)
		}
		want("create message two", "drain")
		c.want("2")
		want("create ping ")
		c.send("3")
		want("packet pong ", "heartbeat")

		// What never leaves is told, too.
		s.Discard(ForcedClose)
		s.SendFunc(codec.NewTextFrame(codec.Message, "late"), func(err error) { done <- err })
		if err := wait(t, done, "the callback"); !errors.Is(err, ErrClosed) {
			t.Errorf("the callback got %v", err)
		}
	})
}
