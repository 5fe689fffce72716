package eio

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epio-go/epio/internal/invariants"
)

// TestAttackTinyFragments floods with messages in fragments of a byte, or of none.
func TestAttackTinyFragments(t *testing.T) {
	const n = 8
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{MaxPayload: 4096})
		o := r.ordinary()
		all := make([]*wsClient, n)
		for i := range all {
			all[i] = r.websocket()
			all[i].nc.SetDeadline(time.Now().Add(stamina))
		}
		empty := bytes.Repeat(clientFrame(0x00, nil), 1000)
		each(all, func(a *wsClient) {
			a.write(clientFrame(0x01, []byte("4")))
			for range 5 { // 5,000 fragments of nothing
				a.write(empty)
				a.write(clientFrame(0x89, nil))
				if op, _, err := a.frame(); err != nil || op != 0xa {
					t.Errorf("%v, %v, want a PONG", op, err)
				}
			}
			a.write(bytes.Repeat(clientFrame(0x00, []byte("x")), 4095))
		})
		o.wantHeld(n, 4096*2+8<<10+d.connSize()) // the message, and what a client of the test has
		o.report("tiny fragments", n)
		for _, a := range all {
			a.write(clientFrame(0x80, nil))
			a.want("4" + strings.Repeat("x", 4095))
			a.write(clientFrame(0x01, []byte("4")))
			a.nc.Write(bytes.Repeat(clientFrame(0x00, []byte("x")), 4096)) // the last is one too many
			a.wantCloseFrame(1009)
		}
		o.wantAlone()
	})
}

// each runs f for all of them at once.
func each[T any](all []T, f func(T)) {
	var wg sync.WaitGroup
	for _, v := range all {
		wg.Go(func() { f(v) })
	}
	wg.Wait()
}

// TestAttackPings sends long PINGs without reading the PONGs: they are dropped when the send buffer is full.
func TestAttackPings(t *testing.T) { attackPings(t, "long PINGs", 125) }

// TestAttackEmptyPings does that with empty ones, whose PONGs are two bytes in a frame of a hundred.
func TestAttackEmptyPings(t *testing.T) { attackPings(t, "empty PINGs", 0) }

func attackPings(t *testing.T, name string, size int) {
	const n, buffer = 8, 64 << 10
	flood := bytes.Repeat(clientFrame(0x89, bytes.Repeat([]byte("p"), size)), 1000)
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{SendBuffer: buffer})
		o := r.ordinary()
		all := make([]*pinger, n)
		for i := range all {
			all[i] = &pinger{stuck: true}
		}
		for range 10 {
			var again []*pinger
			for _, a := range all {
				if a.stuck {
					again = append(again, a)
					a.nc = r.bare(r.narrow(), strings.Replace(goodUpgrade, "@", "", 1))
					a.s = r.session()
				}
			}
			each(again, func(a *pinger) { a.attack(t, flood, size > 0) })
		}
		for _, a := range all {
			if a.stuck {
				t.Error("an attacker's connection was stuck ten times")
			}
		}
		o.wantHeld(n, 2*buffer+d.connSize())
		o.report(name, n)
		o.wantGoroutines(2 * d.perConn(n))
		for _, a := range all {
			reset([]net.Conn{a.nc})
		}
		o.wantAlone()
	})
}

// pinger is one that does not read.
type pinger struct {
	nc    net.Conn
	s     *Session
	stuck bool
}

// attack sends very many PINGs at once, and then few at a time, so that each has its PONG, and goes on when the
// send buffer is full. A kernel whose receive buffer is full may throw away what came for it, acknowledgements
// with it, and then both kernels repeat themselves without end: that connection is stuck, and is given up.
func (a *pinger) attack(t *testing.T, flood []byte, fills bool) {
	a.stuck = false
	write := func(p []byte) bool {
		a.nc.SetWriteDeadline(time.Now().Add(3 * time.Second))
		_, err := a.nc.Write(p)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			a.stuck = true
			reset([]net.Conn{a.nc})
		} else if err != nil {
			t.Error(err)
		}
		return err == nil
	}
	for range 100 {
		if !write(flood) {
			return
		}
	}
	few := flood[:10*len(flood)/1000]
	limit := a.s.srv.cfg.SendBuffer
	beyond := 0
	for range 20_000 {
		if !write(few) {
			return
		}
		got := a.s.Buffered()
		if got > limit {
			t.Errorf("%d bytes are buffered", got)
			return
		}
		if got > limit/2 {
			beyond++
		}
		if beyond > 200 {
			return
		}
	}
	if fills {
		t.Error("the buffer is not full")
	}
}

// attackers returns the sessions of clients that are not ordinary.
func (r *rig) attackers() (all []*Session) {
	for _, s := range r.srv.sessions.all() {
		if !isOrdinary(s) {
			all = append(all, s)
		}
	}
	return all
}

