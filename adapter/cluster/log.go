package cluster

import (
	"context"
	"time"

	"github.com/epio-go/epio/adapter"
)

// LogDriver is a [Driver] whose broker keeps what is sent to all, in one order that all
// servers see: the ground for connection state recovery.
//
// The driver hands entries of the log to [Logged].ReceiveLogged instead of Receive, own
// ones included, in the order of the log, without leaving any out.
type LogDriver interface {
	Driver

	// EnableRecovery says that recovery is on. It is called before Open, if at all.
	EnableRecovery(c adapter.RecoveryConfig)

	// Compare orders two offsets and reports whether both have the form of one.
	Compare(a, b string) (order int, ok bool)

	// Range calls f with the entries of the log behind the offset from, oldest first,
	// up to the last one there is or until f returns false. It returns
	// adapter.ErrOffset when it cannot be known that nothing between from and the
	// oldest entry has been dropped.
	Range(ctx context.Context, from string, f func(offset string, m *Message) (more bool)) error

	// StoreSession stores p under pid for some time, replacing what is there.
	StoreSession(ctx context.Context, pid string, p []byte, keep time.Duration) error
	// TakeSession removes what is stored under pid and returns it, nil if there is
	// nothing. Of several servers that try, one gets it.
	TakeSession(ctx context.Context, pid string) ([]byte, error)
}

// InLog reports whether a message goes into the log, when recovery is on: what all
// servers do in one order. Packets that may be dropped and those with acknowledgements
// are not replayed, and so not kept.
func (m *Message) InLog() bool {
	switch m.Type {
	case Broadcast:
		return m.RequestID == "" && !m.Opts.Flags.Has(adapter.Volatile)
	case SocketsJoin, SocketsLeave, DisconnectSockets:
		return true
	}
	return false
}

// logged has m published to the log, if recovery is on and m belongs there: then its
// effect on this server comes when it is read back, see Logged. It reports false when
// the effect must come now: there is no log, or m could not be queued, for which err is
// the reason.
func (a *Adapter) logged(m *Message) (waits bool, err error) {
	if a.echoes == nil || !m.InLog() {
		return false, a.send(m)
	}
	p, err := a.encode(m)
	if err != nil {
		return false, err
	}
	// The mutex keeps the order of echoes that of the queue.
	a.echoes.mu.Lock()
	defer a.echoes.mu.Unlock()
	if err := a.queue.put(p); err != nil {
		return false, err
	}
	a.members.published()
	a.echoes.list = append(a.echoes.list, &echo{typ: p.Type, format: p.Format, data: p.Data, at: time.Now()})
	return true, nil
}

// Log returns the adapter as one with a log, nil without. Drivers of such use it to hand
// on what they read.
func (a *Adapter) Log() *Logged { return a.logging }
