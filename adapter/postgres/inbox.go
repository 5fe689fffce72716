package postgres

import (
	"context"
	"sync"
)

// Limits of an inbox.
const (
	// inboxBytes bounds what has come and waits to be handled. Beyond it the connection
	// is not read, and PostgreSQL keeps what follows, up to 8 GB.
	inboxBytes = 64 << 20
	// inboxBatch is how many notifications are handled at once.
	inboxBatch = 256
	// itemSize is what a notification counts for besides its payload.
	itemSize = 64
)

// inbox stands between the connection that listens, which all namespaces share, and a
// namespace, which handles one notification after the other and has to wait for rows of
// the table meanwhile.
type inbox struct {
	stop context.CancelFunc // immutable; ends what handle does

	mu     sync.Mutex
	change sync.Cond // for put and run: something was taken, put, or closed
	items  []string  // guarded by mu
	bytes  int       // guarded by mu: of items and of what is being handled
	closed bool      // guarded by mu
}

func newInbox(stop context.CancelFunc) *inbox {
	b := &inbox{stop: stop}
	b.change.L = &b.mu
	return b
}

// put appends a payload. It waits while there is no room.
func (b *inbox) put(payload string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.bytes > inboxBytes && !b.closed {
		b.change.Wait()
	}
	if b.closed {
		return
	}
	b.items = append(b.items, payload)
	b.bytes += itemSize + len(payload)
	b.change.Broadcast()
}

// close lets run end, as soon as what is being handled is.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop()
	b.closed = true
	b.items = nil
	b.change.Broadcast()
}

// run hands batches to handle until close.
func (b *inbox) run(handle func(payloads []string)) {
	for {
		b.mu.Lock()
		for len(b.items) == 0 && !b.closed {
			b.change.Wait()
		}
		if b.closed {
			b.mu.Unlock()
			return
		}
		n := min(len(b.items), inboxBatch)
		items := b.items[:n:n]
		if b.items = b.items[n:]; len(b.items) == 0 {
			b.items = nil // a burst must not leave its memory behind
		}
		b.mu.Unlock()

		handle(items)

		b.mu.Lock()
		for i, p := range items {
			b.bytes -= itemSize + len(p)
			items[i] = ""
		}
		b.change.Broadcast()
		b.mu.Unlock()
	}
}