// TestAttackTinyMessages sends tiny messages without end, as many in a segment as fit, to an application that
// answers each: some clients read the answers, others do not.
func TestAttackTinyMessages(t *testing.T) {
	const n, buffer = 4, 64 << 10
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{SendBuffer: buffer})
		o := r.ordinary()
		var all []net.Conn
		var readers sync.WaitGroup
		for tries := 1; ; tries++ {
			all = nil
			for i := range n {
				nc := r.narrow
				if i%2 == 0 {
					nc = r.tcp
				}
				c := r.bare(nc(), strings.Replace(goodUpgrade, "@", "", 1))
				if all = append(all, c); i%2 == 0 {
					readers.Go(func() { io.Copy(io.Discard, c) })
				}
			}
			if r.tinyFlood(all, buffer) || t.Failed() || invariants.Enabled { // there it would take too long
				break
			}
			if tries == 10 {
				t.Error("nobody's buffer is full")
				break
			}
			reset(all)
		}
		o.wantHeld(n, 2*buffer+32<<10+d.connSize())
		o.report("tiny messages in one segment", n)
		reset(all)
		readers.Wait()
		o.wantAlone()
	})
}

// tinyFlood sends tiny messages on all connections: on those that read, every other one, 50,000; on the others until the answers
// fill the system's buffers and then the session's. It reports whether they have: a connection may get stuck before, see pinger.
func (r *rig) tinyFlood(all []net.Conn, buffer int) bool {
	flood := bytes.Repeat(textFrame("4"), 1000)
	sessions := r.attackers()
	var full atomic.Bool
	each(all, func(nc net.Conn) {
		reads := slices.Index(all, nc)%2 == 0
		for sent := 0; sent < 50_000 || !reads && !full.Load() && sent < 5_000_000 && !invariants.Enabled; sent += 1000 {
			nc.SetWriteDeadline(time.Now().Add(5 * time.Second))
			if _, err := nc.Write(flood); errors.Is(err, os.ErrDeadlineExceeded) && !reads {
				return
			} else if err != nil {
				r.t.Error(err)
				return
			}
			for _, s := range sessions {
				got := s.Buffered()
				if got > buffer {
					r.t.Errorf("%d bytes are buffered", got)
					return
				}
				if got > buffer-10 {
					full.Store(true)
				}
			}
		}
	})
	return full.Load()
}

// TestAttackCompressionBombs sends messages that grow a thousandfold when they are decompressed.
func TestAttackCompressionBombs(t *testing.T) {
	const n, limit = 16, 64 << 10
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 9)
	zeros := make([]byte, 1<<20)
	for range 16 {
		w.Write(zeros)
	}
	w.Flush()
	bomb := string(bytes.TrimSuffix(z.Bytes(), []byte("\x00\x00\xff\xff")))
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{MaxPayload: limit, PerMessageDeflate: &PerMessageDeflate{}})
		o := r.ordinary()
		all := make([]*wsClient, n)
		for i := range all {
			all[i] = r.websocket()
			all[i].nc.SetDeadline(time.Now().Add(stamina))
		}
		each(all, func(a *wsClient) {
			a.write(clientFrame(0xc2, []byte(bomb)))
			op, p, err := a.frame()
			if err != nil || op != 8 || len(p) != 2 || p[0] != 1009>>8 || p[1] != 1009&0xff {
				t.Errorf("got %v %.20q, %v; want a close frame with 1009", op, p, err)
			}
		})
		if t.Failed() {
			return
		}
		o.wantHeld(n, 32<<10+d.connSize())

		// Cut, so that it never is complete; the compressed form counts.
		for range n {
			a := r.websocket()
			a.write(clientFrame(0x42, []byte(bomb)))
		}
		o.wantHeld(2*n, len(bomb)*2+32<<10+d.connSize())

		// The same in a body: it is not decompressed at all.
		for _, coding := range []string{"deflate", "gzip", "br"} {
			sid := r.poll()
			r.do("POST", pollingPath+"&sid="+sid, "4"+bomb, "Content-Encoding", coding).want(200, "ok")
			if got := wait(t, r.app.said, "the body"); len(got) > 3*len(bomb) { // bytes that are no text become U+FFFD
				t.Errorf("message of %d bytes", len(got))
			}
		}
		o.report("compression bombs", 2*n+3)
	})
}

// TestAttackSlowReaders has a crowd that does not read what everybody is sent.
func TestAttackSlowReaders(t *testing.T) {
	const buffer = 64 << 10
	message := bytes.Repeat([]byte("x"), 16<<10)
	eachAttacked(t, func(t *testing.T, d door) {
		n := many()
		r := d.attacked(t, Config{SendBuffer: buffer})
		o := r.ordinary()
		all := make([]net.Conn, n)
		for i := range all {
			all[i] = r.bare(r.narrow(), strings.Replace(goodUpgrade, "@", "", 1))
		}
		full := 0
		for _, s := range r.attackers() {
			for range 1000 { // more than the system's buffers take
				if err := s.SendMessage(message, false); err != nil {
					full++
					break
				}
				if got := s.Buffered(); got > buffer {
					t.Fatalf("%d bytes are buffered", got)
				}
			}
		}
		if full != n {
			t.Errorf("%d buffers are full, want %d", full, n)
		}
		o.wantGoroutines(2 * d.perConn(n))         // one reads and one writes
		o.wantHeld(n, 2*buffer+4<<10+d.connSize()) // frames in buffers of the next size, and what stands in front of them
		o.report("slow readers", n)
		reset(all)
		o.wantAlone()
	})
}

