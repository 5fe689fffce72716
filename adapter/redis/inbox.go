package redis

import "sync"

// inboxBytes bounds what has come and waits to be handled. Redis closes connections
// that leave more than 32 MB unread, so it is better to have it here.
const inboxBytes = 64 << 20

// itemSize is what a message counts for besides its payload.
const itemSize = 64

// message is what came from a channel, or from a stream.
type message struct {
	channel, payload string
	entry            *entry
}

func (m *message) size() int {
	n := itemSize + len(m.channel) + len(m.payload)
	if m.entry != nil {
		for _, v := range m.entry.values {
			s, _ := v.(string)
			n += len(s)
		}
	}
	return n
}

// inbox stands between the connections, which must be read from, and a namespace, which
// handles messages one after the other. When it is full, connections wait.
type inbox struct {
	mu     sync.Mutex
	change sync.Cond // for put and take: something was taken, put, or closed
	items  []message // guarded by mu
	bytes  int       // guarded by mu
	closed bool      // guarded by mu
}

func newInbox() *inbox {
	b := new(inbox)
	b.change.L = &b.mu
	return b
}

// put implements handler.
func (b *inbox) put(channel, payload string) { b.add(message{channel: channel, payload: payload}) }

func (b *inbox) putEntry(e *entry) { b.add(message{entry: e}) }

func (b *inbox) add(m message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.bytes > inboxBytes && !b.closed {
		b.change.Wait()
	}
	if b.closed {
		return
	}
	b.items = append(b.items, m)
	b.bytes += m.size()
	b.change.Broadcast()
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.items, b.bytes = nil, 0
	b.change.Broadcast()
}

// run handles messages until close.
func (b *inbox) run(handle func(message)) {
	for {
		b.mu.Lock()
		for len(b.items) == 0 && !b.closed {
			b.change.Wait()
		}
		if b.closed {
			b.mu.Unlock()
			return
		}
		items := b.items
		b.items = nil
		b.mu.Unlock()
		for _, m := range items {
			handle(m)
			b.mu.Lock()
			b.bytes -= m.size()
			b.change.Broadcast()
			closed := b.closed
			b.mu.Unlock()
			if closed {
				return
			}
		}
	}
}
