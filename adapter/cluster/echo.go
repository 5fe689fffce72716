package cluster

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// echo is a message of this server that was published to the log and has not come back
// from it.
type echo struct {
	typ    Type
	format Format
	data   []byte // as in the parcel
	at     time.Time
	done   bool // guarded by Logged.delivery: it had its effect, without an offset
}

// Waiting times of echoes.
const (
	// echoWait is how long sockets of this server wait for the log before they get a
	// message without it.
	echoWait = 1500 * time.Millisecond
	// echoTick is how often that is looked at.
	echoTick = 250 * time.Millisecond
	// echoKept is how long it is remembered after that, to tell it when it comes back
	// in the end.
	echoKept = 30 * time.Second
)

// echoes are the messages whose return is waited for, in the order in which they were
// queued, which is the order in which they come back. The log's entries do not say which
// message they are, since their form is the reference's; order and content tell.
type echoes struct {
	mu   sync.Mutex
	list []*echo // guarded by mu
}

// match removes the echo that has come back, and those before it, which have got lost.
// It returns both; heard is nil for one that was not waited for any more.
func (e *echoes) match(typ Type, data []byte) (lost []*echo, heard *echo) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, c := range e.list {
		if c.typ == typ && bytes.Equal(c.data, data) {
			lost = e.list[:i:i]
			e.list = e.list[i+1:]
			if len(e.list) == 0 {
				e.list = nil
			}
			return lost, c
		}
	}
	return nil, nil
}

// overdueLocked returns the echoes that have waited too long, and forgets those that have had
// their effect and are not going to come. Logged.delivery must be held.
func (e *echoes) overdueLocked(now time.Time) []*echo {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.list) > 0 && e.list[0].done && now.Sub(e.list[0].at) > echoKept {
		e.list = e.list[1:]
	}
	n := 0
	for n < len(e.list) && now.Sub(e.list[n].at) > echoWait {
		n++
	}
	return e.list[:n:n]
}

// listen delivers what has waited too long, until ctx ends.
func (l *Logged) listen(ctx context.Context) {
	tick := time.NewTicker(echoTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.delivery.Lock()
		l.effectLocked(l.echoes.overdueLocked(time.Now()))
		l.delivery.Unlock()
	}
}

// effectLocked gives messages of this server their effect here, without the log.
func (l *Logged) effectLocked(late []*echo) {
	for _, e := range late {
		if e.done {
			continue
		}
		e.done = true
		m := &Message{Type: e.typ, UID: l.cfg.UID, Namespace: l.nsp}
		err := m.DecodeData(e.data)
		if err == nil {
			err = l.apply(m, "")
		}
		if err != nil {
			l.Malformed("own message", err)
		}
	}
}
