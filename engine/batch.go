package engine

import (
	"runtime"
	"sync"
)

// Batch collects the connections that a fan-out has queued frames for, so that
// each is written once, in parallel with the others, after the fan-out. It
// belongs to one goroutine at a time.
type Batch struct {
	fl    *flusher
	first *batchChunk
	last  *batchChunk
}

const chunkConns = 62

// batchChunk is the unit of work of a flush worker.
type batchChunk struct {
	conns [chunkConns]*Conn
	n     int
	next  *batchChunk
}

var (
	batches = sync.Pool{New: func() any { return new(Batch) }}
	chunks  = sync.Pool{New: func() any { return new(batchChunk) }}
)

// NewBatch returns an empty batch. Flush must be called on it.
func (e *Engine) NewBatch() *Batch {
	b := batches.Get().(*Batch)
	b.fl = &e.flusher
	return b
}

func (b *Batch) add(c *Conn) {
	if b.last == nil || b.last.n == chunkConns {
		ch := chunks.Get().(*batchChunk)
		if b.last == nil {
			b.first = ch
		} else {
			b.last.next = ch
		}
		b.last = ch
	}
	b.last.conns[b.last.n] = c
	b.last.n++
}

// inlineFlush is the largest batch that its own goroutine writes. Handing over
// costs about as much as one write.
const inlineFlush = 2

// Flush has everything queued in the batch written, by up to GOMAXPROCS workers
// in parallel, and does not wait for them. While they are busy, frames queued by
// later batches join the earlier ones in the same write. The batch must not be
// used afterwards.
func (b *Batch) Flush() {
	first, last := b.first, b.last
	fl := b.fl
	*b = Batch{}
	batches.Put(b)
	switch {
	case first == nil:
	case first == last && first.n <= inlineFlush:
		first.flush()
	default:
		fl.submit(first, last)
	}
}

func (ch *batchChunk) flush() {
	for _, c := range ch.conns[:ch.n] {
		c.flushDirty()
	}
	*ch = batchChunk{}
	chunks.Put(ch)
}

// flusher runs the writes of batches. Its workers exist only while there is work.
type flusher struct {
	mu      sync.Mutex
	first   *batchChunk
	last    *batchChunk
	workers int
}

// submit appends the chunks from first to last and starts workers for them.
func (fl *flusher) submit(first, last *batchChunk) {
	fl.mu.Lock()
	if fl.last == nil {
		fl.first = first
	} else {
		fl.last.next = first
	}
	fl.last = last
	start := 0
	for ch := first; ch != nil && fl.workers < runtime.GOMAXPROCS(0); ch = ch.next {
		fl.workers++
		start++
	}
	fl.mu.Unlock()
	for range start {
		go fl.work()
	}
}

func (fl *flusher) work() {
	for {
		fl.mu.Lock()
		ch := fl.first
		if ch == nil {
			fl.workers--
			fl.mu.Unlock()
			return
		}
		fl.first = ch.next
		if fl.first == nil {
			fl.last = nil
		}
		fl.mu.Unlock()
		ch.next = nil
		ch.flush()
	}
}
