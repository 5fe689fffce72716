package sio

import (
	"context"
	"log/slog"

	"github.com/epio-go/epio/internal/gcra"
)

// logLimit bounds the lines above Debug that one connection brings about: 5 bytes of a client, an attempt to join a
// namespace that does not exist, are worth a line of 150. Each connection has its own, so that nobody can keep
// what others do out of the log.
var logLimit = gcra.New(1, 50)

// logger returns where a line goes that the client has brought about: nowhere if there were too many. The next line, or
// the end of the connection, tells how many were left out. It must not be called with c.mu held.
func (c *client) logger(level slog.Level) *slog.Logger {
	log := c.srv.log
	if level < slog.LevelInfo || !log.Enabled(context.Background(), level) {
		return log
	}
	now := c.srv.engine.Engine().Wheel().Now()
	c.mu.Lock()
	if c.lines.Take(logLimit, now) > 0 {
		c.unlogged++
		c.mu.Unlock()
		return silent
	}
	c.mu.Unlock()
	c.tellUnlogged()
	return log
}

// tellUnlogged logs how many lines were left out, if any were.
func (c *client) tellUnlogged() {
	c.mu.Lock()
	n := c.unlogged
	c.unlogged = 0
	c.mu.Unlock()
	if n > 0 {
		c.srv.log.Warn("sio: lines about a connection left out", "remote", c.remote(), "lines", n)
	}
}

var silent = slog.New(slog.DiscardHandler)
