package engine

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/epio-go/epio/pool"
)

// naiveQueue is what frameQueue stands for: frames' unwritten bytes in order.
type naiveQueue [][]byte

func (q naiveQueue) bytes() []byte { return bytes.Join(q, nil) }

// advance drops n bytes and, like the real queue, every frame that is empty then.
func (q naiveQueue) advance(n int) naiveQueue {
	for len(q) > 0 && n >= len(q[0]) {
		n -= len(q[0])
		q = q[1:]
	}
	if n > 0 {
		q[0] = q[0][n:]
	}
	return q
}

// wantSame compares everything that can be seen of q. Small frames may have been packed.
func wantSame(t *testing.T, q *frameQueue, want naiveQueue) {
	t.Helper()
	if q.empty() != (len(want) == 0) {
		t.Fatalf("empty() = %v with %d frames", q.empty(), len(want))
	}
	if q.bytes != len(want.bytes()) {
		t.Fatalf("bytes = %d, want %d", q.bytes, len(want.bytes()))
	}
	bufs := make([][]byte, len(want)+1)
	n := q.gather(bufs)
	if !bytes.Equal(bytes.Join(bufs[:n], nil), want.bytes()) {
		t.Fatalf("gathered other content, %d frames for %d", n, len(want))
	}
	// Two blocks are not packed, and are as many bytes as a few packed ones.
	if most := 2*blockFrames + 2 + len(want.bytes())/100; n > most {
		t.Fatalf("%d frames for %d bytes, want at most %d", n, len(want.bytes()), most)
	}
}

// TestFrameQueueModel drives the queue and a plain slice with the same random
// operations, frames without content among them.
func TestFrameQueueModel(t *testing.T) {
	before := pool.Live()
	for seed := range uint64(scaled(20)) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var q frameQueue
		var model naiveQueue
		content := byte(0)
		for range 400 {
			switch op := rnd.IntN(10); {
			case op < 5:
				// A burst now and then fills more than one block.
				for range 1 + rnd.IntN(1+rnd.IntN(3*blockFrames)) {
					p := make([]byte, rnd.IntN(6))
					for i := range p {
						content++
						p[i] = content
					}
					q.push(frame(p))
					model = append(model, p)
				}
			case op < 9:
				bufs := make([][]byte, rnd.IntN(100))
				k := q.gather(bufs)
				gathered := bytes.Join(bufs[:k], nil)
				if !bytes.HasPrefix(model.bytes(), gathered) || k < len(bufs) && len(gathered) < q.bytes {
					t.Fatalf("seed %d: gathered %d frames for %d into %d", seed, k, len(model), len(bufs))
				}
				for range rnd.IntN(10) { // others push while that is written
					content++
					q.push(frame([]byte{content}))
					model = append(model, []byte{content})
				}
				if !bytes.HasPrefix(model.bytes(), bytes.Join(bufs[:k], nil)) {
					t.Fatalf("seed %d: what is being written has changed", seed)
				}
				written := rnd.IntN(len(gathered) + 1)
				q.advance(written)
				model = model.advance(written)
			case rnd.IntN(10) == 0:
				q.clear()
				model = nil
			}
			wantSame(t, &q, model)
		}
		q.clear()
		wantSame(t, &q, nil)
	}
	if n := pool.Live() - before; n != 0 {
		t.Errorf("%d frames not released", n)
	}
}

// TestFrameQueuePartialWrites writes a queue of several blocks in pieces of
// every size, as a socket might take them.
func TestFrameQueuePartialWrites(t *testing.T) {
	before := pool.Live()
	for piece := 1; piece < 300; piece++ {
		var q frameQueue
		var want, got []byte
		for i := range 3*blockFrames + 2 {
			p := bytes.Repeat([]byte{byte(i)}, i%5)
			want = append(want, p...)
			q.push(frame(p))
		}
		var bufs [64][]byte
		for !q.empty() {
			sent := bytes.Join(bufs[:q.gather(bufs[:])], nil)
			sent = sent[:min(piece, len(sent))]
			got = append(got, sent...)
			q.advance(len(sent))
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("pieces of %d bytes: got %d bytes, want %d", piece, len(got), len(want))
		}
		if q != (frameQueue{}) {
			t.Fatalf("an empty queue keeps %+v", q)
		}
	}
	if n := pool.Live() - before; n != 0 {
		t.Errorf("%d frames not released", n)
	}
}

// TestFrameQueueReleasesInTime shows that a frame is released as soon as its last
// byte is written, not before and not later.
func TestFrameQueueReleasesInTime(t *testing.T) {
	f := frame([]byte("abc"))
	f.Retain(1) // ours
	var q frameQueue
	q.push(f)
	q.push(frame([]byte("d")))
	q.advance(2)
	f.Retain(1) // panics in test builds if the queue has released it
	f.Release()
	q.advance(1)
	if string(q.first.Bytes()) != "d" {
		t.Errorf("first frame is %q", q.first.Bytes())
	}
	f.Release() // the last one: panics if the queue still holds it and releases it below
	q.clear()
}

func BenchmarkFrameQueue(b *testing.B) {
	f := pool.Static([]byte("payload"))
	var bufs [64][]byte
	for _, depth := range []int{1, 100} {
		b.Run("depth="+strconv.Itoa(depth), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var q frameQueue
				for range depth {
					q.push(f)
				}
				sent := 0
				for !q.empty() {
					k := q.gather(bufs[:])
					q.advance(k * f.Len())
					sent += k
				}
				if sent != depth {
					b.Fatalf("%d frames left, want %d", sent, depth)
				}
			}
		})
	}
}
