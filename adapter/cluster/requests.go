package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/epio-go/epio/adapter"
)

// ErrTimeout is wrapped by the error of a request that not all servers have answered
// in time. The result holds the answers there are. It is a context.DeadlineExceeded.
var ErrTimeout error = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string { return "adapter/cluster: not all servers have answered in time" }

// Is makes it look like the end of a context, which it is to who has set one.
func (timeoutError) Is(err error) bool { return err == context.DeadlineExceeded }

// Timeout is for net.Error and its like.
func (timeoutError) Timeout() bool { return true }

// request is one question to all other servers.
type request struct {
	kind Type // of the answers

	// guarded by requests.mu
	waiting map[string]bool // who has not answered; nil when the broker counts
	left    int             // how many have not answered, when the broker counts
	heard   map[string]bool // who has, then, as far as answers carry that
	total   int
	sockets []adapter.SocketInfo
	rooms   []string
	answers []any

	done chan struct{} // closed when no more is to come
	err  error         // set before that
}

// missingLocked returns how many servers have not answered.
func (r *request) missingLocked() int {
	if r.waiting != nil {
		return len(r.waiting)
	}
	return r.left
}

// answeredLocked notes that uid has answered. It reports false for an answer that was
// not waited for.
func (r *request) answeredLocked(uid string) bool {
	if r.waiting != nil {
		ok := r.waiting[uid]
		delete(r.waiting, uid)
		return ok
	}
	if r.left == 0 || r.heard[uid] {
		return false
	}
	if uid != "" {
		if r.heard == nil {
			r.heard = make(map[string]bool)
		}
		r.heard[uid] = true
	}
	r.left--
	return true
}

// requests are the questions of this server that are open.
type requests struct {
	mu   sync.Mutex
	open map[string]*request    // guarded by mu, by request id
	acks map[string]*ackRequest // guarded by mu, by request id
	err  error                  // guarded by mu: set when no more are taken
	id   func() string          // immutable; nil for NewID
}

func (q *requests) newID() string {
	if q.id != nil {
		return q.id()
	}
	return NewID()
}

func (q *requests) add(r *request) (id string) {
	id = q.newID()
	r.done = make(chan struct{})
	q.mu.Lock()
	defer q.mu.Unlock()
	r.total = r.missingLocked()
	if q.err != nil {
		r.err = q.err
		close(r.done)
		return id
	}
	if q.open == nil {
		q.open = make(map[string]*request)
	}
	q.open[id] = r
	return id
}

// cancel forgets a request that was not sent.
func (q *requests) cancel(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, id)
}

// settleLocked ends the request if nothing is missing.
func (q *requests) settleLocked(id string, r *request) {
	if r.missingLocked() == 0 {
		delete(q.open, id)
		close(r.done)
	}
}

// wait returns when all have answered, ctx or the time is over. No answer comes after
// that.
func (q *requests) wait(ctx context.Context, id string, r *request, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var cause error
	select {
	case <-r.done:
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case <-timer.C:
		cause = ErrTimeout
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open[id] == r {
		delete(q.open, id)
		return fmt.Errorf("%w: %d of %d", cause, r.total-r.missingLocked(), r.total)
	}
	return r.err
}

// end ends all requests and refuses further ones.
func (q *requests) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
	for _, r := range q.open {
		r.err = err
		close(r.done)
	}
	clear(q.open)
	for _, r := range q.acks {
		r.timer.Stop()
	}
	clear(q.acks)
}

// answer takes in an answer. Those to requests that are over are ignored, undecoded.
func (q *requests) answer(m *Message) error {
	if !q.isOpen(m.RequestID) {
		return nil
	}
	var value any
	var sockets []adapter.SocketInfo
	var err error
	switch m.Type {
	case ServerSideEmitResponse:
		value, err = m.Answer()
	case FetchSocketsResponse:
		sockets, err = m.Descriptions()
	}
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.open[m.RequestID]
	if r == nil || r.kind != m.Type || !r.answeredLocked(m.UID) {
		return nil
	}
	switch m.Type {
	case FetchSocketsResponse:
		r.sockets = append(r.sockets, sockets...)
	case AllRoomsResponse:
		r.rooms = append(r.rooms, m.Rooms...)
	case ServerSideEmitResponse:
		r.answers = append(r.answers, value)
	case EvictResponse:
		if m.Found { // there is only one
			r.left, r.waiting = 0, nil
		}
	}
	q.settleLocked(m.RequestID, r)
	return nil
}

// waits reports whether there is a request of any kind with this id.
func (q *requests) waits(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open[id] != nil || q.acks[id] != nil
}

// any reports whether there is a request of any kind.
func (q *requests) any() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.open)+len(q.acks) > 0
}

func (q *requests) isOpen(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open[id] != nil
}

// gone completes requests in the name of a server that left.
func (q *requests) gone(uid string) {
	q.mu.Lock()
	for id, r := range q.open {
		if r.waiting[uid] {
			delete(r.waiting, uid)
			q.settleLocked(id, r)
		}
	}
	var losses []loss
	for id, r := range q.acks {
		if l, ok := r.goneLocked(uid); ok {
			losses = append(losses, l)
			q.settleAckLocked(id, r)
		}
	}
	q.mu.Unlock()
	for _, l := range losses {
		l.report()
	}
}
