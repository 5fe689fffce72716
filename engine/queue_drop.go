package engine

import "github.com/epio-go/epio/pool"

// dropOldest releases droppable frames, the oldest first, until need bytes are
// free or there are none left, and returns how many that were. Frames that a writer
// has in its hands, or has begun, stay; small ones that were put together go together. The cost is that of the frames in front of the
// last one dropped.
func (q *frameQueue) dropOldest(need int) (dropped int) {
	if !q.loose {
		return 0
	}
	var stay []*pool.Frame // popped, in order, to be put back
	later := false         // one of them may be dropped another time
	off, lent := q.off, q.lent
	begun := int(lent)
	if off > 0 && begun == 0 {
		begun = 1
	}
	for q.first != nil && need > 0 {
		f := q.pop()
		if len(stay) < begun || !f.Droppable() {
			stay = append(stay, f)
			later = later || f.Droppable()
			continue
		}
		need -= f.Len()
		q.bytes -= f.Len()
		dropped += f.Count()
		f.Release()
	}
	if q.first == nil {
		q.loose = later // all of them were looked at
	}
	for i := len(stay) - 1; i >= 0; i-- {
		q.unshift(stay[i])
	}
	q.off, q.lent = off, lent
	return dropped
}

// unshift puts a popped frame back in front of all others. It does not touch bytes.
func (q *frameQueue) unshift(f *pool.Frame) {
	if q.first == nil {
		q.first = f
		return
	}
	b := q.more
	if b == nil || b.head == 0 {
		b = blocks.Get().(*frameBlock)
		b.head, b.tail = blockFrames, blockFrames
		b.next = q.more
		q.more = b
		if q.last == nil {
			q.last = b
		}
	}
	b.head--
	b.frames[b.head] = q.first
	q.first = f
}

// frames returns the number of frames that were pushed and are there still.
func (q *frameQueue) frames() int {
	if q.first == nil {
		return 0
	}
	n := q.first.Count()
	for b := q.more; b != nil; b = b.next {
		for _, f := range b.frames[b.head:b.tail] {
			n += f.Count()
		}
	}
	return n
}
