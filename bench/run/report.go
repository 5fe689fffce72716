package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// subject is a work as the report shows it.
type subject struct {
	work   string
	title  string
	short  string
	what   of
	format func(float64) string
	// floor says that the multiple of the floor means something: it keeps next to
	// nothing for a connection.
	floor bool
}

// subjects are the columns of the main table.
var subjects = []subject{
	{"bcast1", "broadcast, 1 in flight", "per delivery", cpu, microseconds, true},
	{"bcast16", "broadcast, 16 in flight", "per delivery", cpu, microseconds, true},
	{"echo64", "event with ack, 64 in flight", "per call", cpu, microseconds, true},
	{"connect", "connect", "per client", cpu, microseconds, true},
	{"idle", "idle connection", "resident memory", perConn, kibibytes, false},
}

// budget is what epio may cost.
type budget struct {
	title  string
	limit  float64
	format func(float64) string
	figure func(t table, clients int) figure
}

var budgets = []budget{
	{"one delivery of a broadcast, 1 in flight", 1.15, timesFloor, againstFloor(mainSection, "bcast1", cpu)},
	{"one delivery of a broadcast, 16 in flight", 0.4, timesFloor, againstFloor(mainSection, "bcast16", cpu)},
	{"event with ack, 64 in flight", 1.5, timesFloor, againstFloor(mainSection, "echo64", cpu)},
	{"event with ack, 1 in flight", 1.5, timesFloor, againstFloor(moreSection, "echo1", cpu)},
	{"connect: handshake and namespace", 3, timesFloor, againstFloor(mainSection, "connect", cpu)},
	{"resident memory of an idle connection", 2048, kibibytes, func(t table, clients int) figure {
		return t.figure(place{mainSection, clients, epio, "idle"}, perConn)
	}},
	{"99th percentile of the latency of the others while 1 % of the clients do not read", 1.2, func(v float64) string { return number(v) + " × without them" }, func(t table, clients int) figure {
		return t.ratio(place{moreSection, clients, epio, "slow"}, place{moreSection, clients, epio, "paced"}, p99)
	}},
}

func timesFloor(v float64) string { return number(v) + " × floor" }

func againstFloor(section, work string, what of) func(table, int) figure {
	return func(t table, clients int) figure {
		return t.ratio(place{section, clients, epio, work}, place{section, clients, floor, work}, what)
	}
}

// report is a run and what the parts of its report need.
type report struct {
	*run
	t table
}

func newReport(r *run) *report { return &report{r, newTable(r)} }

// section returns the first section of a name, and an empty one when there is none.
func (r *report) section(name string) section {
	i := slices.IndexFunc(r.Sections, func(s section) bool { return s.Name == name })
	if i < 0 {
		return section{Name: name}
	}
	return r.Sections[i]
}

// present returns the servers of a section that could be started, in its order.
func (r *report) present(s section) []server {
	var present []server
	for _, name := range s.Servers {
		if found, ok := find(r.Servers, name); ok {
			present = append(present, found)
		}
	}
	return present
}

// markdown returns the whole report. The picture is the file it refers to.
func (r *report) markdown(picture string) string {
	var d markdown
	d.line("# epio's benchmarks\n")
	d.paragraph("![Server CPU time and memory per unit of work](%s)", picture)
	d.paragraph("%s", r.headline())
	r.mainTable(&d, r.present(r.section(mainSection)))
	r.budgetTable(&d)
	r.ratioTables(&d)
	r.scaleTables(&d)
	r.details(&d)
	r.method(&d)
	r.problems(&d)
	return d.String()
}

// readme returns the part of the report that goes into the README.
func (r *report) readme(picture, more string) string {
	var d markdown
	d.paragraph("![Server CPU time and memory per unit of work](%s)", picture)
	d.paragraph("%s", r.headline())
	r.mainTable(&d, r.pictured())
	e := r.Environment
	d.line("%s, %d cores, %s, %s%s; commit %s, %s. `make bench` measures it on your machine; %s explains it.",
		escape(e.CPU), e.Cores, e.Kernel, e.Go, nodeVersion(e), e.Commit, e.Date.Format(time.DateOnly), more)
	return d.String()
}

func nodeVersion(e environment) string {
	if e.Node == "" {
		return ""
	}
	return ", Node " + e.Node
}

