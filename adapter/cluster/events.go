package cluster

import (
	"context"
	"sync"

	"github.com/epio-go/epio/adapter"
)

// events are the server-side events that have come and wait for their listeners. These
// are the application's: one that waits, for the answers to a call of its own perhaps,
// must not keep messages from being received. One goroutine runs them, in order.
type events struct {
	wake chan struct{} // capacity 1; from put to run

	mu    sync.Mutex
	queue []event // guarded by mu
}

type event struct {
	name string
	args []any
	ack  func(any)
}

// maxEvents bounds the queue. Listeners so slow are a fault of the application.
const maxEvents = 10000

// put appends an event and reports whether there was room.
func (q *events) put(e event) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) >= maxEvents {
		return false
	}
	q.queue = append(q.queue, e)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

func (q *events) take() []event {
	q.mu.Lock()
	defer q.mu.Unlock()
	es := q.queue
	q.queue = nil
	return es
}

func (q *events) run(ctx context.Context, h adapter.Host) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		for _, e := range q.take() {
			h.ServerEvent(e.name, e.args, e.ack)
		}
	}
}
