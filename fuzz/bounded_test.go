package fuzz

import (
	"testing"

	"github.com/epio-go/epio/internal/alloctest"
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

// bounded runs f and fails the test if it allocates more than limit bytes and slack.
func bounded(t *testing.T, limit int, f func()) {
	t.Helper()
	if n := alloctest.Bytes(limit+slack, f); n > limit+slack {
		t.Fatalf("%d bytes allocated, expected at most %d and %d", n, limit, slack)
	}
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
