package eio

import (
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epio-go/epio/codec"
)

var seeds = flag.Int("seeds", 40, "random runs of TestUpgradeUnderTraffic per door")

// TestUpgradeUnderTraffic upgrades sessions while both sides send numbered messages, with
// random timing, failed attempts, heartbeats and ends. The model is a pair of
// counters: every number arrives once, in order, in both directions.
func TestUpgradeUnderTraffic(t *testing.T) {
	for _, d := range memoryDoors {
		for seed := range *seeds {
			t.Run(fmt.Sprintf("%s/seed=%d", d.name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { runTraffic(t, d, WebSocket, uint64(seed)) })
			})
		}
	}
	for seed := range *seeds {
		t.Run(fmt.Sprintf("to=webtransport/seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runTraffic(t, memoryDoors[0], WebTransport, uint64(seed)) })
		})
	}
}

// fastClient is a client's end of what polling is left for.
type fastClient interface {
	send(packets ...string)
	sendTogether(packets ...string)
	want(packets ...string)
	receive() (packet string, binary, closed bool, err error)
	pong() // may come too late
	wantDropped()
	close()
}

func (c *wsClient) sendTogether(packets ...string) {
	var b []byte
	for _, p := range packets {
		b = append(b, textFrame(p)...)
	}
	c.write(b)
}

func (c *wsClient) receive() (packet string, binary, closed bool, err error) {
	op, p, err := c.frame()
	return string(p), op == 2, op == 8, err
}

func (c *wsClient) pong() { c.nc.Write(textFrame("3")) }

func (c *wsClient) wantDropped() { c.t.Helper(); c.wantCloseFrame(1005) }

func (c *wtClient) sendTogether(packets ...string) {
	var b []byte
	for _, p := range packets {
		b = append(b, wtPacket(p, false)...)
	}
	c.write(b)
}

func (c *wtClient) receive() (packet string, binary, closed bool, err error) {
	p, err := c.next()
	if errors.Is(err, io.EOF) {
		return "", false, true, nil
	}
	return string(p.Data), p.Binary, false, err
}

func (c *wtClient) pong() { c.nc.Write(wtPacket("3", false)) }

func (c *wtClient) wantDropped() { c.t.Helper(); c.wantClosed() }

func (c *wtClient) close() { c.nc.Close() }

// traffic is one run: a client that follows the protocol, and the counters.
type traffic struct {
	t    *testing.T
	r    *rig
	s    *Session
	to   Transport
	sid  string
	seed uint64

	total int // messages in each direction
	slow  bool

	atServer atomic.Int64 // next number the server expects; owned by Message calls
	atClient int          // next number the client expects; owned by whoever receives
	sent     int          // next number the client sends; owned by whoever sends

	pause   chan struct{} // closed: stop polling and posting
	pongs   chan struct{} // poll to post: a PING waits for its answer
	drained sync.WaitGroup
	ended   bool // CLOSE has been received
}

func runTraffic(t *testing.T, d door, to Transport, seed uint64) {
	x := &traffic{t: t, to: to, seed: seed, pause: make(chan struct{}), pongs: make(chan struct{}, 16)}
	rng := x.rng(0)
	x.total = 20 + rng.IntN(200)
	x.slow = rng.IntN(3) == 0 // long enough for heartbeats
	a := &app{}
	a.onMessage = func(s *Session, data []byte, binary bool) {
		if n, err := strconv.ParseInt(strings.TrimLeft(string(data), "m"), 10, 64); err != nil || n != x.atServer.Load() {
			t.Errorf("server got message %q, want %d", data, x.atServer.Load())
		}
		x.atServer.Add(1)
		if x.atServer.Load()%17 == 0 { // now and then the application is slow
			s.Pause()
			time.AfterFunc(time.Duration(x.atServer.Load()%5)*time.Millisecond, s.Resume)
		}
	}
	x.r = d.open(t, withWT(Config{PingInterval: 150 * time.Millisecond, PingTimeout: 200 * time.Millisecond, UpgradeTimeout: time.Second}), a)
	x.sid = x.r.poll()
	x.s = x.r.session()

	var server sync.WaitGroup
	server.Go(func() { x.serverSends(x.rng(1)) })
	x.drained.Go(func() { x.poll() })
	x.drained.Go(func() { x.post(x.rng(2)) })

	for rng.IntN(3) == 0 { // attempts that come to nothing
		x.nap(rng)
		x.failedAttempt(rng)
	}
	x.nap(rng)
	c := x.upgrade(rng)

	received := make(chan struct{})
	go func() {
		defer close(received)
		for x.atClient < x.total || !x.ended {
			p, binary, closed, err := c.receive()
			if err != nil {
				t.Errorf("connection lost with %d of %d messages received: %v", x.atClient, x.total, err)
				return
			}
			if closed {
				x.ended = true
				continue
			}
			if p == "2" && !binary {
				c.pong()
				continue
			}
			x.receive(p, binary)
		}
	}()
	for x.sent < x.total {
		c.send("4" + x.next())
		if rng.IntN(4) == 0 {
			x.nap(rng)
		}
	}
	server.Wait()
	for x.atServer.Load() < int64(x.total) {
		time.Sleep(time.Millisecond)
		if x.s.Closed() {
			break
		}
	}
	x.s.Close(ForcedClose) // what was sent before still arrives
	<-received
	x.r.wantClose(ForcedClose)
	if got := x.atServer.Load(); got != int64(x.total) {
		t.Errorf("server got %d of %d messages", got, x.total)
	}
	if x.atClient != x.total {
		t.Errorf("client got %d of %d messages", x.atClient, x.total)
	}
	c.close()
}

