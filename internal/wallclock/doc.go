// Package wallclock holds no code, only a test: what waits, expires or counts by time does so by the monotonic clock.
//
// A time.Time of time.Now has both clocks, and Sub, Since, Before and timers use the monotonic one: whoever sets the wall clock,
// by a second or by a day, changes nothing. That is lost when such a time is turned into a number, or is made from one, or is
// put into UTC, rounded, and so on. The test finds all such places and wants a reason for each. The script walljumps runs the
// tests of the packages with a wall clock that jumps.
package wallclock
