package nats

import (
	"context"
	"sync"
)

// inboxBytes bounds what has come for a namespace and waits to be handled.
const inboxBytes = 64 << 20

// item is a message, or an entry of the log, which has an offset.
type item struct {
	subject string
	data    []byte
	offset  string
}

// size is what an item counts for.
func (m *item) size() int { return 256 + len(m.subject) + len(m.data) }

// inbox stands between the connection, which must be read, and a namespace, which
// handles messages one after the other. When it is full, messages are lost: the client
// library cannot wait, and would lose those of all namespaces. The log waits.
type inbox struct {
	wake  chan struct{} // capacity 1; from put and close to run
	space chan struct{} // capacity 1; from take to wait

	mu     sync.Mutex
	items  []item // guarded by mu
	bytes  int    // guarded by mu: of items and of those being handled
	closed bool   // guarded by mu
}

func newInbox() *inbox {
	return &inbox{wake: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

// wait is put for one goroutine that can wait. It reports false when ctx ended.
func (b *inbox) wait(ctx context.Context, m item) bool {
	for !b.put(m) {
		select {
		case <-b.space:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// put appends a message and reports whether there was room. One may pass alone.
func (b *inbox) put(m item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return true
	}
	if b.bytes > 0 && b.bytes+m.size() > inboxBytes {
		return false
	}
	b.items = append(b.items, m)
	b.bytes += m.size()
	b.signal()
	return true
}

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// close ends run; what waits is dropped.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.items = nil
	b.signal()
}

// take returns what is there. handled is how many bytes of the last take are done with.
func (b *inbox) take(handled int) (items []item, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes -= handled; handled > 0 {
		select {
		case b.space <- struct{}{}:
		default:
		}
	}
	items, b.items = b.items, nil
	return items, b.closed
}

// run handles messages until close.
func (b *inbox) run(handle func(*item)) {
	handled := 0
	for {
		items, closed := b.take(handled)
		if closed {
			return
		}
		if handled = 0; len(items) == 0 {
			<-b.wake
			continue
		}
		for i := range items {
			handled += items[i].size()
			handle(&items[i])
			items[i] = item{}
		}
	}
}
