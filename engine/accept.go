package engine

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// acceptLoop is Serve without the bookkeeping.
func (e *Engine) acceptLoop(ln net.Listener, accept func(*Conn) Handler) error {
	var delay time.Duration
	for {
		nc, err := ln.Accept()
		if err != nil {
			select {
			case <-e.done:
				return ErrClosed
			default:
			}
			if errors.Is(err, net.ErrClosed) || !temporary(err) {
				return err
			}
			// Mostly a lack of descriptors: wait for some to come back, longer
			// each time. Clients wait in the backlog meanwhile.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			e.log.Warn("engine: accept failed", "err", err, "retry", delay)
			t := time.NewTimer(delay)
			select {
			case <-e.done:
				t.Stop()
				return ErrClosed
			case <-t.C:
			}
			continue
		}
		delay = 0
		if e.reactor != nil {
			err := e.reactor.accept(ln, nc, accept)
			if !errors.Is(err, errUnsupported) {
				if err != nil {
					e.log.Warn("engine: connection lost at accept", "err", err)
				}
				continue
			}
		}
		if _, err := e.adoptPortable(nc, nil, accept); err != nil {
			e.log.Warn("engine: connection lost at accept", "err", err)
		}
	}
}

// temporary reports whether Accept may succeed later: after a lack of
// descriptors or memory, or when a connection died in the backlog.
func temporary(err error) bool {
	if errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) {
		return true
	}
	// Deprecated for want of a definition, but on accept errors the answer is
	// the right one.
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}
