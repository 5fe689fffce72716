package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
)

// quantity is a line of the report.
type quantity struct {
	name string
	of   func(r *row) float64
	more bool // is better
}

var quantities = []quantity{
	{"events a second across nodes", func(r *row) float64 { return r.rate }, true},
	{"CPU of the sending node, µs an event", func(r *row) float64 { return r.cpu[0] }, false},
	{"CPU of the node with a receiver, µs", func(r *row) float64 { return r.cpu[1] }, false},
	{"CPU of the node without receivers, µs", func(r *row) float64 { return r.cpu[2] }, false},
	{"CPU of Redis, µs", func(r *row) float64 { return r.cpu[3] }, false},
	{"latency on the same node, p50, µs", func(r *row) float64 { return r.local50 }, false},
	{"added by the cluster, p50, µs", func(r *row) float64 { return r.remote50 - r.local50 }, false},
	{"latency on the same node, p99, µs", func(r *row) float64 { return r.local99 }, false},
	{"added by the cluster, p99, µs", func(r *row) float64 { return r.remote99 - r.local99 }, false},
}

// report returns the table of each adapter, in markdown.
func report(o *options, rows []row, busy float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d processors, %d rounds of %v, payload %d bytes. Other programs used %.2f processors before.\n",
		runtime.Version(), runtime.NumCPU(), o.rounds, o.time, o.payload, busy)
	if busy > 0.1*float64(runtime.NumCPU()) {
		b.WriteString("\n**The machine was busy: these figures say little.**\n")
	}
	for _, a := range o.adapters {
		var of [2][]row
		for _, r := range rows {
			if r.adapter != a {
				continue
			}
			if r.kind == "go" {
				of[0] = append(of[0], r)
			} else {
				of[1] = append(of[1], r)
			}
		}
		fmt.Fprintf(&b, "\n| %s | epio | Node | better by |\n|---|---|---|---|\n", a)
		for _, q := range quantities {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", q.name, number(values(of[0], q)), number(values(of[1], q)), ratio(of[0], of[1], q))
		}
	}
	return b.String()
}

func values(rows []row, q quantity) []float64 {
	var vs []float64
	for i := range rows {
		vs = append(vs, q.of(&rows[i]))
	}
	return vs
}

// number prints a median with three digits.
func number(vs []float64) string {
	if len(vs) == 0 {
		return "–"
	}
	m := median(vs)
	switch a := math.Abs(m); {
	case a >= 100:
		return fmt.Sprintf("%.0f", m)
	case a >= 10:
		return fmt.Sprintf("%.1f", m)
	default:
		return fmt.Sprintf("%.2f", m)
	}
}

func median(vs []float64) float64 {
	s := slices.Sorted(slices.Values(vs))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// ratio prints how many times as good epio is, with the spread over the rounds.
func ratio(epio, node []row, q quantity) string {
	var vs []float64
	for i := range epio {
		for k := range node {
			if epio[i].round != node[k].round {
				continue
			}
			e, n := q.of(&epio[i]), q.of(&node[k])
			if e <= 0 || n <= 0 {
				return "–"
			}
			if q.more {
				e, n = n, e
			}
			vs = append(vs, n/e)
		}
	}
	if len(vs) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f × (%.1f–%.1f)", median(vs), slices.Min(vs), slices.Max(vs))
}
