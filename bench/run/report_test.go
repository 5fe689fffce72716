package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the expected reports again")

// fixed is a small run with everything a report has to deal with: several passes, a
// server without a measurement, an error in one of the passes, text that Markdown and
// XML would take for markup.
func fixed() *run {
	names := []string{floor, epio, node, "rival", "gorilla", "gws"}
	r := &run{
		Environment: environment{
			Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Commit: "0123456789ab", System: "Debian GNU/Linux 12", Kernel: "Linux 6.1",
			CPU: "Example <CPU> & Co | 3 GHz", Cores: 2, Memory: 8 << 30, Others: 0.05, Files: 20000, Go: "go1.26.0", Node: "v20.0.0",
		},
		Servers: []server{
			{Name: floor, Label: "floor (bare epoll)", Protocol: "socketio"},
			{Name: epio, Label: "epio", Protocol: "socketio", Debug: true},
			{Name: node, Label: "Socket.IO on Node", Protocol: "socketio", Version: "4.8.4"},
			{Name: "rival", Label: "zishang520/socket.io", Protocol: "socketio", Version: "v3.0.2"},
			{Name: "gorilla", Label: "gorilla/websocket", Protocol: "plain", Version: "v1.5.3"},
			{Name: "gws", Label: "lxzan/gws", Protocol: "plain", Version: "v1.9.1"},
		},
		Sections: []section{
			{Name: mainSection, Servers: names, Clients: 1000, Payload: 64, Rounds: 3, Time: time.Second, Warm: time.Second / 2, Groups: [][]string{{"connect", "idle"}, {"bcast1", "bcast16"}, {"echo64"}}},
			{Name: moreSection, Servers: names[:3], Clients: 1000, Payload: 64, Rounds: 1, Time: time.Second, Groups: [][]string{{"connect", "slow"}}},
			{Name: scaleSection, Servers: names[:3], Clients: 1000, Payload: 64, Rounds: 1, Time: time.Second, Groups: [][]string{{"bcast1"}}},
			{Name: scaleSection, Servers: names[:3], Clients: 15000, Payload: 64, Rounds: 1, Time: time.Second, Groups: [][]string{{"bcast1"}}},
		},
		Notes: []string{"node-ws is left out: the npm package ws is not installed"},
	}
	cost := map[string]map[string]float64{ // µs, bytes for idle, by server
		"connect": {floor: 22, epio: 60, node: 390, "rival": 170, "gorilla": 130, "gws": 90},
		"idle":    {floor: 200, epio: 1900, node: 26000, "rival": 57000, "gorilla": 14000, "gws": 9000},
		"bcast1":  {floor: 4, epio: 4.4, node: 6, "rival": 18, "gorilla": 7, "gws": 6.5},
		"bcast16": {floor: 4.5, epio: 2.5, node: 6.2, "rival": 11.7, "gorilla": 6.8, "gws": 6},
		"echo64":  {floor: 5.5, epio: 7, node: 13, "rival": 20, "gorilla": 8, "gws": 7.5},
		"paced":   {floor: 5, epio: 6, node: 8},
		"slow":    {floor: 5, epio: 6, node: 8},
	}
	pass := 0
	for _, s := range r.Sections {
		for round := range s.Rounds {
			for _, works := range s.Groups {
				pass++
				for _, name := range s.Servers {
					for _, asked := range works {
						for _, work := range rowsOf(asked) {
							// Passes differ by a tenth, and more clients cost more.
							v := cost[work][name] * (1 + 0.1*float64(round)) * (1 + float64(s.Clients)/50000)
							m := measurement{Work: work, Clients: s.Clients, Payload: s.Payload, Units: 1000, CPU: v, Rate: 1e6 / v, P50: 10 * v, P99: 30 * v, P999: 40 * v, Max: 100 * v, Resident: 20 << 20, Busy: 0.5}
							switch {
							case work == "idle":
								m = measurement{Work: work, Clients: s.Clients, PerConn: v, Resident: 20 << 20}
							case work == "slow" && name == epio:
								m.P99 *= 1.5
							case name == "rival" && work == "bcast16" && round == 1:
								m = measurement{Work: work, Clients: s.Clients, Error: "broadcast 17 arrived where 16 was due: lost, doubled or reordered"}
							}
							if name == epio && m.Error == "" {
								m.Allocs = new(0.25)
							}
							if name == "gws" && work == "idle" {
								continue
							}
							r.Rows = append(r.Rows, row{s.Name, pass, name, m})
						}
					}
				}
			}
		}
	}
	return r
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := writeFile(file, []byte(got)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if i >= len(gotLines) || i >= len(wantLines) || gotLines[i] != wantLines[i] {
			t.Fatalf("%s differs from line %d (go test -update writes it again):\ngot  %q\nwant %q", file, i+1, gotLines[min(i, len(gotLines)-1)], wantLines[min(i, len(wantLines)-1)])
		}
	}
}

