package cluster

import (
	"slices"
	"time"

	"github.com/epio-go/epio/adapter"
)

// maxAckWait bounds requests for acknowledgements that do not say how long to wait.
const maxAckWait = time.Hour

// ackRequest is one broadcast with acknowledgements.
type ackRequest struct {
	// immutable
	acks    adapter.Acks
	servers []string // those asked; nil when the broker counts
	timer   *time.Timer

	state map[string]ackState // guarded by requests.mu; by uid
}

// ackState is what one server said about one request.
type ackState struct {
	counted bool
	// left is how many clients have not answered. Before the count it is negative:
	// some brokers let a message overtake another one.
	left int
}

// asks reports whether answers of uid matter. Those of servers that came later do not.
func (r *ackRequest) asks(uid string) bool {
	return r.servers == nil || slices.Contains(r.servers, uid)
}

// addAck registers a broadcast with acknowledgements, which is forgotten after limit.
func (q *requests) addAck(r *ackRequest, limit time.Duration) (id string) {
	id = q.newID()
	if limit <= 0 {
		limit = maxAckWait
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	r.state = make(map[string]ackState)
	r.timer = time.AfterFunc(limit, func() { q.dropAck(id) })
	if q.acks == nil {
		q.acks = make(map[string]*ackRequest)
	}
	q.acks[id] = r
	return id
}

func (q *requests) dropAck(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.acks[id]; r != nil {
		r.timer.Stop()
		delete(q.acks, id)
	}
}

// settleAckLocked forgets the request when everybody has answered. When the broker
// counts, that is not known.
func (q *requests) settleAckLocked(id string, r *ackRequest) {
	if r.servers == nil {
		return
	}
	for _, uid := range r.servers {
		if s := r.state[uid]; !s.counted || s.left > 0 {
			return
		}
	}
	r.timer.Stop()
	delete(q.acks, id)
}

// clientCount takes in a BroadcastClientCount. Formats that do not name the sender
// cannot be protected against one that counts twice.
func (q *requests) clientCount(m *Message) {
	q.mu.Lock()
	r := q.acks[m.RequestID]
	if r == nil || !r.asks(m.UID) {
		q.mu.Unlock()
		return
	}
	if m.UID != "" {
		s := r.state[m.UID]
		if s.counted {
			q.mu.Unlock()
			return
		}
		r.state[m.UID] = ackState{true, s.left + m.Count}
		q.settleAckLocked(m.RequestID, r)
	}
	q.mu.Unlock()
	r.acks.Count(m.Count)
}

// ack takes in a BroadcastAck.
func (q *requests) ack(m *Message) error {
	q.mu.Lock()
	r := q.acks[m.RequestID]
	q.mu.Unlock()
	if r == nil || !r.asks(m.UID) {
		return nil
	}
	value, err := m.Answer()
	if err != nil {
		return err
	}
	if m.UID != "" {
		q.mu.Lock()
		s := r.state[m.UID]
		if s.counted && s.left <= 0 {
			q.mu.Unlock()
			return nil // more answers than clients, or after its server was given up
		}
		s.left--
		r.state[m.UID] = s
		q.settleAckLocked(m.RequestID, r)
		q.mu.Unlock()
	}
	r.acks.Ack("", value)
	return nil
}

// loss is what a server that left owes to one request.
type loss struct {
	acks    adapter.Acks
	counted bool
	left    int
}

func (l *loss) report() {
	switch {
	case !l.counted:
		// What it answered before its count could be read was passed on.
		l.acks.Count(-min(l.left, 0))
	case l.left > 0:
		l.acks.Lost(l.left)
	}
}

// goneLocked settles what uid owes. It reports false when that is nothing.
func (r *ackRequest) goneLocked(uid string) (loss, bool) {
	if r.servers == nil || !r.asks(uid) {
		return loss{}, false
	}
	s := r.state[uid]
	r.state[uid] = ackState{counted: true}
	return loss{r.acks, s.counted, s.left}, true
}
