package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// stream is what govulncheck writes about a module, with findings given as lines of trace.
func stream(findings ...string) string {
	return `{"config":{"protocol_version":"v1.0.0"}}
{"SBOM":{"go_version":"go1.26.8","modules":[{"path":"example.com/ours"},{"path":"stdlib","version":"v1.26.8"}]}}
{"osv":{"id":"GO-1","summary":"it bites"}}
{"osv":{"id":"GO-2","summary":"it stings"}}
` + strings.Join(findings, "\n")
}

func found(osv, module, fixed, frame string) string {
	return fmt.Sprintf(`{"finding":{"osv":%q,"fixed_version":%q,"trace":[{"module":%q,"version":"v1.2.3"%s}`, osv, fixed, module, frame) +
		`,{"module":"example.com/ours","package":"example.com/ours/pkg","function":"Serve","receiver":"*Server"}]}}`
}

const (
	inModule   = ``
	inPackage  = `,"package":"example.com/theirs/p"`
	inFunction = inPackage + `,"function":"Parse"`
)

func TestVerdict(t *testing.T) {
	tests := map[string]struct {
		scans  []string
		dirs   []string
		failed bool
		wants  []string
		never  string
	}{
		"nothing": {scans: []string{stream()}, never: "GO-"},
		"called": {
			scans:  []string{stream(found("GO-1", "example.com/theirs", "v1.2.4", inFunction))},
			failed: true,
			wants: []string{
				"FAILURE: GO-1 in example.com/theirs v1.2.3, mended in v1.2.4", "it bites",
				"called from example.com/ours/pkg.Server.Serve (dir0)",
			},
		},
		"called, and no remedy": {
			scans:  []string{stream(found("GO-1", "example.com/theirs", "", inFunction))},
			failed: true,
			wants:  []string{"not mended in any version"},
		},
		"imported": {
			scans: []string{stream(found("GO-1", "example.com/theirs", "v1.2.4", inPackage))},
			wants: []string{"note: GO-1", "the function not called"},
			never: "FAILURE",
		},
		"required": {
			scans: []string{stream(found("GO-1", "example.com/theirs", "v1.2.4", inModule))},
			wants: []string{"note: GO-1", "the package not imported"},
			never: "FAILURE",
		},
		"the nearest counts, whatever the order": {
			scans: []string{
				stream(found("GO-1", "example.com/theirs", "v1.2.4", inModule)),
				stream(found("GO-1", "example.com/theirs", "v1.2.4", inFunction), found("GO-1", "example.com/theirs", "v1.2.4", inPackage)),
			},
			failed: true,
			wants:  []string{"(dir1)"},
			never:  "note",
		},
		"a module that nobody imports": {
			scans: []string{stream(found("GO-1", "example.com/theirs", "v1.2.4", inPackage))},
			dirs:  []string{"bench/refs"},
			wants: []string{"note: GO-1", "what is called was not looked at (bench/refs)"},
			never: "FAILURE",
		},
		"standard library": {
			scans: []string{stream(found("GO-1", "stdlib", "v1.26.10", inFunction), found("GO-2", "stdlib", "v1.26.9", inPackage))},
			wants: []string{"WARNING: packages of go1.26.8 that are imported have known vulnerabilities, go1.26.10 mends them: GO-1, GO-2"},
			never: "FAILURE",
		},
		"standard library, not imported": {
			scans: []string{stream(found("GO-1", "stdlib", "v1.26.10", inModule))},
			never: "GO-1",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newReport()
			for i, s := range tt.scans {
				dir := fmt.Sprint("dir", i)
				if tt.dirs != nil {
					dir = tt.dirs[i]
				}
				if err := r.read(strings.NewReader(s), dir); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			if failed := r.write(&out, "go1.26.8"); failed != tt.failed {
				t.Errorf("failed is %v:\n%s", failed, &out)
			}
			for _, want := range tt.wants {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in\n%s", want, &out)
				}
			}
			if tt.never != "" && strings.Contains(out.String(), tt.never) {
				t.Errorf("%q is there in\n%s", tt.never, &out)
			}
		})
	}
}

// What is called is looked at where it decides, and nowhere else.
func TestUndecided(t *testing.T) {
	tests := map[string]struct {
		dir, finding string
		want         bool
	}{
		"imported":                 {".", found("GO-1", "example.com/theirs", "", inPackage), true},
		"imported in the examples": {"examples/chat", found("GO-1", "example.com/theirs", "", inPackage), false},
		"required":                 {".", found("GO-1", "example.com/theirs", "", inModule), false},
		"standard library":         {".", found("GO-1", "stdlib", "", inPackage), false},
		"nothing":                  {".", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newReport()
			if err := r.read(strings.NewReader(stream(tt.finding)), tt.dir); err != nil {
				t.Fatal(err)
			}
			if got := r.undecided(tt.dir); got != tt.want {
				t.Errorf("undecided is %v", got)
			}
			if r.undecided("elsewhere") {
				t.Error("another module is undecided")
			}
		})
	}
}

// A scan that has looked at nothing does not pass for one that has found nothing.
func TestEmptyScan(t *testing.T) {
	if err := newReport().read(strings.NewReader(`{"config":{}}`), "dir"); !errors.Is(err, errNothingScanned) {
		t.Errorf("no modules: %v", err)
	}
	if err := newReport().read(strings.NewReader(stream()+`{"osv":`), "dir"); err == nil {
		t.Error("output that breaks off is taken")
	}
}