// headline compares epio with Node and the floor in a sentence.
func (r *report) headline() string {
	s := r.section(mainSection)
	var parts []string
	for _, sub := range subjects {
		f := r.t.ratio(place{s.Name, s.Clients, node, sub.work}, place{s.Name, s.Clients, epio, sub.work}, sub.what)
		if f.Error == "" && f.N > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", sub.title, times(f.Median)))
		}
	}
	if len(parts) == 0 {
		return "Server CPU time and memory per unit of work. " + floorNote
	}
	return "What the Node server needs, as a multiple of epio: " + strings.Join(parts, "; ") +
		". " + floorNote
}

const floorNote = "The floor is a bare epoll loop on one thread that makes the same system calls without a protocol."

// pictured returns the servers of the picture and the README's table.
func (r *report) pictured() []server {
	return slices.DeleteFunc(r.present(r.section(mainSection)), func(s server) bool { return !slices.Contains(pictured, s.Name) })
}

func (r *report) mainTable(d *markdown, shown []server) {
	s := r.section(mainSection)
	header := []string{"server"}
	for _, sub := range subjects {
		header = append(header, sub.title+", "+sub.short)
	}
	var rows [][]string
	for _, srv := range shown {
		cells := []string{label(srv)}
		for _, sub := range subjects {
			at := place{s.Name, s.Clients, srv.Name, sub.work}
			cell := r.t.figure(at, sub.what).show(sub.format)
			if f := r.t.ratio(at, place{s.Name, s.Clients, floor, sub.work}, sub.what); sub.floor && srv.Name != floor && f.N > 0 {
				cell += " · " + times(f.Median)
			}
			cells = append(cells, cell)
		}
		rows = append(rows, cells)
	}
	d.table(header, rows)
	d.paragraph("Median of %s; behind the dot the multiple of the floor. %s WebSocket clients, payloads of %d bytes. Server process only, CPU time of user and system.%s",
		plural(s.Rounds, "round"), thousands(s.Clients), s.Payload, plainNote(shown))
}

func plainNote(servers []server) string {
	for _, s := range servers {
		if s.Protocol == "plain" {
			return " Servers marked with ¹ speak plain WebSocket: no Socket.IO, no heartbeat, no acknowledgements, no reconnection."
		}
	}
	return ""
}

