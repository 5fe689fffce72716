package eio

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/epio-go/epio/codec"
	"github.com/epio-go/epio/pool"
)

// flowRig is a server that tells when sessions become slow and fast.
func flowRig(t *testing.T, d door) (*rig, <-chan string) {
	t.Helper()
	heard := make(chan string, 10)
	r := d.open(t, Config{SendBuffer: 64 << 10, Flow: Flow{
		HighWater: 30 << 10,
		OnSlow:    func(*Session, int) { heard <- "slow" },
		OnFast:    func(*Session, int) { heard <- "fast" },
	}}, nil)
	return r, heard
}

// A session that was slow on polling is not on a WebSocket that takes everything.
func TestUpgradeEndsSlowness(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r, heard := flowRig(t, d)
		sid := r.poll()
		s := r.session()
		fill := strings.Repeat("x", 10<<10)
		for range 4 {
			if err := s.SendMessage([]byte(fill), false); err != nil {
				t.Fatal(err)
			}
		}
		if got := wait(t, heard, "slow"); got != "slow" || !s.Slow() {
			t.Fatalf("heard %q", got)
		}
		k := r.candidate(sid)
		k.send("2probe")
		k.hear(t, "text 3probe")
		k.send("5")
		for range 4 {
			k.hear(t, "text 4"+fill)
		}
		synctest.Wait()
		if s.Slow() {
			t.Error("slow although everything has arrived")
		}
		last := ""
		for len(heard) > 0 { // the writer may have been caught in the middle of it
			last = <-heard
		}
		if last != "fast" {
			t.Errorf("the last that was heard is %q", last)
		}
	})
}

// droppable returns a message that may be dropped.
func droppable(text string) *pool.Frame {
	f := codec.NewTextFrame(codec.Message, []byte(text))
	f.SetDroppable()
	return f
}

// What takes the place of others is told to hooks like everything else.
func TestReplacingWithHooks(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		l := new(hookLog)
		r := d.open(t, Config{SendBuffer: 1024, Hooks: l.hooks()}, nil)
		sid := r.poll()
		s := r.session()
		l.want(t, nil)
		fill := strings.Repeat("x", 600)
		for i, want := range []int{0, 1} {
			if n, err := s.SendReplacing(droppable(fill)); n != want || err != nil {
				t.Errorf("message %d: %d dropped, %v", i, n, err)
			}
		}
		l.want(t, []string{"out message false " + fill, "out message false " + fill})
		r.get(sid).want(200, "4"+fill)
		l.want(t, nil, "flush 1", "drain")
		s.mu.Lock()
		if s.out.loose != 0 {
			t.Errorf("%d droppable packets in an empty outbox", s.out.loose)
		}
		s.mu.Unlock()

		k := r.websocket()
		ws := r.session()
		l.want(t, nil)
		b := r.srv.Engine().NewBatch()
		if n, err := ws.SendReplacing(droppable("a")); n != 0 || err != nil {
			t.Errorf("%d dropped, %v", n, err)
		}
		k.hear(t, "text 4a")
		l.want(t, []string{"out message false a"}, "flush 1", "drain")
		if n, err := ws.QueueReplacing(droppable("b"), b); n != 0 || err != nil {
			t.Errorf("%d dropped, %v", n, err)
		}
		b.Flush()
		k.hear(t, "text 4b")
		l.want(t, []string{"out message false b"}, "flush 1", "drain")
	})
}

// TestReplacingOnPolling fills the outbox of a polling session with droppable and other
// messages, and upgrades it in the end: what is left arrives in order.
func TestReplacingOnPolling(t *testing.T) {
	eachMemoryDoor(t, func(t *testing.T, d door) {
		r, _ := flowRig(t, d)
		sid := r.poll()
		s := r.session()
		fill := strings.Repeat("x", 8<<10)
		dropped := 0
		for i := range 20 {
			text := string(rune('a'+i)) + fill
			f := droppable(text)
			if i%7 == 0 {
				f.Release()
				f = codec.NewTextFrame(codec.Message, []byte(text))
			}
			n, err := s.SendReplacing(f)
			if err != nil {
				t.Fatal(err)
			}
			dropped += n
		}
		packets, bytes := s.Backlog()
		if packets != 7 || dropped != 13 || bytes != s.Buffered() || bytes > 64<<10 {
			t.Errorf("%d packets of %d bytes, %d dropped", packets, bytes, dropped)
		}
		if _, err := s.SendReplacing(droppable(strings.Repeat("x", 70<<10))); err != ErrBufferFull {
			t.Errorf("a message larger than the buffer: %v", err)
		}
		k := r.candidate(sid)
		k.send("2probe")
		k.hear(t, "text 3probe")
		k.send("5")
		synctest.Wait()
		for _, first := range "ahoqrst" {
			k.hear(t, "text 4"+string(first)+fill)
		}
	})
}
