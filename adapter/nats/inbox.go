package nats

import (
	"sync"

	natsgo "github.com/nats-io/nats.go"
)

// inboxBytes bounds what has come for a namespace and waits to be handled.
const inboxBytes = 64 << 20

// inbox stands between the connection, which must be read, and a namespace, which
// handles messages one after the other. When it is full, messages are lost: the client
// library cannot wait, and would lose those of all namespaces.
type inbox struct {
	wake chan struct{} // capacity 1; from put and close to run

	mu     sync.Mutex
	items  []*natsgo.Msg // guarded by mu
	bytes  int           // guarded by mu: of items and of those being handled
	closed bool          // guarded by mu
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// size is what a message counts for.
func size(m *natsgo.Msg) int { return 256 + len(m.Subject) + len(m.Data) }

// put appends a message and reports whether there was room. One may pass alone.
func (b *inbox) put(m *natsgo.Msg) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return true
	}
	if b.bytes > 0 && b.bytes+size(m) > inboxBytes {
		return false
	}
	b.items = append(b.items, m)
	b.bytes += size(m)
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
func (b *inbox) take(handled int) (items []*natsgo.Msg, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= handled
	items, b.items = b.items, nil
	return items, b.closed
}

// run handles messages until close.
func (b *inbox) run(handle func(*natsgo.Msg)) {
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
		for i, m := range items {
			handle(m)
			items[i] = nil
			handled += size(m)
		}
	}
}
