package cluster

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// ErrQueueFull is returned when more is sent than the broker takes. Delivery on this
// server is not affected.
var ErrQueueFull = errors.New("adapter/cluster: publish queue is full")

// Sizes of what is handed to Driver.Publish at once.
const (
	maxBatch      = 256
	maxBatchBytes = 1 << 20
)

// Waiting times of the queue.
const (
	// attempt bounds one call of Publish.
	attempt = 2 * time.Second
	// firstPause and lastPause are between calls after a failure.
	firstPause = 20 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// queue holds what is to be published. One goroutine hands it to the driver, in order
// and many at a time, so that nobody who sends waits for the broker.
type queue struct {
	// immutable
	limit   int           // bytes
	patient time.Duration // how long a parcel may wait
	publish func(ctx context.Context, ps []Parcel) (settled, lost int, err error)
	lost    func(n int, err error) // n parcels are given up
	wake    chan struct{}          // capacity 1; from put and close to run
	empty   chan struct{}          // closed by run at its end

	mu     sync.Mutex
	parts  []Parcel    // guarded by mu
	since  []time.Time // guarded by mu: when each of parts came
	bytes  int         // guarded by mu: of parts and of what is being published
	closed bool        // guarded by mu
}

// put appends a parcel. It does not wait.
func (q *queue) put(p Parcel) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return net.ErrClosed
	}
	// A parcel larger than the queue may pass when it is alone.
	if q.bytes > 0 && q.bytes+p.size() > q.limit {
		return ErrQueueFull
	}
	q.bytes += p.size()
	q.parts = append(q.parts, p)
	q.since = append(q.since, time.Now())
	q.signal()
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close lets run end when the queue is empty.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// drained returns when everything was published or given up, or ctx ends.
func (q *queue) drained(ctx context.Context) {
	select {
	case <-q.empty:
	case <-ctx.Done():
	}
}

// take removes the next parcels, at least one if there are any.
func (q *queue) take() (ps []Parcel, since []time.Time, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, 0
	for n < min(len(q.parts), maxBatch) {
		if bytes += len(q.parts[n].Data); n > 0 && bytes > maxBatchBytes {
			break
		}
		n++
	}
	ps, since = q.parts[:n:n], q.since[:n:n]
	q.parts, q.since = q.parts[n:], q.since[n:]
	if len(q.parts) == 0 {
		// Not kept for later: a burst would leave its memory behind.
		q.parts, q.since = nil, nil
	}
	return ps, since, q.closed
}

// run publishes until the queue is closed and empty, or ctx ends.
func (q *queue) run(ctx context.Context) {
	defer close(q.empty)
	for {
		ps, since, closed := q.take()
		if len(ps) == 0 {
			if closed {
				return
			}
			select {
			case <-q.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		q.send(ctx, ps, since)
	}
}

// send publishes ps, and again what was not settled, until that is too old.
func (q *queue) send(ctx context.Context, ps []Parcel, since []time.Time) {
	pause := firstPause
	for len(ps) > 0 {
		actx, cancel := context.WithTimeout(ctx, attempt)
		n, lost, err := q.tryPublish(actx, ps)
		cancel()
		if err == nil {
			n = len(ps)
		} else if lost > 0 {
			q.lost(lost, err)
		}
		q.done(ps[:n])
		ps, since = ps[n:], since[n:]
		if len(ps) == 0 {
			return
		}
		old := 0
		for old < len(ps) && (ctx.Err() != nil || time.Since(since[old]) >= q.patient) {
			old++
		}
		if old > 0 {
			q.lost(old, err)
			q.done(ps[:old])
			ps, since = ps[old:], since[old:]
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

func (q *queue) tryPublish(ctx context.Context, ps []Parcel) (settled, lost int, err error) {
	defer driverPanic(&err)
	return q.publish(ctx, ps)
}

func (q *queue) done(ps []Parcel) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range ps {
		q.bytes -= ps[i].size()
		ps[i] = Parcel{}
	}
}
