package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestHistogramBuckets(t *testing.T) {
	for i := range buckets - 1 {
		high := highest(i)
		if got := bucket(high); got != i {
			t.Fatalf("highest value %d of bucket %d is counted in %d", high, i, got)
		}
		if got := bucket(high + 1); got != i+1 {
			t.Fatalf("%d, above bucket %d, is counted in %d", high+1, i, got)
		}
	}
	if got := bucket(1 << 62); got != buckets-1 {
		t.Errorf("a value beyond the range is counted in %d", got)
	}
	if got := bucket(-1); got != 0 {
		t.Errorf("a negative value is counted in %d", got)
	}
}

func TestHistogramPercentiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	h := new(histogram)
	if got := h.percentile(50); got != 0 {
		t.Errorf("percentile of nothing is %d", got)
	}
	values := make([]int64, 20_000)
	for i := range values {
		values[i] = int64(r.ExpFloat64() * 1e6)
		h.record(values[i])
	}
	slices.Sort(values)
	for _, p := range []float64{0.01, 50, 99, 99.9, 100} {
		want := values[int(math.Ceil(p*float64(len(values))/100))-1]
		got := h.percentile(p)
		if got < want || float64(got) > float64(want)*1.008+1 {
			t.Errorf("p%v is %d, the sorted values say %d", p, got, want)
		}
	}
	if h.max != values[len(values)-1] {
		t.Errorf("max is %d, want %d", h.max, values[len(values)-1])
	}
}
