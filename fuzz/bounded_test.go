package fuzz

import (
	"runtime"
	"testing"

	"github.com/epio-go/epio/internal/invariants"
)

// slack is what decoding may allocate whatever its input: pools that are empty, types that are
// seen for the first time. With invariants pools give nothing back.
var slack = func() int {
	if invariants.Enabled {
		return 2 << 20
	}
	return 256 << 10
}()

// bounded runs f and fails the test if it allocates more than limit bytes and slack. Others
// may allocate meanwhile, so it is the best of three that counts.
func bounded(t *testing.T, limit int, f func()) {
	t.Helper()
	var least uint64
	for try := range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		n := after.TotalAlloc - before.TotalAlloc
		if n <= uint64(limit+slack) {
			return
		}
		if try == 0 || n < least {
			least = n
		}
	}
	t.Fatalf("%d bytes allocated, expected at most %d and %d", least, limit, slack)
}

func TestBounded(t *testing.T) {
	bounded(t, 1<<20, func() { sink = make([]byte, 1<<20) })
	failed := make(chan bool)
	go func() {
		inner := new(testing.T)
		defer func() { failed <- inner.Failed() }()
		bounded(inner, 1<<20, func() { sink = make([]byte, 2<<20+slack) })
	}()
	if !<-failed {
		t.Error("twice as much as allowed went unnoticed")
	}
}

var sink []byte
