package engine

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"
)

// flowHandler is told when its connection becomes slow and fast.
type flowHandler struct {
	*testHandler
	slow chan bool
}

// Flow implements FlowHandler.
func (h *flowHandler) Flow(c *Conn) { h.slow <- c.Slow() }

// TestSlowAndFast fills a connection whose peer does not read, and has the peer
// read.
func TestSlowAndFast(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		o.HighWater, o.LowWater = 1<<20, 1<<10
		h := &flowHandler{newHandler(consume), make(chan bool, 10)}
		_, c, client := adopted(t, o, h)
		client.SetReadBuffer(64 << 10)
		shrinkSendBuffer(t, c)
		sent := 0
		for {
			if err := c.Send(frame(make([]byte, 10_000))); errors.Is(err, ErrBufferFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			sent += 10_000
		}
		if !receive(t, h.slow) || !c.Slow() {
			t.Fatal("a full connection is not slow")
		}
		if frames, bytes := c.Backlog(); bytes <= o.HighWater || frames < bytes/10_000 || frames > bytes/10_000+1 {
			t.Errorf("%d frames of %d bytes", frames, bytes)
		}
		readN(t, client, sent)
		if receive(t, h.slow) || c.Slow() {
			t.Fatal("an empty connection is slow")
		}
	})
}

// A frame that only waits for its batch does not make a connection slow.
func TestBatchIsNotSlow(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		o.HighWater, o.LowWater = 1000, 10
		h := &flowHandler{newHandler(consume), make(chan bool, 10)}
		e, c, client := adopted(t, o, h)
		b := e.NewBatch()
		if err := c.Queue(frame(make([]byte, 5000)), b); err != nil {
			t.Fatal(err)
		}
		if c.Slow() {
			t.Error("slow before anything was written")
		}
		b.Flush()
		readN(t, client, 5000)
	})
}

// TestSendReplacing sends numbered frames to a peer that reads late. What arrives is
// whole and in order, and the newest frames and those that may not be dropped are there.
func TestSendReplacing(t *testing.T) {
	engines(t, func(t *testing.T, o Options) {
		const n, body = 3000, 1000
		o.SendBuffer = 200_000
		_, c, client := adopted(t, o, newHandler(consume))
		client.SetReadBuffer(64 << 10)
		shrinkSendBuffer(t, c)
		firm := make(map[uint32]bool)
		dropped := 0
		b := c.Engine().NewBatch()
		for i := range uint32(n) {
			f := frame(record(0, i, body))
			if i%50 == 0 {
				// Full of those, too, in the end: then they are refused.
				if err := c.Send(f); err == nil {
					firm[i] = true
				} else if !errors.Is(err, ErrBufferFull) {
					t.Fatal(err)
				}
				continue
			}
			f.SetDroppable()
			var k int
			var err error
			if i%2 == 0 {
				k, err = c.SendReplacing(f)
			} else {
				k, err = c.QueueReplacing(f, b)
			}
			if err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
			dropped += k
		}
		b.Flush()
		if c.Buffered() > o.SendBuffer {
			t.Errorf("%d bytes are buffered", c.Buffered())
		}
		if k, err := c.SendReplacing(frame(make([]byte, o.SendBuffer+1))); k != 0 || !errors.Is(err, ErrBufferFull) {
			t.Errorf("a frame larger than the buffer: %d dropped, %v", k, err)
		}
		c.CloseAfterFlush(nil, waitTime)
		client.SetReadDeadline(time.Now().Add(waitTime))
		got, last := 0, -1
		for {
			var head [12]byte
			if _, err := io.ReadFull(client, head[:]); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			seq := binary.BigEndian.Uint32(head[4:])
			if size := binary.BigEndian.Uint32(head[8:]); size != body || int(seq) <= last {
				t.Fatalf("frame %d of %d bytes after %d", seq, size, last)
			}
			for _, x := range readN(t, client, body) {
				if x != byte(seq) {
					t.Fatalf("frame %d is torn", seq)
				}
			}
			last = int(seq)
			delete(firm, seq)
			got++
		}
		if last != n-1 || dropped == 0 {
			t.Errorf("the last frame is %d, %d were dropped", last, dropped)
		}
		if len(firm) > 0 {
			t.Errorf("%d frames that may not be dropped are missing", len(firm))
		}
		t.Logf("%d arrived, %d dropped", got, dropped)
	})
}
