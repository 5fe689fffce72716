package engine

import (
	"sync"

	"github.com/epio-go/epio/pool"
)

// frameQueue holds the frames a connection has still to send, in order. The
// first frame needs no memory of its own: an idle connection and one that is
// written at once keep no slice. Further frames live in pooled blocks. From some dozens
// on, small ones are packed, so that the memory of a queue follows its bytes.
//
// Guarded by Conn.mu. Only the goroutine that owns flagWriting removes frames,
// so the frames it has gathered stay alive while it writes without the lock.
type frameQueue struct {
	first *pool.Frame
	more  *frameBlock // the blocks behind first, oldest first
	last  *frameBlock
	bytes int   // not written yet, over all frames
	off   int32 // bytes of first written already
	lent  int16 // frames at the front that a writer has gathered; see lend
	loose bool  // some of the frames may be droppable
}

const blockFrames = 30

// frameBlock is a chunk of a queue.
type frameBlock struct {
	frames     [blockFrames]*pool.Frame
	head, tail int
	next       *frameBlock
}

var blocks = sync.Pool{New: func() any { return new(frameBlock) }}

func (q *frameQueue) empty() bool { return q.first == nil }

func (q *frameQueue) push(f *pool.Frame) {
	q.bytes += f.Len()
	if f.Droppable() {
		q.loose = true
	}
	if q.first == nil {
		q.first = f
		return
	}
	if q.last != q.more { // a crowd
		if f = pool.Pack(q.last.frames[q.last.tail-1], f); f == nil {
			return
		}
	}
	if q.last == nil || q.last.tail == blockFrames {
		b := blocks.Get().(*frameBlock)
		if q.last == nil {
			q.more = b
		} else {
			q.last.next = b
		}
		q.last = b
	}
	q.last.frames[q.last.tail] = f
	q.last.tail++
}

// pop removes the first frame without releasing it.
func (q *frameQueue) pop() *pool.Frame {
	f := q.first
	q.first, q.off = nil, 0
	if b := q.more; b != nil {
		q.first = b.frames[b.head]
		b.frames[b.head] = nil
		b.head++
		if b.head == b.tail {
			q.more = b.next
			if q.more == nil {
				q.last = nil
			}
			*b = frameBlock{}
			blocks.Put(b)
		}
	}
	return f
}

// advance accounts for n written bytes and releases the frames that are done. A
// frame without content is done when it is first; it would hold up the queue for
// ever otherwise, since no write makes progress on it.
func (q *frameQueue) advance(n int) {
	q.bytes -= n
	q.lent = 0
	for q.first != nil {
		left := q.first.Len() - int(q.off)
		if n < left {
			q.off += int32(n)
			return
		}
		n -= left
		q.pop().ReleaseSent()
	}
	q.loose = false
}

// gather fills bufs with the unwritten bytes, oldest first, and returns how many
// entries it used. The frames are lent to the caller until advance.
func (q *frameQueue) gather(bufs [][]byte) int {
	if q.first == nil || len(bufs) == 0 {
		return 0
	}
	n := q.gatherAll(bufs)
	q.lent = int16(n)
	return n
}

// lend returns what is left of the first frame, which is lent to the caller until
// advance.
func (q *frameQueue) lend() []byte {
	q.lent = 1
	return q.first.Bytes()[q.off:]
}

func (q *frameQueue) gatherAll(bufs [][]byte) int {
	bufs[0] = q.first.Bytes()[q.off:]
	n := 1
	for b := q.more; b != nil; b = b.next {
		for i := b.head; i < b.tail; i++ {
			if n == len(bufs) {
				return n
			}
			bufs[n] = b.frames[i].Bytes()
			n++
		}
	}
	return n
}

// clear releases everything.
func (q *frameQueue) clear() {
	for q.first != nil {
		q.pop().Release()
	}
	q.bytes, q.lent, q.loose = 0, 0, false
}
