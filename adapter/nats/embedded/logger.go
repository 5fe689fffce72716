package embedded

import (
	"fmt"
	"log/slog"
)

// logger brings what the server says to slog. Its notices are about starting and
// stopping, and are for who looks for trouble.
type logger struct{ l *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.l.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l logger) Debugf(format string, v ...any)  { l.l.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l logger) Tracef(format string, v ...any)  { l.l.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.l.Warn("nats: " + fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any)  { l.l.Error("nats: " + fmt.Sprintf(format, v...)) }

// Fatalf is called when the server cannot start, which Start reports.
func (l logger) Fatalf(format string, v ...any) { l.l.Error("nats: " + fmt.Sprintf(format, v...)) }
