package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

func main() {
	db := flag.String("db", "", "folder with the reports of the database")
	flag.Parse()
	if *db == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	failed, err := check(os.Stdout, *db, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

// check scans modules and writes what was found. failed says that something has to be done about it.
func check(w io.Writer, db string, modules []string) (failed bool, err error) {
	r := newReport()
	root, err := os.Getwd()
	if err != nil {
		return false, err
	}
	// Two at a time: a scan is mostly one thread's work, and takes a gigabyte.
	errs := make([]error, len(modules))
	places := make(chan struct{}, 2)
	var all sync.WaitGroup
	for i, dir := range modules {
		if abs, err := filepath.Abs(dir); err != nil {
			return false, err
		} else if dir, err = filepath.Rel(root, abs); err != nil {
			return false, err
		}
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if err := scan(r, db, dir); err != nil {
				errs[i] = fmt.Errorf("%s: %w", dir, err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return false, err
	}
	return r.write(w, runtime.Version()), nil
}

// scan adds what govulncheck says about the module in dir. What is called takes twenty times as long to find as what is
// imported, so it is only looked for where it decides.
func scan(r *report, db, dir string) error {
	abs, err := filepath.Abs(db)
	if err != nil {
		return err
	}
	if err := govulncheck(r, abs, dir, "package"); err != nil || !r.undecided(dir) {
		return err
	}
	return govulncheck(r, abs, dir, "symbol")
}

// govulncheck runs it once, at the level how, with the database in the folder db, an absolute path.
func govulncheck(r *report, db, dir, how string) error {
	// A folder of reports without an index is enough for govulncheck, which makes the index itself.
	cmd := exec.Command("govulncheck", "-C", dir, "-db", "file://"+filepath.ToSlash(db), "-format", "json", "-scan", how, "-test", "./...")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := r.read(out, dir)
	if readErr != nil {
		_, _ = io.Copy(io.Discard, out) // so that it can end; readErr is what counts
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("govulncheck: %w\n%s", err, complaints.Bytes())
	}
	return readErr
}

// message is what govulncheck writes, as far as it is of interest here.
//
// Source: https://pkg.go.dev/golang.org/x/vuln/internal/govulncheck#Message
type message struct {
	SBOM *struct {
		Modules []struct {
			Path string `json:"path"`
		} `json:"modules"`
	} `json:"SBOM"`
	OSV *struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"osv"`
	Finding *struct {
		OSV   string  `json:"osv"`
		Fixed string  `json:"fixed_version"` // empty: in no version
		Trace []frame `json:"trace"`         // from the vulnerable function to ours
	} `json:"finding"`
}

type frame struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Package  string `json:"package"`
	Function string `json:"function"`
	Receiver string `json:"receiver"`
}

// errNothingScanned says that there was no list of modules in the output: govulncheck has not looked at anything.
var errNothingScanned = errors.New("govulncheck lists no modules")

// read adds the messages of one scan, that of the module in dir.
func (r *report) read(out io.Reader, dir string) error {
	scanned := false
	for dec := json.NewDecoder(out); ; {
		var m message
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("output of govulncheck: %w", err)
		}
		r.mu.Lock()
		switch {
		case m.SBOM != nil:
			scanned = scanned || len(m.SBOM.Modules) > 0
		case m.OSV != nil:
			r.summaries[m.OSV.ID] = m.OSV.Summary
		case m.Finding != nil && len(m.Finding.Trace) > 0:
			r.add(dir, m.Finding.OSV, m.Finding.Fixed, m.Finding.Trace)
		}
		r.mu.Unlock()
	}
	if !scanned {
		return errNothingScanned
	}
	return nil
}
