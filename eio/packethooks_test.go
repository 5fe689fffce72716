package eio

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
)

// hookLog is what hooks were told: at once by those that borrow, in order by the later ones.
type hookLog struct {
	mu    sync.Mutex
	now   []string
	later chan string
}

func (l *hookLog) hooks() *Hooks {
	l.later = make(chan string, 1024)
	packet := func(way string) func(*Session, codec.Packet) {
		return func(s *Session, p codec.Packet) {
			s.Transport() // no lock is held
			l.mu.Lock()
			defer l.mu.Unlock()
			l.now = append(l.now, strings.TrimSuffix(fmt.Sprintf("%s %v %v %s", way, p.Type, p.Binary, p.Data), " "))
		}
	}
	return &Hooks{
		Packet:       packet("in"),
		PacketCreate: packet("out"),
		Flush:        func(_ *Session, n int) { l.later <- fmt.Sprintf("flush %d", n) },
		Drain:        func(*Session) { l.later <- "drain" },
		Heartbeat:    func(*Session) { l.later <- "heartbeat" },
		Upgrading:    func(_ *Session, t Transport) { l.later <- "upgrading to " + t.String() },
		Upgrade:      func(_ *Session, t Transport) { l.later <- "upgraded to " + t.String() },
	}
}

// want checks what has been told since the last call.
func (l *hookLog) want(t *testing.T, now []string, later ...string) {
	t.Helper()
	for _, w := range later {
		if got := wait(t, l.later, w); got != w {
			t.Fatalf("hook says %q, want %q", got, w)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.now, now) {
		t.Fatalf("hooks say %q, want %q", l.now, now)
	}
	l.now = nil
}

func TestPacketHooks(t *testing.T) {
	run := func(t *testing.T, d door) {
		l := new(hookLog)
		r := d.open(t, Config{Hooks: l.hooks()}, &app{})
		sid := r.poll()
		s := r.session()
		l.want(t, nil)
		if s.Writable() || s.Upgraded() {
			t.Errorf("writable without a poll (%v), or upgraded (%v)", s.Writable(), s.Upgraded())
		}

		s.SendMessage([]byte("a"), false)
		s.SendAll(Message{Data: []byte("b")}, Message{Data: []byte("c"), Binary: true})
		l.want(t, []string{"out message false a", "out message false b", "out message true c"})
		r.get(sid).want(200, "4a\x1e4b\x1ebYw==")
		l.want(t, nil, "flush 3", "drain")
		answer := r.parked(sid)
		if !s.Writable() {
			t.Error("not writable though a poll is parked")
		}
		if !s.SendMessageVolatile([]byte("v"), false) || s.SendMessageVolatile([]byte("w"), true) {
			t.Error("one of two volatile messages should have been taken")
		}
		wait(t, answer, "answer").want(200, "4v")
		l.want(t, []string{"out message false v"}, "flush 1", "drain")
		r.post(sid, "4x\x1ebeQ==\x1e6").want(200, "ok")
		l.want(t, []string{"in message false x", "in message true y", "in noop false"})

		c := r.candidate(sid)
		c.send("2probe")
		c.want("3probe")
		l.want(t, nil, "upgrading to websocket")
		s.SendMessage([]byte("waits"), false)
		c.send("5")
		c.want("4waits")
		l.want(t, []string{"out message false waits"}, "upgraded to websocket", "flush 1", "drain")

		if !s.Writable() || !s.Upgraded() {
			t.Errorf("writable %v, upgraded %v", s.Writable(), s.Upgraded())
		}
		c.send("4x")
		r.wantSaid("x", "0x79", "x")
		l.want(t, []string{"in message false x"})
		s.SendMessage([]byte("one"), false)
		c.want("4one")
		l.want(t, []string{"out message false one"}, "flush 1", "drain")
		if !s.SendMessageVolatile([]byte{'v'}, true) {
			t.Error("not taken")
		}
		c.wantBinary('v')
		l.want(t, []string{"out message true v"}, "flush 1", "drain")
		b := r.srv.Engine().NewBatch()
		if s.Form() != codec.FormPlain {
			t.Error("a broadcast would go past the hooks")
		}
		s.Queue(codec.NewTextFrame(codec.Message, "two"), b)
		s.QueueVolatile(codec.NewTextFrame(codec.Message, "late"), b)
		b.Flush()
		c.want("4two")
		l.want(t, []string{"out message false two"}, "flush 1", "drain")
		b = r.srv.Engine().NewBatch()
		s.QueueVolatile(codec.NewTextFrame(codec.Message, "three"), b)
		b.Flush()
		c.want("4three")
		l.want(t, []string{"out message false three"}, "flush 1", "drain")
		c.send("3") // nobody asked
		l.want(t, []string{"in pong false"}, "heartbeat")

		if d.memory {
			c.want("2")
			synctest.Wait() // the hook is told after the packet has left
			l.want(t, []string{"out ping false"})
			c.send("3")
			l.want(t, []string{"in pong false"}, "heartbeat")
		}
		c.send("1")
		r.wantClose(TransportClose)
		l.want(t, []string{"in close false"})
		if s.SendMessage([]byte("x"), false) == nil || s.Writable() {
			t.Error("sent on a closed session, or could have been")
		}
	}
	eachDoor(t, run)
	eachMemoryDoor(t, run)
}

func TestPacketHooksV3(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		l := new(hookLog)
		r := d.open(t, Config{Hooks: l.hooks(), AllowEIO3: true}, &app{})
		c := r.upgrade("/engine.io/?EIO=3&transport=websocket", nil)
		c.want101()
		c.text()
		s := r.session()
		wait(t, l.later, "flush of OPEN")
		wait(t, l.later, "drain")
		c.send("2")
		c.want("3")
		synctest.Wait() // as above
		l.want(t, []string{"in ping false", "out pong false"}, "heartbeat")
		s.SendMessage([]byte{7}, true)
		c.wantBinary(4, 7)
		l.want(t, []string{"out message true \a"}, "flush 1", "drain")
	})
}

