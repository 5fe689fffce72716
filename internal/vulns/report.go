package main

import (
	"cmp"
	"fmt"
	"go/version"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// reach says how near a vulnerability is to our code.
type reach int

const (
	required reach = iota // the module is required
	imported              // the package is imported
	called                // the function can be called
)

// key is one vulnerability in one version of a module.
type key struct{ osv, module, version string }

type finding struct {
	key
	reach reach
	fixed string // the version with the remedy, or empty
	dir   string // the module of ours it was found in, at this reach
	from  string // the function of ours, if called
}

// report gathers what scans find, several at a time. It is safe for concurrent use until it is written.
type report struct {
	mu        sync.Mutex
	findings  map[key]finding
	summaries map[string]string // by id
	imports   map[string]bool   // modules of ours that import a vulnerable package of another module
}

func newReport() *report {
	return &report{findings: make(map[key]finding), summaries: make(map[string]string), imports: make(map[string]bool)}
}

// standardLibrary is the module path govulncheck gives it.
const standardLibrary = "stdlib"

// add adds, with r.mu held, a finding in the module of ours in dir. Of several, the nearest stays.
func (r *report) add(dir, osv, fixed string, trace []frame) {
	at := trace[0]
	f := finding{key: key{osv, at.Module, at.Version}, fixed: fixed, dir: dir}
	switch {
	case at.Function != "":
		f.reach = called
		last := trace[len(trace)-1]
		f.from = strings.TrimPrefix(last.Receiver+"."+last.Function, ".")
		f.from = last.Package + "." + strings.TrimPrefix(f.from, "*")
	case at.Package != "":
		f.reach = imported
	}
	if f.reach >= imported && f.module != standardLibrary {
		r.imports[dir] = true
	}
	if old, known := r.findings[f.key]; !known || f.reach > old.reach {
		r.findings[f.key] = f
	}
}

// undecided reports whether something that was found in the module in dir would be a failure if it were called, and nobody
// has looked at that yet.
func (r *report) undecided(dir string) bool {
	if !published(dir) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.imports[dir]
}

// published reports whether the module in dir, relative to the repository, is one that others import. The programs in
// examples and bench are not.
func published(dir string) bool {
	top, _, _ := strings.Cut(filepath.ToSlash(dir), "/")
	return top != "examples" && top != "bench"
}

// write writes what was found with the Go release current, and returns whether that is a failure.
func (r *report) write(w io.Writer, current string) (failed bool) {
	all := slices.SortedFunc(maps.Values(r.findings), func(a, b finding) int {
		return cmp.Or(-cmp.Compare(a.reach, b.reach), cmp.Compare(a.module, b.module), cmp.Compare(a.osv, b.osv))
	})
	mended := ""
	var std []string
	for _, f := range all {
		var note string
		switch {
		case f.module == standardLibrary:
			if f.reach >= imported {
				std = append(std, f.osv)
				if fixed := "go" + strings.TrimPrefix(f.fixed, "v"); version.Compare(fixed, mended) > 0 {
					mended = fixed
				}
			}
			continue
		case f.reach == called:
			note = "FAILURE"
			failed = true
		default:
			note = "note"
		}
		fmt.Fprintf(w, "%s: %s in %s %s, %s\n\t%s\n", note, f.osv, f.module, f.version, f.remedy(), r.summaries[f.osv])
		switch f.reach {
		case called:
			fmt.Fprintf(w, "\tcalled from %s (%s)\n", f.from, f.dir)
		case imported:
			called := "the function not called"
			if !published(f.dir) {
				called = "what is called was not looked at"
			}
			fmt.Fprintf(w, "\tthe package is imported, %s (%s)\n", called, f.dir)
		default:
			fmt.Fprintf(w, "\tthe module is required, the package not imported (%s)\n", f.dir)
		}
	}
	if len(std) > 0 {
		fmt.Fprintf(w, "WARNING: packages of %s that are imported have known vulnerabilities, %s mends them: %s\n",
			current, cmp.Or(mended, "no release"), strings.Join(std, ", "))
	}
	return failed
}

func (f *finding) remedy() string {
	if f.fixed == "" {
		return "not mended in any version"
	}
	return "mended in " + f.fixed
}
