package cluster

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// throttle logs one kind of trouble at most once every few seconds, with the number
// of times it happened since. What a broken peer sends in a loop must not fill disks.
type throttle struct {
	mu   sync.Mutex
	last time.Time // guarded by mu
	n    int       // guarded by mu: not logged yet
}

const throttleEvery = 5 * time.Second

// log logs msg for n more times, or counts them.
func (t *throttle) log(l *slog.Logger, level slog.Level, n int, msg string, args ...any) {
	t.mu.Lock()
	t.n += n
	now := time.Now()
	if !t.last.IsZero() && now.Sub(t.last) < throttleEvery {
		t.mu.Unlock()
		return
	}
	n, t.n, t.last = t.n, 0, now
	t.mu.Unlock()
	l.Log(context.Background(), level, msg, append(args, "times", n)...)
}
