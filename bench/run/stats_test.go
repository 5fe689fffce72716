package main

import (
	"math"
	"testing"
)

func TestSummarise(t *testing.T) {
	tests := []struct {
		values []float64
		want   figure
	}{
		{nil, figure{}},
		{[]float64{3}, figure{Median: 3, Min: 3, Max: 3, N: 1}},
		{[]float64{4, 1}, figure{Median: 2.5, Min: 1, Max: 4, N: 2}},
		{[]float64{9, 1, 2}, figure{Median: 2, Min: 1, Max: 9, N: 3}},
		{[]float64{4, 3, 2, 1}, figure{Median: 2.5, Min: 1, Max: 4, N: 4}},
	}
	for _, test := range tests {
		if got := summarise(test.values); got != test.want {
			t.Errorf("%v: got %+v, want %+v", test.values, got, test.want)
		}
	}
}

// TestRatio compares within passes: the machine of this run gets ten times slower,
// and the ratio stays what it is.
func TestRatio(t *testing.T) {
	rows := func(server string, cpu ...float64) (rows []row) {
		for i, v := range cpu {
			rows = append(rows, row{"main", i, server, measurement{Work: "echo64", Clients: 10, CPU: v}})
		}
		return rows
	}
	at := func(server string) place { return place{"main", 10, server, "echo64"} }
	tab := newTable(&run{Rows: append(rows("a", 2, 20, 200), rows("b", 1, 10, 100)...)})
	if got, want := tab.ratio(at("a"), at("b"), cpu), (figure{Median: 2, Min: 2, Max: 2, N: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := tab.figure(at("a"), cpu), (figure{Median: 20, Min: 2, Max: 200, N: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// A pass without a partner, and one with nothing to divide by, do not count.
	tab = newTable(&run{Rows: append(rows("a", 2, 20, 200), rows("b", 1, 0)...)})
	if got, want := tab.ratio(at("a"), at("b"), cpu), (figure{Median: 2, Min: 2, Max: 2, N: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// Nor does what is unknown.
	if got := tab.figure(at("a"), p99); got.N != 0 || math.IsNaN(got.Median) {
		t.Errorf("got %+v for a percentile nobody measured, want nothing", got)
	}
	// An error is the answer, whichever other passes there are. One of the other side
	// leaves no answer.
	bad := append(rows("a", 2, 20), row{"main", 2, "a", measurement{Work: "echo64", Clients: 10, Error: "second"}})
	bad = append(bad, row{"main", 1, "a", measurement{Work: "echo64", Clients: 10, Error: "first"}})
	tab = newTable(&run{Rows: append(bad, rows("b", 1, 1)...)})
	for _, got := range []figure{tab.ratio(at("a"), at("b"), cpu), tab.ratio(at("a"), at("c"), cpu), tab.figure(at("a"), cpu)} {
		if want := (figure{Error: "error in 2 of 3: first"}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got := tab.ratio(at("b"), at("a"), cpu); got != (figure{}) {
		t.Errorf("got %+v beside an error, want nothing", got)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.004: "0.0040", 0.25: "0.25", 1: "1.00", 9.994: "9.99", 9.996: "10.0", 12.34: "12.3", 99.96: "100",
		1234: "1234", 12_345: "12.3k", 123_456: "123k", 12_345_678: "12.3M",
	} {
		if got := number(v); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}
