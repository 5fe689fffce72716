package eio

import (
	"log/slog"
	"strings"
	"testing"
)

// A session outlives bodies over the limit, so a client can send one after the other. The log has the first.
func TestLargeBodiesAreLoggedOnce(t *testing.T) {
	eachDoor(t, func(t *testing.T, d door) {
		log := new(journal)
		refused := 0
		r := d.open(t, Config{
			MaxPayload:        1000,
			Logger:            slog.New(slog.NewTextHandler(log, nil)),
			OnConnectionError: func(*ConnectionError) { refused++ }, // the test waits for each answer
		}, &app{})
		sid := r.poll()
		for range 20 {
			r.post(sid, strings.Repeat("x", 1001)).want(413, "")
		}
		r.wantAlive(sid)
		if lines := log.take(); len(lines) != 1 || !strings.Contains(lines[0], "body too large") || strings.Contains(lines[0], sid) {
			t.Errorf("%d lines, want one, without the session's id: %q", len(lines), lines)
		}
		if refused != 20 {
			t.Errorf("OnConnectionError was told of %d", refused)
		}
	})
}
