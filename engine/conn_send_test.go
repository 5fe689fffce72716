package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/epio-go/epio/pool"
)

// TestEmptyFrames shows that frames without content do no harm, alone and among
// others.
func TestEmptyFrames(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		_, c, client := adopted(t, o, newHandler(consume))
		for _, s := range []string{"", "a", "", "", "b", ""} {
			if err := c.Send(frame([]byte(s))); err != nil {
				t.Fatal(err)
			}
		}
		if got := readN(t, client, 2); string(got) != "ab" {
			t.Errorf("got %q", got)
		}
		c.CloseAfterFlush(frame(nil), waitTime)
		if rest, err := io.ReadAll(client); len(rest) > 0 || err != nil {
			t.Errorf("then %q, %v", rest, err)
		}
	})
}

// TestLargeFrame sends one frame that the socket takes in many pieces.
func TestLargeFrame(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		const size = 12 << 20 // more than the kernel's buffers hold
		o.SendBuffer = size
		_, c, client := adopted(t, o, newHandler(consume))
		msg := make([]byte, size)
		rnd := rand.NewChaCha8([32]byte{})
		rnd.Read(msg)
		if err := c.Send(frame(msg)); err != nil {
			t.Fatal(err)
		}
		if got := readN(t, client, len(msg)); !bytes.Equal(got, msg) {
			t.Fatal("bytes were lost, repeated or reordered")
		}
	})
}

// record is a frame of a test: who sent it, which one it is, and a body of known
// content, so that torn and interleaved frames show.
func record(sender, seq uint32, size int) []byte {
	p := binary.BigEndian.AppendUint32(nil, sender)
	p = binary.BigEndian.AppendUint32(p, seq)
	p = binary.BigEndian.AppendUint32(p, uint32(size))
	return append(p, bytes.Repeat([]byte{byte(sender + seq)}, size)...)
}

// wantRecords reads until every sender's records have come, whole and in order.
func wantRecords(t *testing.T, r io.Reader, senders, each int) {
	t.Helper()
	next := make([]uint32, senders)
	for range senders * each {
		head := readN(t, r, 12)
		sender, seq := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		size := int(binary.BigEndian.Uint32(head[8:]))
		if int(sender) >= senders || size > 1<<20 {
			t.Fatalf("record of sender %d with %d bytes: frames were torn", sender, size)
		}
		if seq != next[sender] {
			t.Fatalf("sender %d: record %d in place of %d", sender, seq, next[sender])
		}
		next[sender]++
		if body := readN(t, r, size); !bytes.Equal(body, bytes.Repeat([]byte{byte(sender + seq)}, size)) {
			t.Fatalf("record %d of sender %d is damaged", seq, sender)
		}
	}
}

// TestSendersDoNotInterleave sends from many goroutines to one connection, in
// all the ways there are.
func TestSendersDoNotInterleave(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		o.SendBuffer = 1 << 30
		const senders = 8
		each := scaled(2000)
		e, c, client := adopted(t, o, newHandler(consume))
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(s), 4))
				b := e.NewBatch()
				for i := range each {
					size := rnd.IntN(100)
					if rnd.IntN(50) == 0 {
						size = rnd.IntN(40_000)
					}
					f := frame(record(uint32(s), uint32(i), size))
					var err error
					if rnd.IntN(2) == 0 {
						err = c.Send(f)
					} else {
						err = c.Queue(f, b)
					}
					if err != nil {
						t.Error(err)
					}
					if rnd.IntN(10) == 0 {
						b.Flush()
						b = e.NewBatch()
					}
				}
				b.Flush()
			})
		}
		wantRecords(t, client, senders, each)
		wg.Wait()
		eventually(t, "the queue is empty", func() bool { return c.Buffered() == 0 })
	})
}

// TestQueueWaitsForFlush shows what Queue and Send do to each other: the order is
// that of the calls, and a Send takes along what was queued before it.
func TestQueueWaitsForFlush(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		e, c, client := adopted(t, o, newHandler(consume))
		first, second := e.NewBatch(), e.NewBatch()
		c.Queue(frame([]byte("a")), first)
		c.Queue(frame([]byte("b")), second) // dirty already: left to first
		if n := c.Buffered(); n != 2 {
			t.Errorf("%d bytes queued, want 2", n)
		}
		second.Flush()
		if n := c.Buffered(); n != 2 {
			t.Errorf("a batch wrote a connection of another one: %d bytes left", n)
		}
		c.Send(frame([]byte("c")))
		if got := readN(t, client, 3); string(got) != "abc" {
			t.Errorf("got %q", got)
		}
		first.Flush() // nothing left to do
		third := e.NewBatch()
		c.Queue(frame([]byte("d")), third) // dirty again
		third.Flush()
		if got := readN(t, client, 1); string(got) != "d" {
			t.Errorf("got %q", got)
		}
	})
}

