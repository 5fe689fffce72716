package cluster

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// members are the other servers, as far as they are known by their heartbeats: by any
// message of theirs.
type members struct {
	mu   sync.Mutex
	seen map[string]time.Time // guarded by mu: the last message, by uid
	left map[string]time.Time // guarded by mu: those that said goodbye, by uid, and when

	begun time.Time    // immutable
	last  atomic.Int64 // when this server published last, in nanoseconds since begun
}

// maxMembers bounds what a peer that changes its uid can do.
const maxMembers = 10000

func (m *members) published() { m.last.Store(int64(time.Since(m.begun))) }

// quiet returns how long this server has published nothing. It knows nothing of the wall
// clock, which may be set back by more than the others wait for a heartbeat.
func (m *members) quiet() time.Duration {
	last := time.Duration(m.last.Load())
	return time.Since(m.begun) - last
}

func (m *members) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.seen)
}

// uids returns those known, never nil.
func (m *members) uids() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	uids := make([]string, 0, len(m.seen))
	for uid := range m.seen {
		uids = append(uids, uid)
	}
	return uids
}

// saw notes a sign of life.
func (m *members) saw(uid string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, gone := m.left[uid]; gone {
		return // overtaken by its sender's goodbye
	}
	if m.seen == nil {
		m.seen = make(map[string]time.Time)
	}
	if _, known := m.seen[uid]; known || len(m.seen) < maxMembers {
		m.seen[uid] = time.Now()
	}
}

// goodbye forgets a server for good and reports whether it was known.
func (m *members) goodbye(uid string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.seen[uid]
	delete(m.seen, uid)
	if known {
		if m.left == nil {
			m.left = make(map[string]time.Time)
		}
		m.left[uid] = time.Now()
	}
	return known
}

// silent forgets and returns the servers not heard of for longer than limit.
func (m *members) silent(limit time.Duration) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var uids []string
	for uid, at := range m.seen {
		if time.Since(at) > limit {
			uids = append(uids, uid)
			delete(m.seen, uid)
		}
	}
	for uid, at := range m.left {
		if time.Since(at) > limit {
			delete(m.left, uid)
		}
	}
	return uids
}

// keepAlive sends heartbeats and looks for servers without, until ctx ends.
func (a *Adapter) keepAlive(ctx context.Context) {
	// Often enough for both, and at least every second, as the reference looks.
	tick := time.NewTicker(max(time.Millisecond, min(time.Second, a.cfg.HeartbeatInterval/4, a.cfg.HeartbeatTimeout/4)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, uid := range a.members.silent(a.cfg.HeartbeatTimeout) {
			a.log.Log(ctx, slog.LevelInfo, "adapter: server is silent", "namespace", a.nsp, "uid", uid)
			a.requests.gone(uid)
		}
		// A tick early rather than late: what is said is that it comes within the interval.
		if a.members.quiet() >= a.cfg.HeartbeatInterval*3/4 {
			_ = a.send(&Message{Type: Heartbeat}) // fails only at the end, or when others wait, too
		}
	}
}

// sawSender takes the sender of any message for alive.
func (a *Adapter) sawSender(m *Message) {
	if a.counter != nil || m.UID == Emitter || m.UID == "" || m.Type == AdapterClose {
		return
	}
	a.members.saw(m.UID)
}
