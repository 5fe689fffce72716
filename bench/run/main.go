// Command bench-run measures epio beside other servers and writes a report. It starts
// every server itself, puts bench-load on it, and repeats that so that each figure has
// a neighbour of the same minute to be compared with.
//
//	bench-run                            measure everything: bench/out/run.json, report.md, report.svg
//	bench-run -quick                     less of it, in less time
//	bench-run -report bench/out/run.json the report again, from the rows of an earlier run
//	bench-run -report FILE -readme README.md
//	                                     also replace the marked section of the README and docs/bench.svg
//
// SIGINT and SIGTERM end it, with everything it has started.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type options struct {
	bin    string
	node   string
	out    string
	quick  bool
	report string
	readme string
	only   string
	rounds int
	time   time.Duration
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench-run: ")
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder with the programs that scripts/build makes")
	flag.StringVar(&o.node, "node", "bench/node", "folder with the Node servers and their packages")
	flag.StringVar(&o.out, "out", "bench/out", "folder to write to")
	flag.BoolVar(&o.quick, "quick", false, "fewer servers, works and rounds; not for quoting")
	flag.StringVar(&o.only, "only", "", "measure these servers only, separated by commas")
	flag.IntVar(&o.rounds, "rounds", 0, "repeat everything so often; 0 means as planned, three times at most")
	flag.DurationVar(&o.time, "time", 0, "length of each work; 0 means as planned, a second at most")
	flag.StringVar(&o.report, "report", "", "measure nothing: make the report from this file of rows")
	flag.StringVar(&o.readme, "readme", "", "also replace the marked section of this README, and docs/bench.svg beside it")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}
	if o.rounds < 0 || o.time < 0 {
		log.Fatal("-rounds and -time cannot be negative")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := do(ctx, o); err != nil {
		stop()
		log.Fatal(err)
	}
}

func do(ctx context.Context, o options) error {
	var r *run
	var err error
	if o.report != "" {
		r, err = readRun(o.report)
	} else {
		r, err = measureAll(ctx, o)
	}
	if err != nil {
		return err
	}
	rep := newReport(r)
	text, picture := rep.markdown("report.svg"), rep.picture()
	if err := errors.Join(
		writeFile(filepath.Join(o.out, "report.md"), []byte(text)),
		writeFile(filepath.Join(o.out, "report.svg"), picture),
	); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "written: %s, report.svg\n", filepath.Join(o.out, "report.md"))
	switch {
	case o.readme == "":
		return nil
	case r.Environment.Quick:
		return errQuick
	}
	return updateReadme(o.readme, rep, picture)
}

var errQuick = errors.New("a quick run is not for the README")

func updateReadme(file string, rep *report, picture []byte) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := replaceMarked(string(old), rep.readme("docs/bench.svg", "[Performance](docs/performance.md)"))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return errors.Join(
		writeFile(file, []byte(text)),
		writeFile(filepath.Join(filepath.Dir(file), "docs", "bench.svg"), picture),
	)
}

func measureAll(ctx context.Context, o options) (*run, error) {
	load := filepath.Join(o.bin, "bench-load")
	if _, err := os.Stat(load); err != nil {
		return nil, fmt.Errorf("no program %s: run scripts/build", load)
	}
	env := newEnvironment()
	env.Quick = o.quick
	targets, missing := servers(o.bin, o.node)
	sections, tooLarge := plan(o.quick, env.Files)
	for i := range sections {
		sections[i].Rounds = cmp.Or(o.rounds, sections[i].Rounds)
		sections[i].Time = cmp.Or(o.time, sections[i].Time)
		sections[i].Warm = cmp.Or(o.time/2, sections[i].Warm)
	}
	targets, err := pick(targets, o.only)
	if err != nil {
		return nil, err
	}
	r := &run{Environment: env, Sections: sections, Servers: targets, Notes: append(missing, tooLarge...)}
	for _, l := range r.Environment.lines() {
		fmt.Fprintf(os.Stderr, "%s: %s\n", l[0], l[1])
	}
	if env.busy() {
		fmt.Fprintln(os.Stderr, "WARNING: the machine is busy with something else")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(os.Stderr, "SKIPPED: %s\n", note)
	}
	if len(r.Servers) == 0 {
		return nil, errors.New("no server to measure")
	}
	fmt.Fprintf(os.Stderr, "about %v\n", duration(r.Sections, r.Servers).Round(10*time.Second))
	m := &runner{
		load: []string{load}, log: os.Stderr,
		start: 15 * time.Second, stop: 3 * time.Second, work: 15 * time.Second, grace: time.Second,
	}
	if r.Rows, err = m.all(ctx, r.Sections, r.Servers); err != nil {
		return nil, err
	}
	return r, r.write(filepath.Join(o.out, "run.json"))
}

// pick returns the servers named in a list, all when it is empty.
func pick(servers []server, names string) ([]server, error) {
	if names == "" {
		return servers, nil
	}
	var picked []server
	for name := range strings.SplitSeq(names, ",") {
		s, ok := find(servers, name)
		if !ok {
			var all []string
			for _, s := range servers {
				all = append(all, s.Name)
			}
			return nil, fmt.Errorf("-only: no server %q; there are %s", name, strings.Join(all, ", "))
		}
		picked = append(picked, s)
	}
	return picked, nil
}
