package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/epio-go/epio/pool"
)

// droppable returns a frame that may be dropped.
func droppable(p []byte) *pool.Frame {
	f := frame(p)
	f.SetDroppable()
	return f
}

// dropModel is a queue as a plain slice.
type dropModel struct {
	frames []dropFrame
	off    int // bytes of the first frame that are written
}

type dropFrame struct {
	data  []byte
	loose bool
}

// dropOldest is what frameQueue.dropOldest should do, with the first begun frames in
// a writer's hands.
func (m *dropModel) dropOldest(need, begun int) (dropped int) {
	if m.off > 0 {
		begun = max(begun, 1)
	}
	var stay []dropFrame
	for i, f := range m.frames {
		if need <= 0 || i < begun || !f.loose {
			stay = append(stay, f)
			continue
		}
		need -= len(f.data)
		dropped++
	}
	m.frames = stay
	return dropped
}

func (m *dropModel) bytes() (b []byte) {
	for _, f := range m.frames {
		b = append(b, f.data...)
	}
	return b[m.off:]
}

// TestDropOldestModel drives the queue and a plain slice with the same random
// operations, with and without a writer that has frames in its hands.
func TestDropOldestModel(t *testing.T) {
	before := pool.Live()
	for seed := range uint64(scaled(40)) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var q frameQueue
		var m dropModel
		content := byte(0)
		total := 0
		for step := range 300 {
			switch op := rnd.IntN(10); {
			case op < 4:
				for range 1 + rnd.IntN(2*blockFrames) {
					p := make([]byte, 1+rnd.IntN(5))
					for i := range p {
						content++
						p[i] = content
					}
					loose := rnd.IntN(3) > 0
					if loose {
						q.push(droppable(p))
					} else {
						f := frame(p)
						f.SetNotify(func(bool) {}) // is not packed
						q.push(f)
					}
					m.frames = append(m.frames, dropFrame{p, loose})
				}
			case op < 7:
				need := rnd.IntN(200)
				got, want := q.dropOldest(need), m.dropOldest(need, 0)
				if got != want {
					t.Fatalf("seed %d step %d: dropped %d frames, want %d", seed, step, got, want)
				}
				total += got
			default:
				// A write, in the middle of which others drop frames.
				bufs := make([][]byte, rnd.IntN(70))
				k := q.gather(bufs)
				sent := bytes.Join(bufs[:k], nil)
				need := rnd.IntN(50)
				got, want := q.dropOldest(need), m.dropOldest(need, k)
				if got != want {
					t.Fatalf("seed %d step %d: dropped %d frames during a write, want %d", seed, step, got, want)
				}
				if !bytes.Equal(bytes.Join(bufs[:k], nil), sent) {
					t.Fatal("what is being written has changed")
				}
				n := 0
				if len(sent) > 0 {
					n = rnd.IntN(len(sent) + 1)
				}
				q.advance(n)
				n += m.off
				m.off = 0
				for len(m.frames) > 0 && n >= len(m.frames[0].data) {
					n -= len(m.frames[0].data)
					m.frames = m.frames[1:]
				}
				m.off = n
			}
			if q.frames() != len(m.frames) || q.bytes != len(m.bytes()) {
				t.Fatalf("seed %d step %d: %d frames of %d bytes, want %d of %d", seed, step, q.frames(), q.bytes, len(m.frames), len(m.bytes()))
			}
			bufs := make([][]byte, len(m.frames)+1)
			if !bytes.Equal(bytes.Join(bufs[:q.gather(bufs)], nil), m.bytes()) {
				t.Fatalf("seed %d step %d: other content", seed, step)
			}
			q.lent = 0
		}
		q.clear()
		if q != (frameQueue{}) {
			t.Fatalf("an empty queue keeps %+v", q)
		}
		if total == 0 {
			t.Errorf("seed %d: nothing was ever dropped", seed)
		}
	}
	if n := pool.Live() - before; n != 0 {
		t.Errorf("%d frames not released", n)
	}
}

// BenchmarkDropOldest is the price of a frame in a full queue of droppable ones.
func BenchmarkDropOldest(b *testing.B) {
	var q frameQueue
	p := make([]byte, 100)
	for range 40_000 {
		q.push(droppable(p))
	}
	q.lent = maxLent
	b.ReportAllocs()
	for b.Loop() {
		q.dropOldest(100)
		q.push(droppable(p))
	}
	q.clear()
}

// maxLent is how many frames a writer takes at most.
const maxLent = 64