func label(s server) string {
	text := s.Label
	if s.Version != "" {
		text += " " + s.Version
	}
	if s.Protocol == "plain" {
		text += " ¹"
	}
	if s.Name == epio {
		text = "**" + text + "**"
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (r *report) budgetTable(d *markdown) {
	d.heading(2, "Budget")
	d.paragraph("What epio allows itself, and what it took in this run.")
	var rows [][]string
	for _, b := range budgets {
		f := b.figure(r.t, r.section(mainSection).Clients)
		verdict := "met"
		switch {
		case f.Error != "":
			verdict = "**not measured**"
		case f.N == 0:
			verdict = "not measured"
		case f.Median > b.limit:
			verdict = "**not met**"
		}
		rows = append(rows, []string{b.title, "≤ " + b.format(b.limit), f.show(b.format), f.spread(withoutUnit(b.format)), verdict})
	}
	d.table([]string{"work", "budget", "measured", "spread", ""}, rows)
}

// withoutUnit leaves out the unit, for two figures beside each other.
func withoutUnit(format func(float64) string) func(float64) string {
	return func(v float64) string {
		text, _, _ := strings.Cut(format(v), " ")
		return text
	}
}

func (r *report) ratioTables(d *markdown) {
	s := r.section(mainSection)
	present := r.present(s)
	d.heading(2, "Ratios and their spread")
	for _, base := range []string{floor, node} {
		against, ok := find(present, base)
		if !ok || len(present) < 2 {
			continue
		}
		d.paragraph("Multiples of %s. Each ratio is of two measurements of one pass; median, and least and greatest of the passes.", strings.Trim(label(against), "* ¹"))
		header := []string{"server"}
		compared := slices.DeleteFunc(slices.Clone(subjects), func(sub subject) bool { return base == floor && !sub.floor })
		for _, sub := range compared {
			header = append(header, sub.title)
		}
		var rows [][]string
		for _, srv := range present {
			if srv.Name == base {
				continue
			}
			cells := []string{label(srv)}
			for _, sub := range compared {
				f := r.t.ratio(place{s.Name, s.Clients, srv.Name, sub.work}, place{s.Name, s.Clients, base, sub.work}, sub.what)
				cell := f.show(times)
				if spread := f.spread(number); spread != "" {
					cell += " (" + spread + ")"
				}
				cells = append(cells, cell)
			}
			rows = append(rows, cells)
		}
		d.table(header, rows)
	}
}

func (r *report) scaleTables(d *markdown) {
	sizes := r.scales()
	if len(sizes) == 0 {
		return
	}
	d.heading(2, "More connections")
	d.paragraph("The same works with more clients in one process, and in brackets the multiple of the floor with as many clients. Growth is from the fewest to the most clients.")
	for _, sub := range subjects {
		if !sizes[0].has(sub.work) {
			continue
		}
		header := []string{sub.title + ", " + sub.short}
		for _, s := range sizes {
			header = append(header, thousands(s.Clients)+" clients")
		}
		header = append(header, "growth")
		var rows [][]string
		for _, srv := range r.present(sizes[0]) {
			cells := []string{label(srv)}
			var figures []figure
			for _, s := range sizes {
				at := place{s.Name, s.Clients, srv.Name, sub.work}
				f := r.t.figure(at, sub.what)
				figures = append(figures, f)
				cell := f.show(sub.format)
				if x := r.t.ratio(at, place{s.Name, s.Clients, floor, sub.work}, sub.what); sub.floor && srv.Name != floor && x.N > 0 {
					cell += " (" + times(x.Median) + ")"
				}
				cells = append(cells, cell)
			}
			cells = append(cells, growth(figures))
			rows = append(rows, cells)
		}
		d.table(header, rows)
	}
}

func growth(figures []figure) string {
	first, last := figures[0], figures[len(figures)-1]
	if len(figures) < 2 || first.N == 0 || last.N == 0 || first.Median <= 0 {
		return "–"
	}
	return times(last.Median / first.Median)
}

// scales returns the sections with growing numbers of clients.
func (r *report) scales() []section {
	var sizes []section
	for _, s := range r.Sections {
		if s.Name == scaleSection {
			sizes = append(sizes, s)
		}
	}
	return sizes
}

// works explains the names of works, by the start of the name.
var works = []struct{ prefix, text string }{
	{"connect", "clients connect, 64 at once, and join a room"},
	{"idle", "nothing happens; resident memory per connection"},
	{"room10-bcast", "one member of a room of 10 broadcasts to it"},
	{"room100-bcast", "one member of a room of 100 broadcasts to it"},
	{"room10000-bcast", "one member of a room of 10,000 broadcasts to it"},
	{"rooms", "10,000 rooms of 10 members, broadcasts to random ones"},
	{"bcast", "one client broadcasts to all"},
	{"bin", "one client broadcasts binary payloads to all"},
	{"echo", "clients send an event and wait for its acknowledgement"},
	{"churn", "clients join and leave rooms while others broadcast"},
	{"paced", "broadcasts at a fixed rate"},
	{"slow", "the same while 1 % of the clients do not read; latency of the others"},
	{"poll", "events with an acknowledgement over HTTP long-polling"},
	{"upgrade", "handshake over polling, then upgrade to WebSocket"},
}

func explain(work string) string {
	for _, w := range works {
		if digits, ok := strings.CutPrefix(work, w.prefix); ok && strings.Trim(digits, "0123456789") == "" {
			if digits == "" {
				return w.text
			}
			return w.text + ", " + digits + " in flight"
		}
	}
	return work
}

// details lists everything that was measured, except for the sizes of the scale
// section: those have their tables.
func (r *report) details(d *markdown) {
	d.heading(2, "Everything that was measured")
	for _, s := range r.Sections {
		if s.Name == scaleSection {
			continue
		}
		var names []string
		for _, group := range s.Groups {
			for _, asked := range group {
				for _, work := range rowsOf(asked) {
					// Others only need connections.
					if !slices.Contains(names, work) && (work != "connect" || s.Name == mainSection) {
						names = append(names, work)
					}
				}
			}
		}
		for _, work := range names {
			load := thousands(s.Clients) + " clients"
			if s.Payload != 64 {
				load += ", payloads of " + thousands(s.Payload) + " bytes"
			}
			d.heading(3, fmt.Sprintf("%s: %s; %s", work, explain(work), load))
			r.detail(d, s, work)
		}
	}
}

func (r *report) detail(d *markdown, s section, work string) {
	columns := []struct {
		title  string
		what   of
		format func(float64) string
	}{
		{"CPU", cpu, microseconds},
		{"per second", rate, number},
		{"p50", p50, microseconds},
		{"p99", p99, microseconds},
		{"p99.9", p999, microseconds},
		{"memory", resident, mebibytes},
		{"allocations", allocs, number},
		{"generator", busy, percent},
	}
	if work == "idle" {
		columns = columns[:1]
		columns[0].title, columns[0].what, columns[0].format = "per connection", perConn, kibibytes
	}
	header := []string{"server"}
	for _, c := range columns {
		header = append(header, c.title)
	}
	header = append(header, "× floor", "× Node")
	var rows [][]string
	for _, srv := range r.present(s) {
		at := place{s.Name, s.Clients, srv.Name, work}
		if text := r.t.failure(at); text != "" {
			rows = append(rows, append([]string{label(srv), brieferThan(90, text)}, make([]string, len(header)-2)...))
			continue
		}
		cells := []string{label(srv)}
		for _, c := range columns {
			cells = append(cells, r.t.figure(at, c.what).show(c.format))
		}
		for _, base := range []string{floor, node} {
			f := figure{}
			if srv.Name != base {
				f = r.t.ratio(at, place{s.Name, s.Clients, base, work}, columns[0].what)
			}
			cells = append(cells, f.show(number))
		}
		rows = append(rows, cells)
	}
	d.table(header, rows)
}

func (r *report) method(d *markdown) {
	d.heading(2, "How it was measured")
	for _, l := range r.Environment.lines() {
		d.line("- %s: %s", l[0], escape(l[1]))
	}
	for _, s := range r.Servers {
		if s.Version != "" {
			d.line("- %s: %s", s.Label, s.Version)
		}
	}
	d.line("")
	d.paragraph("Every server is a process of its own, started fresh for each group of works and ended before the next one starts. Before it counts, each server has done the same works for a while, except where memory at rest is measured. " +
		"The load generator is one thread around epoll on the same machine; it checks that every receiver gets every message once and in order, and reports an error instead of a figure otherwise. The column \"generator\" says how busy it was: near 100 %% throughput and latency are its own, the CPU time of the server is not. " +
		"A group of works is measured on all servers back to back, every second round in reverse order; a ratio compares two measurements of the same walk, so that a machine that is slower for a while distorts it little.")
	for _, s := range r.Sections {
		var groups []string
		for _, g := range s.Groups {
			groups = append(groups, strings.Join(g, " "))
		}
		d.line("- %s: %s clients, payloads of %d bytes, %v per work after %v to warm up, %s; works: %s", s.Name, thousands(s.Clients), s.Payload, s.Time, s.Warm, plural(s.Rounds, "round"), strings.Join(groups, " / "))
	}
	d.line("")
	if r.Environment.busy() {
		d.paragraph("The machine was busy with something else before the start. Measure again when it is not.")
	}
	if r.Environment.Quick {
		d.paragraph("This was the quick run: short works, few rounds. Do not quote it.")
	}
}

// problems lists the errors in full and what was left out.
func (r *report) problems(d *markdown) {
	if len(r.Notes) == 0 && !slices.ContainsFunc(r.Rows, func(r row) bool { return r.Error != "" }) {
		return
	}
	d.heading(2, "Errors and what was left out")
	for _, note := range r.Notes {
		d.line("- %s", escape(note))
	}
	// Works that failed in the same way share a line.
	type failure struct {
		section string
		clients int
		server  string
		text    string
	}
	var order []failure
	failed := make(map[failure][]string)
	for _, row := range r.Rows {
		if row.Error == "" {
			continue
		}
		f := failure{row.Section, row.Clients, row.Server, row.Error}
		if failed[f] == nil {
			order = append(order, f)
		}
		if !slices.Contains(failed[f], row.Work) {
			failed[f] = append(failed[f], row.Work)
		}
	}
	for _, f := range order {
		d.line("- %s, %s clients, %s, %s: %s", f.section, thousands(f.clients), f.server, strings.Join(failed[f], " "), escape(f.text))
	}
}