// A broadcast to a session whose connection takes compressed frames still goes past the hooks.
func TestPacketHooksDeflate(t *testing.T) {
	l := new(hookLog)
	r := doors[2].open(t, Config{Hooks: l.hooks(), PerMessageDeflate: &PerMessageDeflate{}}, &app{})
	c := r.websocket()
	s := r.session()
	s.SendMessage([]byte(prose(5000)), false)
	c.want("4" + prose(5000))
	l.want(t, []string{"out message false " + prose(5000)}, "flush 1", "drain")
	if c.deflated != 1 || s.Form() != codec.FormPlain {
		t.Errorf("%d compressed, form %v", c.deflated, s.Form())
	}
}

// A client that does not read has no Drain until it does, however much is sent.
func TestDrainHookSlowClient(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		l := new(hookLog)
		h := l.hooks()
		h.Packet, h.PacketCreate, h.Flush = nil, nil, nil
		r := d.open(t, Config{Hooks: h, SendBuffer: 16 << 20}, &app{})
		c := r.websocket()
		s := r.session()
		chunk := make([]byte, 500<<10) // more than the connection takes unread
		for range 20 {
			if err := s.SendMessage(chunk, true); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // fake time: everything that can happen has happened
		if len(l.later) != 0 || s.Buffered() == 0 || s.Writable() {
			t.Fatalf("%d drains, %d bytes wait", len(l.later), s.Buffered())
		}
		for range 20 {
			c.frame()
		}
		l.want(t, nil, "drain")
		time.Sleep(time.Second)
		if len(l.later) != 0 {
			t.Errorf("and %d more", len(l.later))
		}
	})
}

// A hook that panics is logged and harms nobody.
func TestHookPanics(t *testing.T) {
	var log strings.Builder
	beats := make(chan string, 1)
	h := &Hooks{
		Upgrading: func(*Session, Transport) { panic("oops") },
		Upgrade:   func(s *Session, _ Transport) { beats <- s.ID() },
	}
	r := doors[0].open(t, Config{Hooks: h, Logger: slog.New(slog.NewTextHandler(&log, nil))}, nil)
	sid := r.poll()
	c := r.candidate(sid)
	c.send("2probe", "5")
	if got := wait(t, beats, "Upgrade"); got != sid {
		t.Errorf("upgraded %q", got)
	}
	r.stop()
	if !strings.Contains(log.String(), "oops") {
		t.Errorf("log has %q", log.String())
	}
}

