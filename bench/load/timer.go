package main

import (
	"golang.org/x/sys/unix"
)

// timer wakes the epoll set at a moment, which epoll_wait's own milliseconds are too
// coarse for.
type timer struct {
	fd   int
	l    *load
	fire func() error
}

func newTimer(l *load) (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	// The kernel may be up to 50 µs late otherwise.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	t := &timer{fd: fd, l: l}
	return t, l.add(fd, t)
}

// at calls fire at a moment in nanoseconds since the load's start.
func (t *timer) at(when int64) error {
	wait := max(when-t.l.clock(), 1)
	return unix.TimerfdSettime(t.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(wait)}, nil)
}

func (t *timer) ready(uint32) error {
	var expired [8]byte
	if _, err := rawRead(t.fd, expired[:]); err != nil || t.fire == nil {
		return nil
	}
	return t.fire()
}
