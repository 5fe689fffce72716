package main

import (
	"fmt"
	"math"
	"slices"
)

// figure sums up one quantity that was measured several times.
type figure struct {
	Median, Min, Max float64
	N                int    // how often; 0 means not at all
	Error            string // what went wrong in any of the measurements: the others do not count then
}

// summarise returns the figure of the values.
func summarise(values []float64) figure {
	if len(values) == 0 {
		return figure{}
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return figure{Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1], N: n}
}

// of is a quantity in a measurement, not a number where it was not measured.
type of func(measurement) float64

func cpu(m measurement) float64      { return m.CPU }
func perConn(m measurement) float64  { return m.PerConn }
func p50(m measurement) float64      { return orUnknown(m.P50) }
func p99(m measurement) float64      { return orUnknown(m.P99) }
func p999(m measurement) float64     { return orUnknown(m.P999) }
func rate(m measurement) float64     { return orUnknown(m.Rate) }
func busy(m measurement) float64     { return orUnknown(m.Busy) }
func resident(m measurement) float64 { return orUnknown(float64(m.Resident)) }

func allocs(m measurement) float64 {
	if m.Allocs == nil {
		return math.NaN()
	}
	return *m.Allocs
}

// orUnknown is for what cannot be zero.
func orUnknown(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}

// place names the measurements that are repetitions of each other.
type place struct {
	section string
	clients int
	server  string
	work    string
}

// table finds measurements by place and pass.
type table map[place]map[int]measurement

func newTable(r *run) table {
	t := make(table)
	for _, row := range r.Rows {
		at := place{row.Section, row.Clients, row.Server, row.Work}
		if t[at] == nil {
			t[at] = make(map[int]measurement)
		}
		t[at][row.Pass] = row.measurement
	}
	return t
}

// failure says what went wrong at a place: in how many passes, unless in all, and the
// error of the first of them. It is empty when all went well.
func (t table) failure(at place) string {
	passes := t[at]
	first, failed, text := 0, 0, ""
	for pass, m := range passes {
		if m.Error == "" {
			continue
		}
		failed++
		if text == "" || pass < first {
			first, text = pass, m.Error
		}
	}
	switch {
	case failed == 0:
		return ""
	case failed == len(passes):
		return "error: " + text
	}
	return fmt.Sprintf("error in %d of %d: %s", failed, len(passes), text)
}

// figure sums up a quantity over the passes.
func (t table) figure(at place, what of) figure {
	if text := t.failure(at); text != "" {
		return figure{Error: text}
	}
	var values []float64
	for _, m := range t[at] {
		if v := what(m); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return summarise(values)
}

// ratio sums up a quantity as a multiple of the same at another place. Both values of
// a ratio are of the same pass; a pass that has only one of them, or where the second
// is zero, does not count. With an error at the other place there is no ratio, which is
// not an error of this one.
func (t table) ratio(at, base place, what of) figure {
	if text := t.failure(at); text != "" {
		return figure{Error: text}
	}
	if t.failure(base) != "" {
		return figure{}
	}
	var values []float64
	for pass, m := range t[at] {
		b, ok := t[base][pass]
		if v := what(m) / what(b); ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
			values = append(values, v)
		}
	}
	return summarise(values)
}