// TestAttackSlowReadersReplaced does not read tiny messages of which older ones make room for newer ones, on WebSockets and in
// polls that are not made.
func TestAttackSlowReadersReplaced(t *testing.T) {
	const n, buffer = 32, 64 << 10
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{SendBuffer: buffer})
		o := r.ordinary()
		var all []net.Conn
		for range n / 2 {
			all = append(all, r.bare(r.narrow(), strings.Replace(goodUpgrade, "@", "", 1)))
			r.poll()
		}
		for _, s := range r.attackers() {
			text := strings.Repeat("x", 256) // until the system's buffers are full; a writer has some in its hands, not all
			for dropped := 0; dropped < 10_000; {
				k, err := s.SendReplacing(droppable(text))
				if err != nil {
					t.Fatal(err)
				}
				if dropped += k; k > 0 {
					text = "x"
				}
			}
			if got := s.Buffered(); got > buffer {
				t.Fatalf("%d bytes are buffered", got)
			}
		}
		o.wantHeld(n, 3*buffer+d.connSize()) // see TestAttackTinyAnswers
		o.report("tiny messages that are replaced", n)
		reset(all)
	})
}

// TestAttackCloseFrames says goodbye and goes on talking: nothing of it is heard, and it has an end.
func TestAttackCloseFrames(t *testing.T) {
	const n = 16
	flood := bytes.Repeat(clientFrame(0x88, []byte{1000 >> 8, 1000 & 0xff}), 1000)
	flood = append(flood, bytes.Repeat(textFrame("4late"), 1000)...)
	eachAttacked(t, func(t *testing.T, d door) {
		r := d.attacked(t, Config{})
		o := r.ordinary()
		all := make([]net.Conn, n)
		for i := range all {
			all[i] = r.bare(r.tcp(), strings.Replace(goodUpgrade, "@", "", 1))
		}
		for i, nc := range all {
			nc.SetDeadline(time.Now().Add(stamina))
			if i%2 == 0 { // breaks the framing: not even its close frame is heard any more
				nc.Write([]byte{0xff, 0xff})
			}
		}
		each(all, func(nc net.Conn) {
			for { // until the connection is cut, by the answer or after wsLinger
				if _, err := nc.Write(flood); err != nil {
					if ne, ok := err.(net.Error); ok && ne.Timeout() {
						t.Error("the connection was left open")
					}
					return
				}
			}
		})
		o.report("close frames without end", n)
		if len(r.app.said) != 0 {
			t.Errorf("heard %q", <-r.app.said)
		}
		reset(all)
		o.wantAlone()
	})
}

// TestAttackUpgrades has WebSockets without end ask to take over one session, and a crowd that
// does not go on with it.
func TestAttackUpgrades(t *testing.T) {
	eachAttacked(t, func(t *testing.T, d door) {
		n := many() / 2
		r := d.attacked(t, Config{})
		o := r.ordinary()
		sid := r.poll()
		first := r.candidate(sid)
		first.nc.SetDeadline(time.Now().Add(stamina))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range n / 4 {
					nc, err := r.dial()
					if err != nil {
						t.Error(err)
						return
					}
					c := newWSClient(t, nc, []byte(strings.Replace(strings.Replace(goodUpgrade, "@", "", 1), "EIO=4", "EIO=4&sid="+sid, 1)))
					c.nc.SetDeadline(time.Now().Add(stamina))
					if op, _, err := c.frame(); err != nil || op != 0x8 {
						t.Errorf("%v, %v, want a close frame", op, err)
						return
					}
					c.close()
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		conns := make([]net.Conn, n)
		for i := range conns {
			sid := r.poll()
			conns[i] = r.ask(strings.Replace(strings.Replace(goodUpgrade, "@", "", 1), "EIO=4", "EIO=4&sid="+sid, 1))
			conns[i].Read(make([]byte, 512))
		}
		o.served()
		o.wantGoroutines(d.perConn(n))
		o.wantHeld(n, 4<<10+d.connSize())
		o.report("upgrades, refused and not completed", 2*n)
		first.send("2probe")
		first.want("3probe")
		first.close()
		reset(conns)
		within(t, stamina, "they are gone", func() bool { return r.srv.engine.Conns() <= ordinaryAll/2 })
		for _, s := range r.attackers() {
			if s.Upgrading() {
				t.Error("a session is upgrading still")
			}
			r.wantAlive(s.ID())
		}
		o.served()
	})
}
