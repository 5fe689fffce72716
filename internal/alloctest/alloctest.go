// Package alloctest measures in tests how many bytes are allocated.
package alloctest

import "runtime"

// tries is how often Bytes measures before it believes that too much is allocated. A collection during every one of them is not
// to be expected.
const tries = 10

// Bytes returns how many bytes a call of f allocates, and with them what the rest of the process does. It calls f once, and
// where that is more than limit up to nine times more, and returns the least: the collector may empty pools at any time, the
// race detector has sync.Pool lose things at random, and other goroutines allocate too. The first call is as good as any, so f
// may have warmed up nothing.
//
// It collects no garbage and must not run beside other tests.
func Bytes(limit int, f func()) int {
	least := measure(f)
	for n := 1; n < tries && least > limit; n++ {
		least = min(least, measure(f))
	}
	return least
}

func measure(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}
