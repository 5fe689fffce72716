package main

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Sizes of the picture, in its own units: pixels when it is not scaled.
const (
	panelWidth = 470
	panelGap   = 20
	margin     = 24
	headHeight = 74
	barHeight  = 16
	barStep    = 23
	barsTop    = 44 // below a panel's top edge
	labelWidth = 158
	valueWidth = 112
	chartWidth = 2*panelWidth + panelGap + 2*margin
)

// style makes the picture readable on light and on dark pages: it has its own ground.
const style = `
.ground { fill: #ffffff; stroke: #d0d7de; }
text { font: 12px -apple-system, BlinkMacSystemFont, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #1f2328; }
.title { font-size: 18px; font-weight: 600; }
.head { font-size: 13px; font-weight: 600; }
.faint { font-size: 11px; fill: #59636e; }
.strong { font-weight: 600; }
.grid { stroke: #d8dee4; }
.bar, .dot { fill: #8c959f; } .line { stroke: #8c959f; fill: none; stroke-width: 2; }
.bar.floor, .dot.floor { fill: #afb8c1; } .line.floor { stroke: #afb8c1; stroke-dasharray: 4 3; }
.bar.epio, .dot.epio { fill: #0969da; } .line.epio { stroke: #0969da; stroke-width: 2.5; }
.bar.node, .dot.node { fill: #4c9a52; } .line.node { stroke: #4c9a52; }
.bar.rival { fill: #c08228; }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; stroke: #30363d; }
text { fill: #f0f6fc; }
.faint { fill: #9198a1; }
.grid { stroke: #262c36; }
.bar, .dot { fill: #6e7681; } .line { stroke: #6e7681; }
.bar.floor, .dot.floor { fill: #4a525c; } .line.floor { stroke: #656c76; }
.bar.epio, .dot.epio { fill: #4493f8; } .line.epio { stroke: #4493f8; }
.bar.node, .dot.node { fill: #3fa04d; } .line.node { stroke: #3fa04d; }
.bar.rival { fill: #bb8009; }
}
`

// svg is a picture under construction.
type svg struct{ bytes.Buffer }

func (s *svg) text(x, y float64, class, anchor, text string) {
	fmt.Fprintf(s, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">`, x, y, class, anchor)
	xml.EscapeText(s, []byte(text))
	s.WriteString("</text>\n")
}

// pictured are the servers with a bar: the variants of epio are for the report.
var pictured = []string{floor, epio, node, "rival", "node-ws", "gorilla", "coder", "gws"}

// picture draws the main table as bars, and the growth with the number of clients as
// lines: an SVG document without references to anything outside it.
func (r *report) picture() []byte {
	s := r.section(mainSection)
	shown := r.pictured()
	height := float64(barsTop + barStep*max(len(shown), 4) + 14)
	rows := (len(subjects) + 2) / 2 // one panel more, for the lines
	total := headHeight + float64(rows)*(height+panelGap) + 34

	var out svg
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" width="%d" height="%.0f" role="img" aria-label="%s">`,
		chartWidth, total, chartWidth, total, "What servers cost per unit of work: CPU time and memory, with less being better")
	fmt.Fprintf(&out, "\n<style>%s</style>\n", style)
	fmt.Fprintf(&out, `<rect class="ground" x="0.5" y="0.5" width="%d" height="%.0f" rx="8"/>`+"\n", chartWidth-1, total-1)
	out.text(margin, 34, "title", "start", "What the server pays for each unit of work")
	out.text(margin, 54, "faint", "start", fmt.Sprintf("CPU time of the server process and memory per connection, %s clients, %d-byte payloads. Shorter is better; × is the multiple of the floor.", thousands(s.Clients), s.Payload))
	for i, sub := range subjects {
		x, y := panelAt(i, height)
		r.bars(&out, x, y, s, sub, shown)
	}
	x, y := panelAt(len(subjects), height)
	r.lines(&out, x, y, height)
	e := r.Environment
	foot := fmt.Sprintf("%s, %d cores · %s · %s%s · %s", e.CPU, e.Cores, e.Kernel, e.Go, nodeVersion(e), e.Date.Format(time.DateOnly))
	if plainNote(shown) != "" {
		foot += " · ¹ plain WebSocket, no Socket.IO"
	}
	out.text(margin, total-18, "faint", "start", foot)
	out.WriteString("</svg>\n")
	return out.Bytes()
}

func panelAt(i int, height float64) (x, y float64) {
	return float64(margin + i%2*(panelWidth+panelGap)), headHeight + float64(i/2)*(height+panelGap)
}

