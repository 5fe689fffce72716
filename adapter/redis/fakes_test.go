package redis

import (
	"context"
	"log/slog"
	"time"

	"github.com/epio-go/epio/adapter"
	"github.com/epio-go/epio/adapter/cluster"
)

// sessionStore is a driver that only keeps a session.
type sessionStore struct {
	cluster.LogDriver
	p []byte
}

func (s *sessionStore) EnableRecovery(adapter.RecoveryConfig) {}

func (s *sessionStore) StoreSession(_ context.Context, _ string, p []byte, _ time.Duration) error {
	s.p = p
	return nil
}

func (s *sessionStore) TakeSession(context.Context, string) ([]byte, error) { return s.p, nil }

type noHost struct{ adapter.Host }

func (noHost) Namespace() string    { return "/" }
func (noHost) Logger() *slog.Logger { return slog.New(slog.DiscardHandler) }
