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

// drop takes the n oldest droppable frames away, of which nothing is among the first begun bytes, and returns
// how many bytes they had and whether there are more of them.
func (m *dropModel) drop(n, begun int) (bytes int, more bool) {
	var stay []dropFrame
	at := -m.off
	for _, f := range m.frames {
		loose := f.loose && at >= begun
		at += len(f.data)
		if loose && n > 0 {
			n--
			bytes += len(f.data)
			continue
		}
		more = more || loose
		stay = append(stay, f)
	}
	m.frames = stay
	return bytes, more
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
		step := 0
		drop := func(need, begun int) {
			got := q.dropOldest(need)
			freed, more := m.drop(got, begun)
			if freed < need && more || got > 0 && freed >= need+512 { // the last of them were put together
				t.Fatalf("seed %d step %d: dropped %d frames of %d bytes, want %d bytes; more: %v", seed, step, got, freed, need, more)
			}
			total += got
		}
		for ; step < 300; step++ {
			switch op := rnd.IntN(10); {
			case op < 4:
				mixed := rnd.IntN(2) > 0
				for range 1 + rnd.IntN(2*blockFrames) {
					p := make([]byte, 1+rnd.IntN(5))
					for i := range p {
						content++
						p[i] = content
					}
					loose := !mixed || rnd.IntN(3) > 0
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
				begun := 0
				if q.off > 0 {
					begun = q.first.Len() - int(q.off)
				}
				drop(rnd.IntN(200), begun)
			default:
				// A write, in the middle of which others drop frames.
				bufs := make([][]byte, rnd.IntN(70))
				k := q.gather(bufs)
				sent := bytes.Join(bufs[:k], nil)
				begun := len(sent)
				if q.off > 0 && k == 0 {
					begun = q.first.Len() - int(q.off)
				}
				drop(rnd.IntN(50), begun)
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
			written := 0 // frames of the first one, if that was put together
			if q.off > 0 {
				written = q.first.Count() - 1
			}
			if n := q.frames(); n < len(m.frames) || n > len(m.frames)+written || q.bytes != len(m.bytes()) {
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
