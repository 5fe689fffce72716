package redis

import (
	"time"

	"github.com/epio-go/epio/adapter/cluster"
)

// Tuning is what all three adapters have in common beyond the reference's options.
type Tuning struct {
	// PublishTimeout is how long a message waits for a Redis that cannot be reached,
	// before it is given up. Default 5 s.
	PublishTimeout time.Duration
	// QueueBytes bounds the memory of messages that wait to be published. Beyond it
	// sending fails with cluster.ErrQueueFull. Default 64 MiB.
	QueueBytes int
}

// DefaultPrefix is what names of channels, and the stream's, begin with.
const DefaultPrefix = "socket.io"

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func (t *Tuning) config(requestsTimeout time.Duration) cluster.Config {
	return cluster.Config{
		RequestsTimeout: requestsTimeout,
		PublishTimeout:  t.PublishTimeout,
		QueueBytes:      t.QueueBytes,
	}
}
