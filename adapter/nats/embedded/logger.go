package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// logger brings what the server says to slog. Its notices are about starting and
// stopping, and are for who looks for trouble.
type logger struct {
	l *slog.Logger
	// fatal gets the first reason why the server cannot go on. Capacity 1; from the
	// server to started.
	fatal chan string
}

func (l *logger) Noticef(format string, v ...any) { l.l.Debug("nats: " + fmt.Sprintf(format, v...)) }

func (l *logger) Debugf(format string, v ...any) { l.l.Debug("nats: " + fmt.Sprintf(format, v...)) }

func (l *logger) Tracef(format string, v ...any) { l.l.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l *logger) Warnf(format string, v ...any)  { l.l.Warn("nats: " + fmt.Sprintf(format, v...)) }
func (l *logger) Errorf(format string, v ...any) { l.l.Error("nats: " + fmt.Sprintf(format, v...)) }

// Fatalf is called when the server cannot start. The server's own logger ends the
// process.
func (l *logger) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.l.Error("nats: " + text)
	select {
	case l.fatal <- text:
	default:
	}
}

// Times of starting.
const (
	startWait = 10 * time.Second
	// startStep is between looks at what keeps the server from starting, which it does
	// not look at itself.
	startStep = 25 * time.Millisecond
)

// started returns when the server listens, or the reason why it does not.
func (l *logger) started(s *server.Server) error {
	for end := time.Now().Add(startWait); ; {
		if s.ReadyForConnections(startStep) {
			return nil
		}
		select {
		case text := <-l.fatal:
			return errors.New(text)
		default:
		}
		if time.Now().After(end) {
			return errors.New("the server does not start")
		}
	}
}