func TestSendFunc(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{SendBuffer: 4 << 10, PerMessageDeflate: &PerMessageDeflate{Threshold: 100}}, &app{})
		results := make(chan string, 16)
		send := func(s *Session, what string) {
			s.SendFunc(codec.NewTextFrame(codec.Message, what), func(err error) { results <- fmt.Sprintf("%.5s: %v", what, err) })
		}
		want := func(w string) {
			t.Helper()
			if got := wait(t, results, w); got != w {
				t.Fatalf("got %q, want %q", got, w)
			}
		}
		sid := r.poll()
		s := r.session()
		send(s, "1")
		send(s, strings.Repeat("x", 4<<10))
		want("xxxxx: " + ErrBufferFull.Error())
		if len(results) != 0 {
			t.Fatal("done before anybody polled")
		}
		r.get(sid).want(200, "41")
		want("1: <nil>")
		c := r.candidate(sid)
		c.send("2probe")
		c.want("3probe")
		send(s, "2")
		c.send("5")
		c.want("42")
		want("2: <nil>")
		send(s, "3")
		c.want("43")
		want("3: <nil>")
		send(s, prose(500))
		c.want("4" + prose(500))
		if c.deflated != 1 {
			t.Error("not compressed")
		}
		want("compr: <nil>")
		s.Close(ForcedClose)
		send(s, "4")
		want("4: " + ErrClosed.Error())

		r.poll()
		s = r.session()
		send(s, "5")
		s.Discard(ForcedClose)
		want("5: " + ErrClosed.Error())
	})
}

// Each binary message on polling that becomes base64 on the WebSocket keeps its callback.
func TestSendFuncForms(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{AllowEIO3: true}, &app{})
		sid := r.poll()
		s := r.session()
		c := r.upgrade(wsPath+"&sid="+sid+"&b64=1", nil)
		c.want101()
		c.send("2probe")
		c.want("3probe")
		results := make(chan error, 4)
		s.SendFunc(codec.NewBinaryFrame([]byte{1}), func(err error) { results <- err })
		c.send("5")
		c.want("bAQ==")
		if err := wait(t, results, "done"); err != nil {
			t.Error(err)
		}
		s.SendFunc(codec.NewBinaryFrame([]byte{2}), func(err error) { results <- err })
		c.want("bAg==")
		if err := wait(t, results, "done"); err != nil {
			t.Error(err)
		}
	})
}

// What a client never reads is reported as lost when its connection ends.
func TestSendFuncLost(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r := d.open(t, Config{}, &app{})
		r.websocket()
		s := r.session()
		var got []string
		var mu sync.Mutex
		for i := range 8 {
			s.SendFunc(codec.NewBinaryFrame(make([]byte, 100<<10)), func(err error) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, fmt.Sprint(i, err == nil, errors.Is(err, ErrClosed)))
			})
		}
		time.Sleep(time.Second)
		r.stop() // waits for callbacks
		sent := 0
		for i, line := range got {
			if line == fmt.Sprint(i, true, false) && i == sent {
				sent++
			} else if line != fmt.Sprint(i, false, true) {
				t.Errorf("callback %d says %q, %d were sent", i, line, sent)
			}
		}
		if len(got) != 8 || sent == 0 || sent == 8 {
			t.Errorf("%d callbacks, %d sent", len(got), sent)
		}
	})
}

func TestSendAll(t *testing.T) {
	r := doors[0].open(t, Config{SendBuffer: 1 << 10}, &app{})
	sid := r.poll()
	s := r.session()
	half := make([]byte, 600)
	if err := s.SendAll(Message{Data: half}, Message{Data: half}); !errors.Is(err, ErrBufferFull) {
		t.Errorf("got %v, want a full buffer", err)
	}
	if err := s.SendAll(); err != nil || s.Buffered() != 0 {
		t.Errorf("nothing: %v, %d bytes wait", err, s.Buffered())
	}
	data := []byte("copied")
	if err := s.SendAll(Message{Data: data}, Message{Binary: true}); err != nil {
		t.Fatal(err)
	}
	copy(data, "other!")
	r.get(sid).want(200, "4copied\x1eb")
}

// BenchmarkSendHooked compares sending without and with hooks.
func BenchmarkSendHooked(b *testing.B) {
	for name, h := range map[string]*Hooks{"none": nil, "packets": {PacketCreate: func(*Session, codec.Packet) {}}} {
		b.Run("hooks="+name, func(b *testing.B) {
			srv, err := NewServer(Config{Hooks: h, PingInterval: time.Hour}, silent{})
			if err != nil {
				b.Fatal(err)
			}
			defer srv.Close()
			s := newSession(srv, "x", Polling, nil, &query{})
			f := codec.NewTextFrame(codec.Message, "hello")
			defer f.Release()
			b.ReportAllocs()
			for b.Loop() {
				f.Retain(1)
				s.Send(f)
				s.out.frames, s.out.bytes = s.out.frames[:0], 0
				f.Release()
			}
		})
	}
}