func TestReport(t *testing.T) {
	r := newReport(fixed())
	golden(t, "report.md", r.markdown("report.svg"))
	golden(t, "readme.md", r.readme("docs/bench.svg", "[Performance](docs/performance.md)"))
	golden(t, "report.svg", string(r.picture()))
}

// TestReportFromFile reads rows as the runner leaves them.
func TestReportFromFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deep", "run.json")
	if err := fixed().write(file); err != nil {
		t.Fatal(err)
	}
	r, err := readRun(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := newReport(r).markdown("report.svg"); got != newReport(fixed()).markdown("report.svg") {
		t.Error("the report from the file is another one")
	}
	if err := os.WriteFile(file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readRun(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v for a file that is cut off, want an error that names it", err)
	}
}

// TestEmpty makes reports of runs in which little or nothing could be measured.
func TestEmpty(t *testing.T) {
	only := fixed()
	only.Servers = only.Servers[1:2]
	lost := fixed()
	for i := range lost.Rows {
		lost.Rows[i].measurement = measurement{Work: lost.Rows[i].Work, Clients: lost.Rows[i].Clients, Error: "<lost> & gone"}
	}
	bare := fixed()
	bare.Rows = nil
	for name, r := range map[string]*run{"no run": {}, "one server": only, "errors": lost, "no rows": bare} {
		t.Run(name, func(t *testing.T) {
			rep := newReport(r)
			for _, text := range []string{rep.markdown("report.svg"), rep.readme("docs/bench.svg", "more"), string(rep.picture())} {
				for _, bad := range []string{"NaN", "Inf", "%!"} {
					if i := strings.Index(text, bad); i >= 0 {
						t.Errorf("the text has %q", text[max(0, i-80):i+len(bad)])
					}
				}
			}
			wellFormed(t, rep.picture())
		})
	}
}

func TestPictureIsXML(t *testing.T) { wellFormed(t, newReport(fixed()).picture()) }

// wellFormed parses a picture and checks that it refers to nothing outside it.
func wellFormed(t *testing.T, b []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(b))
	root := ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if root == "" {
			root = start.Name.Local
		}
		for _, a := range start.Attr {
			if a.Name.Local == "href" || a.Name.Local != "xmlns" && strings.Contains(a.Value, "//") {
				t.Errorf("%s refers to %s", start.Name.Local, a.Value)
			}
		}
	}
	if root != "svg" {
		t.Errorf("the root is %q", root)
	}
	if bytes.Contains(b, []byte("@import")) || bytes.Contains(b, []byte("url(")) {
		t.Error("the style refers to something outside")
	}
}

func TestReplaceMarked(t *testing.T) {
	file := "# x\n\n" + beginMark + "\nold\n" + endMark + "\n\nmore\n"
	got, err := replaceMarked(file, "\nnew\n")
	want := "# x\n\n" + beginMark + "\n\nnew\n\n" + endMark + "\n\nmore\n"
	if err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if again, err := replaceMarked(got, "new"); err != nil || again != want {
		t.Errorf("a second time: got %q, %v, want no change", again, err)
	}
	for _, bad := range []string{"", beginMark, endMark, endMark + beginMark, file + beginMark, file + endMark, file + file} {
		if got, err := replaceMarked(bad, "new"); err == nil {
			t.Errorf("%q became %q, want an error", bad, got)
		}
	}
}

// TestReportAgain runs the command on a file of rows and replaces a README.
func TestReportAgain(t *testing.T) {
	dir := t.TempDir()
	rows, readme := filepath.Join(dir, "run.json"), filepath.Join(dir, "README.md")
	if err := fixed().write(rows); err != nil {
		t.Fatal(err)
	}
	o := options{report: rows, out: filepath.Join(dir, "out"), readme: readme}
	if err := os.WriteFile(readme, []byte("# no marks\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := do(t.Context(), o); !errors.Is(err, errMarks) {
		t.Errorf("got %v for a README without marks, want %v", err, errMarks)
	}
	if err := os.WriteFile(readme, []byte("# x\n"+beginMark+endMark+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := do(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	loud := fixed()
	loud.Environment.Others = 1.5
	if text := newReport(loud).markdown("report.svg"); !strings.Contains(text, "was busy") {
		t.Error("the report does not say that the machine was busy")
	}
	quick := fixed()
	quick.Environment.Quick = true
	if err := quick.write(rows); err != nil {
		t.Fatal(err)
	}
	if err := do(t.Context(), o); !errors.Is(err, errQuick) {
		t.Errorf("got %v for a quick run, want %v", err, errQuick)
	}
	for file, part := range map[string]string{
		"out/report.md": "## Budget", "out/report.svg": "<svg", "docs/bench.svg": "<svg", "README.md": "(docs/bench.svg)",
	} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !bytes.Contains(b, []byte(part)) {
			t.Errorf("%s: got %v and %.60q, want it to have %q", file, err, b, part)
		}
	}
}