// bars draws one panel.
func (r *report) bars(out *svg, x, y float64, s section, sub subject, shown []server) {
	out.text(x, y+18, "head", "start", sub.title)
	out.text(x+panelWidth, y+18, "faint", "end", sub.short)
	fmt.Fprintf(out, `<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", x, y+28, x+panelWidth, y+28)
	most := 0.0
	figures := make([]figure, len(shown))
	for i, srv := range shown {
		figures[i] = r.t.figure(place{s.Name, s.Clients, srv.Name, sub.work}, sub.what)
		most = max(most, figures[i].Median)
	}
	const room = panelWidth - labelWidth - valueWidth
	const letters = (room + valueWidth) / 7 // that fit into it, more or less
	for i, srv := range shown {
		f := figures[i]
		top := y + barsTop + float64(i*barStep)
		base := top + barHeight - 4
		text, class := strings.ReplaceAll(srv.Label, " (bare epoll)", ""), "small"
		if srv.Protocol == "plain" {
			text += " ¹"
		}
		if srv.Name == epio {
			class = "strong"
		}
		out.text(x+labelWidth-10, base, class, "end", text)
		value := f.show(sub.format)
		width := 0.0
		if f.N > 0 && most > 0 {
			width = max(1.5, room*max(f.Median, 0)/most)
			fmt.Fprintf(out, `<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="2"/>`+"\n", srv.Name, x+labelWidth, top, width, barHeight)
			ratio := r.t.ratio(place{s.Name, s.Clients, srv.Name, sub.work}, place{s.Name, s.Clients, floor, sub.work}, sub.what)
			if sub.floor && srv.Name != floor && ratio.N > 0 {
				value += " · " + times(ratio.Median)
			}
		} else {
			value = brieferThan(letters, value)
		}
		out.text(x+labelWidth+width+6, base, class, "start", value)
	}
}

// lines draws the cost of one delivery over the number of clients.
func (r *report) lines(out *svg, x, y, height float64) {
	sizes := r.scales()
	if len(sizes) == 0 {
		return
	}
	const work = "bcast1"
	out.text(x, y+18, "head", "start", "broadcast, 1 in flight, with more clients")
	out.text(x+panelWidth, y+18, "faint", "end", "µs per delivery")
	left, right, top, bottom := x+36, x+panelWidth-152, y+44, y+height-26
	type series struct {
		srv    server
		values []figure
	}
	var all []series
	most := 0.0
	for _, srv := range r.present(sizes[0]) {
		line := series{srv: srv}
		for _, s := range sizes {
			f := r.t.figure(place{s.Name, s.Clients, srv.Name, work}, cpu)
			line.values = append(line.values, f)
			most = max(most, f.Median)
		}
		all = append(all, line)
	}
	// From top to bottom, so that labels that make room stay in order.
	slices.SortStableFunc(all, func(a, b series) int {
		return cmp.Compare(b.values[len(sizes)-1].Median, a.values[len(sizes)-1].Median)
	})
	step := niceStep(most / 4)
	ceiling := max(step, step*math.Ceil(most/step))
	at := func(clients int, v float64) (px, py float64) {
		return left + (right-left)*float64(clients)/float64(sizes[len(sizes)-1].Clients), bottom - (bottom-top)*v/ceiling
	}
	for v := 0.0; v < ceiling+step/2; v += step {
		_, py := at(0, v)
		fmt.Fprintf(out, `<line class="grid" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", left, py, right, py)
		out.text(left-8, py+4, "faint", "end", fmt.Sprintf("%g", v))
	}
	for _, s := range sizes {
		px, _ := at(s.Clients, 0)
		out.text(px, bottom+17, "faint", "middle", thousands(s.Clients))
	}
	lowest := 0.0
	for _, line := range all {
		var points []string
		var lastX, lastY float64
		for i, f := range line.values {
			if f.N == 0 {
				continue
			}
			lastX, lastY = at(sizes[i].Clients, f.Median)
			points = append(points, fmt.Sprintf("%.1f,%.1f", lastX, lastY))
			fmt.Fprintf(out, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="3.5"/>`+"\n", line.srv.Name, lastX, lastY)
		}
		if len(points) == 0 {
			continue
		}
		fmt.Fprintf(out, `<polyline class="line %s" points="%s"/>`+"\n", line.srv.Name, strings.Join(points, " "))
		labelY := max(lastY+4, lowest)
		lowest = labelY + 15
		last := line.values[len(line.values)-1]
		out.text(lastX+10, labelY, "small", "start", strings.ReplaceAll(line.srv.Label, " (bare epoll)", "")+" "+last.show(number))
	}
}

// niceStep rounds a distance between grid lines to 1, 2 or 5 times a power of ten.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*power {
			return m * power
		}
	}
	return 10 * power
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