func (x *traffic) rng(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(x.seed, stream)) }

// nap lets others run for a random, often tiny, time.
func (x *traffic) nap(rng *rand.Rand) {
	d := time.Duration(rng.IntN(3000)) * time.Microsecond
	if x.slow {
		d *= 20
	}
	time.Sleep(d)
}

// next is the text of the client's next message. Its sender is the only one.
func (x *traffic) next() string {
	x.sent++
	return fmt.Sprintf("m%d", x.sent-1)
}

// receive checks one packet that is no PING.
func (x *traffic) receive(packet string, binary bool) {
	want := fmt.Sprintf("4%d", x.atClient)
	if x.atClient%5 == 4 {
		want = want[1:]
	}
	if packet != want || binary != (x.atClient%5 == 4) {
		x.t.Errorf("client got %q, want %q", packet, want)
	}
	x.atClient++
}

// serverSends sends numbers from the server, every fifth as a binary message.
func (x *traffic) serverSends(rng *rand.Rand) {
	for n := range x.total {
		text := strconv.Itoa(n)
		f := codec.NewTextFrame(codec.Message, text)
		if n%5 == 4 {
			f = codec.NewBinaryFrame([]byte(text))
		}
		var err error
		if rng.IntN(2) == 0 {
			err = x.s.Send(f)
		} else {
			b := x.r.srv.Engine().NewBatch()
			err = x.s.Queue(f, b)
			b.Flush()
		}
		if err != nil {
			x.t.Errorf("send %d: %v", n, err)
		}
		if rng.IntN(3) == 0 {
			x.nap(rng)
		}
	}
}

// poll is the client's polling loop.
func (x *traffic) poll() {
	for {
		select {
		case <-x.pause:
			return
		default:
		}
		p := x.r.get(x.sid)
		if p.err != nil || p.status != http.StatusOK {
			x.t.Errorf("poll: %v %d %q", p.err, p.status, p.body)
			return
		}
		for packet := range strings.SplitSeq(p.body, "\x1e") {
			switch {
			case packet == "6":
			case packet == "2":
				x.pongs <- struct{}{}
			case packet[0] == 'b':
				x.receive(decodeBase64(x.t, packet[1:]), true)
			default:
				x.receive(packet, false)
			}
		}
	}
}

// post is the client's sending loop while it is on polling.
func (x *traffic) post(rng *rand.Rand) {
	for {
		var packets []string
		select {
		case <-x.pause:
			select {
			case <-x.pongs:
				packets = append(packets, "3")
			default:
				return
			}
		case <-x.pongs:
			packets = append(packets, "3")
		case <-time.After(time.Duration(rng.IntN(2000)) * time.Microsecond):
		}
		for n := rng.IntN(8); n > 0 && x.sent < x.total; n-- {
			packets = append(packets, "4"+x.next())
		}
		if packets == nil {
			continue
		}
		if p := x.r.post(x.sid, strings.Join(packets, "\x1e")); p.err != nil || p.status != http.StatusOK {
			x.t.Errorf("post: %v %d %q", p.err, p.status, p.body)
			return
		}
	}
}

// candidate opens a second transport.
func (x *traffic) candidate() fastClient {
	if x.to == WebTransport {
		return x.r.wtCandidate(x.sid)
	}
	return x.r.candidate(x.sid)
}

// failedAttempt opens a candidate that never becomes the transport.
func (x *traffic) failedAttempt(rng *rand.Rand) {
	c := x.candidate()
	if rng.IntN(2) == 0 {
		c.send("2probe")
		c.want("3probe")
		x.nap(rng)
	}
	switch rng.IntN(3) {
	case 0:
		c.close()
	case 1:
		c.send("4no")
		c.wantDropped()
	case 2:
		c.wantDropped() // by time-out
	}
	for x.s.Upgrading() {
		time.Sleep(time.Millisecond)
	}
}

// upgrade does what the official client does: probe, pause, wait until nothing is
// on its way over polling, UPGRADE.
func (x *traffic) upgrade(rng *rand.Rand) fastClient {
	c := x.candidate()
	x.nap(rng)
	c.send("2probe")
	if rng.IntN(4) == 0 {
		c.send("2probe")
		c.want("3probe")
	}
	c.want("3probe")
	if rng.IntN(2) == 0 {
		x.nap(rng) // polls on meanwhile
	}
	close(x.pause)
	x.drained.Wait()
	if rng.IntN(2) == 0 {
		x.nap(rng)
	}
	select {
	case <-x.pongs: // a PING in the very last poll
		c.sendTogether("5", "3")
	default:
		c.send("5")
	}
	return c
}

func decodeBase64(t *testing.T, s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Errorf("bad base64 %q", s)
	}
	return string(b)
}
