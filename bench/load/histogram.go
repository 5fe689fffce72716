package main

import (
	"math"
	"math/bits"
)

// Values below 2^(precision+1) nanoseconds are counted exactly. Above, each power of two
// has 2^precision buckets, so that a percentile is at most 0.8 % too high.
const (
	precision = 7
	widest    = 42 // bits of the greatest value told apart, 73 minutes
	buckets   = (widest - precision + 1) << precision
)

// histogram counts latencies in nanoseconds. Its size does not depend on their number.
type histogram struct {
	counts [buckets]uint64
	n      uint64
	max    int64
}

func bucket(v int64) int {
	if v < 0 {
		return 0
	}
	shift := max(bits.Len64(uint64(v))-precision-1, 0)
	return min(shift<<precision+int(v>>shift), buckets-1)
}

// highest returns the greatest value that is counted in bucket i.
func highest(i int) int64 {
	shift := max(i>>precision-1, 0)
	return int64(i-shift<<precision+1)<<shift - 1
}

func (h *histogram) record(v int64) {
	h.counts[bucket(v)]++
	h.n++
	h.max = max(h.max, v)
}

// percentile returns the smallest value that p of 100 recorded ones do not exceed, or 0
// when there are none.
func (h *histogram) percentile(p float64) int64 {
	rank := uint64(math.Ceil(p * float64(h.n) / 100))
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(highest(i), h.max)
		}
	}
	return h.max
}
