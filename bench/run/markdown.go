package main

import (
	"fmt"
	"math"
	"strings"
)

// markdown is a document under construction.
type markdown struct{ strings.Builder }

func (d *markdown) line(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *markdown) heading(level int, title string) {
	d.line("%s %s\n", strings.Repeat("#", level), title)
}

// paragraph adds text on one line: where it wraps is the reader's business.
func (d *markdown) paragraph(format string, args ...any) { d.line(format+"\n", args...) }

// table adds a table. All columns but the first are aligned to the right.
func (d *markdown) table(header []string, rows [][]string) {
	d.cells(header)
	d.line("|---%s|", strings.Repeat("|--:", len(header)-1))
	for _, r := range rows {
		d.cells(r)
	}
	d.line("")
}

func (d *markdown) cells(cells []string) {
	for _, c := range cells {
		d.WriteString("| " + escape(c) + " ")
	}
	d.WriteString("|\n")
}

var escaper = strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;")

// escape makes text fit into a cell of a table.
func escape(s string) string { return escaper.Replace(s) }

// number writes a figure with three digits that mean something.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 0.0095:
		return fmt.Sprintf("%.4f", v)
	case a < 9.995:
		return fmt.Sprintf("%.2f", v)
	case a < 99.95:
		return fmt.Sprintf("%.1f", v)
	case a < 9999.5:
		return fmt.Sprintf("%.0f", v)
	case a < 99_950:
		return fmt.Sprintf("%.1fk", v/1e3)
	case a < 9_995_000:
		return fmt.Sprintf("%.0fk", v/1e3)
	}
	return fmt.Sprintf("%.1fM", v/1e6)
}

// show writes the median with what follows it; an error in its place, and a dash when
// there is nothing.
func (f figure) show(format func(float64) string) string {
	switch {
	case f.Error != "":
		return brieferThan(60, f.Error)
	case f.N == 0:
		return "–"
	}
	return format(f.Median)
}

// spread writes the least and the greatest value.
func (f figure) spread(format func(float64) string) string {
	if f.Error != "" || f.N < 2 {
		return ""
	}
	return format(f.Min) + "–" + format(f.Max)
}

func brieferThan(max int, s string) string {
	if r := []rune(s); len(r) > max {
		return string(r[:max-1]) + "…"
	}
	return s
}

// microseconds writes a time given in µs.
func microseconds(v float64) string {
	if v >= 999.5 {
		return number(v/1e3) + " ms"
	}
	return number(v) + " µs"
}

func kibibytes(v float64) string { return number(v/1024) + " KiB" }
func mebibytes(v float64) string { return number(v/(1<<20)) + " MiB" }
func percent(v float64) string   { return fmt.Sprintf("%.0f %%", 100*v) }
func times(v float64) string     { return number(v) + "×" }