// TestVolatile shows when a volatile frame is taken: only when it leaves at once.
func TestVolatile(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		e, c, client := adopted(t, o, newHandler(consume))
		if !c.SendVolatile(frame([]byte("a"))) {
			t.Error("refused on an idle connection")
		}
		readN(t, client, 1)
		eventually(t, "the connection is idle", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return !c.flags.has(flagWriting)
		})
		b := e.NewBatch()
		if !c.QueueVolatile(frame([]byte("b")), b) {
			t.Error("refused on an idle connection")
		}
		if c.QueueVolatile(frame([]byte("x")), b) || c.SendVolatile(frame([]byte("x"))) {
			t.Error("taken behind a queued frame")
		}
		b.Flush()
		if got := readN(t, client, 1); string(got) != "b" {
			t.Errorf("got %q", got)
		}

		fill(t, c)
		if c.SendVolatile(frame([]byte("x"))) {
			t.Error("taken by a connection whose socket is full")
		}
		b = e.NewBatch()
		if c.QueueVolatile(frame([]byte("x")), b) {
			t.Error("taken by a connection whose socket is full")
		}
		b.Flush()
		c.Close(nil)
		if c.SendVolatile(frame([]byte("x"))) {
			t.Error("taken by a closed connection")
		}
	})
}

// TestReceivingWhileFull receives, pauses and resumes on a connection whose socket
// is full. That must not make it forget that it has something to send.
func TestReceivingWhileFull(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		o.SendBuffer = 256 << 10
		seen := make(chan bool, 1)
		pause := false
		h := newHandler(func(c *Conn, p []byte) int {
			if pause = !pause; pause {
				c.Pause()
			}
			seen <- pause
			return len(p)
		})
		_, c, client := adopted(t, o, h)
		sent := fill(t, c)
		for range 4 {
			io.WriteString(client, "x")
			if receive(t, seen) {
				untilParked(t, c)
				c.Resume()
			}
		}
		readN(t, client, sent)
		eventually(t, "the queue is empty", func() bool { return c.Buffered() == 0 })
		c.Send(frame([]byte("x")))
		readN(t, client, 1)
	})
}

// TestSendBufferIsExact shows that the limit counts bytes not yet written.
func TestSendBufferIsExact(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		o.SendBuffer = 10
		e, c, client := adopted(t, o, newHandler(consume))
		if err := c.Send(frame(make([]byte, 11))); !errors.Is(err, ErrBufferFull) {
			t.Errorf("a frame beyond the limit: %v", err)
		}
		b := e.NewBatch()
		if err := c.Queue(frame(make([]byte, 10)), b); err != nil {
			t.Errorf("a frame up to the limit: %v", err)
		}
		if err := c.Queue(frame(make([]byte, 1)), b); !errors.Is(err, ErrBufferFull) {
			t.Errorf("one byte more: %v", err)
		}
		if err := c.Queue(frame(nil), b); err != nil {
			t.Errorf("no byte more: %v", err)
		}
		b.Flush()
		readN(t, client, 10)
		eventually(t, "there is room again", func() bool { return c.Send(frame(make([]byte, 10))) == nil })
	})
}

// TestSendAfterClose shows that a closed connection takes no frame and keeps
// none, whichever way it was closed.
func TestSendAfterClose(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		for name, closeIt := range map[string]func(*Conn){
			"Close":           func(c *Conn) { c.Close(nil) },
			"CloseAfterFlush": func(c *Conn) { c.CloseAfterFlush(nil, waitTime) },
		} {
			h := newHandler(consume)
			e, c, client := adopted(t, o, h)
			closeIt(c)
			b := e.NewBatch()
			f := frame([]byte("x"))
			f.Retain(4) // ours is the last: another release too many panics
			if err := c.Send(f); !errors.Is(err, ErrClosed) {
				t.Errorf("%s: Send: %v", name, err)
			}
			if err := c.Queue(f, b); !errors.Is(err, ErrClosed) {
				t.Errorf("%s: Queue: %v", name, err)
			}
			if c.SendVolatile(f) || c.QueueVolatile(f, b) {
				t.Errorf("%s: volatile frame taken", name)
			}
			f.Release()
			c.CloseAfterFlush(frame([]byte("x")), 0) // too late
			b.Flush()
			if rest, err := io.ReadAll(client); len(rest) > 0 || err != nil {
				t.Errorf("%s: client got %q, %v", name, rest, err)
			}
			client.Close()
			h.waitClosed(t)
		}
	})
}

// TestSendDuringClose sends while the connection is being closed.
func TestSendDuringClose(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		o.SendBuffer = 64 << 10
		for range scaled(60) {
			h := newHandler(consume)
			e, c, client := adopted(t, o, h)
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					for {
						f := pool.Copy(make([]byte, 100)).Seal(0)
						var err error
						switch i {
						case 0:
							b := e.NewBatch()
							err = c.Queue(f, b)
							b.Flush()
						case 1:
							if c.SendVolatile(f) {
								continue
							}
							err = c.Send(frame(nil))
						default:
							err = c.Send(f)
						}
						if errors.Is(err, ErrBufferFull) {
							runtime.Gosched()
						} else if err != nil {
							if !errors.Is(err, ErrClosed) {
								t.Error(err)
							}
							return
						}
					}
				})
			}
			readN(t, client, 1000)
			c.Close(io.ErrUnexpectedEOF)
			h.wantClosed(t, io.ErrUnexpectedEOF)
			wg.Wait()
			client.Close()
		}
	})
}
