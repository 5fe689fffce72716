// Package gcra limits rates with one word of state per limit: the generic cell rate
// algorithm, a token bucket that remembers when it will be full again instead of
// how full it is.
//
// Source: https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
package gcra

import (
	"sync/atomic"
	"time"
)

// Limit is a rate and a burst. Immutable. The zero value allows everything.
type Limit struct {
	interval time.Duration // between two units at the rate
	span     time.Duration // burst × interval
}

// New allows perSecond units a second and burst (at least 1) of them at once. A rate
// that is not positive allows everything.
func New(perSecond float64, burst int) Limit {
	if perSecond <= 0 {
		return Limit{}
	}
	interval := max(time.Duration(float64(time.Second)/perSecond), 1)
	return Limit{interval, interval * time.Duration(max(burst, 1))}
}

// On reports whether there is a limit at all.
func (l Limit) On() bool { return l.interval > 0 }

// Bucket is the state of one limit: when it will be full. The zero value is full.
type Bucket time.Duration

// Take takes one unit at the time now. If there is none it returns how long it takes until
// there is one, and takes nothing.
func (b *Bucket) Take(l Limit, now time.Duration) (wait time.Duration) {
	next, wait := take(l, time.Duration(*b), now)
	*b = Bucket(next)
	return wait
}

// Full reports whether the bucket is as good as a new one.
func (b Bucket) Full(now time.Duration) bool { return time.Duration(b) <= now }

func take(l Limit, full, now time.Duration) (next, wait time.Duration) {
	if !l.On() {
		return full, 0
	}
	next = max(full, now) + l.interval
	if wait = next - now - l.span; wait > 0 {
		return full, wait
	}
	return next, 0
}

// Shared is a Bucket for many goroutines.
type Shared struct{ full atomic.Int64 }

// Take is Bucket.Take.
func (s *Shared) Take(l Limit, now time.Duration) (wait time.Duration) {
	if !l.On() {
		return 0
	}
	for {
		old := s.full.Load()
		next, wait := take(l, time.Duration(old), now)
		if wait > 0 || s.full.CompareAndSwap(old, int64(next)) {
			return wait
		}
	}
}

// Borrow takes one unit in any case and returns how long it takes until what was
// borrowed is paid back.
func (b *Bucket) Borrow(l Limit, now time.Duration) (wait time.Duration) {
	if !l.On() {
		return 0
	}
	next := max(time.Duration(*b), now) + l.interval
	*b = Bucket(next)
	return max(next-now-l.span, 0)
}
