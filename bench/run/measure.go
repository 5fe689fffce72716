package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runner measures servers, one at a time.
type runner struct {
	load []string // the load generator's command
	// Bounds of what a server may take to listen and to end, and of a work besides the
	// time it measures.
	start, stop, work time.Duration
	// grace is how long a server with which something went wrong is given to end by
	// itself, so that the reason can be told.
	grace time.Duration
	log   io.Writer
}

// all measures the sections. Every round walks along the servers once per group of
// works, every other round backwards, so that a machine that gets slower does not
// always punish the same. It ends early, with the cause, when ctx is cancelled;
// servers that do not work become rows with an error.
func (r *runner) all(ctx context.Context, sections []section, servers []server) ([]row, error) {
	var rows []row
	pass := 0
	for _, s := range sections {
		present := slices.DeleteFunc(slices.Clone(s.Servers), func(name string) bool {
			_, ok := find(servers, name)
			return !ok
		})
		for round := range s.Rounds {
			for _, works := range s.Groups {
				pass++
				fmt.Fprintf(r.log, "%s, %d clients, round %d of %d: %s\n", s.Name, s.Clients, round+1, s.Rounds, strings.Join(works, ", "))
				for _, name := range present {
					target, _ := find(servers, name)
					got := r.visit(ctx, target, s, works)
					if ctx.Err() != nil {
						return rows, context.Cause(ctx)
					}
					for _, m := range got {
						rows = append(rows, row{s.Name, pass, name, m})
					}
					fmt.Fprintf(r.log, "  %-14s%s\n", name, brief(got))
				}
			}
			slices.Reverse(present)
		}
	}
	return rows, nil
}

// brief says in one line what was measured.
func brief(got []measurement) string {
	var b strings.Builder
	for _, m := range got {
		switch {
		case m.Error != "":
			fmt.Fprintf(&b, "  %s: %s", m.Work, m.Error)
		case m.Work == "idle":
			fmt.Fprintf(&b, "  %s %s KiB", m.Work, number(m.PerConn/1024))
		default:
			fmt.Fprintf(&b, "  %s %s µs", m.Work, number(m.CPU))
		}
	}
	return b.String()
}

// visit starts one server, puts the load on it and stops it. It returns a measurement,
// perhaps one with an error, for everything that was asked for.
func (r *runner) visit(ctx context.Context, target server, s section, works []string) []measurement {
	got, err := r.tryVisit(ctx, target, s, works)
	var rows []measurement
	for _, work := range works {
		for _, name := range rowsOf(work) {
			i := slices.IndexFunc(got, func(m measurement) bool { return m.Work == name })
			switch {
			case i >= 0:
				got[i].Clients = s.Clients // what was asked for; with fewer there is an error
				rows = append(rows, got[i])
			case err != nil:
				rows = append(rows, measurement{Work: name, Clients: s.Clients, Error: err.Error()})
			default:
				rows = append(rows, measurement{Work: name, Clients: s.Clients, Error: "the load generator said nothing about it"})
			}
		}
	}
	return rows
}

func (r *runner) tryVisit(ctx context.Context, target server, s section, works []string) ([]measurement, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	addr, debug := ports[0], ports[1]
	argv := append(slices.Clone(target.Command), "-addr", addr)
	if target.Debug {
		argv = append(argv, "-pprof", debug)
	}
	p, err := start(argv)
	if err != nil {
		return nil, err
	}
	defer p.stop(r.stop)
	if err := p.ready(ctx, r.start); err != nil {
		return nil, err
	}
	args := func(clients int, time time.Duration) []string {
		return []string{
			"-addr", addr, "-pid", strconv.Itoa(p.pid()), "-json", "-protocol", target.Protocol, "-stall", "5s",
			"-clients", strconv.Itoa(clients), "-payload", strconv.Itoa(s.Payload), "-time", time.String(), "-work", strings.Join(works, ","),
		}
	}
	if s.warms(works) {
		// What goes wrong here does not count, either.
		r.runLoad(ctx, args(min(s.Clients, 1000), s.Warm), r.bound(s, works))
		if err := settle(ctx, p.pid()); err != nil {
			return nil, err
		}
	}
	measured := args(s.Clients, s.Time)
	if url := "http://" + debug + "/mallocs"; target.Debug && tellsAllocations(ctx, url) {
		measured = append(measured, "-mallocs", url)
	}
	got, err := r.runLoad(ctx, measured, r.bound(s, works))
	if ctx.Err() != nil || err == nil && complete(got, works) {
		return got, err
	}
	if ended := p.endsWithin(r.grace); ended != nil {
		for i := range got {
			if got[i].Error != "" {
				got[i].Error += "; " + ended.Error()
			}
		}
		err = ended
	}
	return got, err
}

// settle waits until a process has nothing to do any more, in order that what it does
// for clients that have left is not charged to the next. It waits for three seconds at
// most: a server that never rests is measured as it is.
func settle(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	const interval = 50 * time.Millisecond
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for before := processTime(pid); ; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil
			}
			return context.Cause(ctx)
		}
		now := processTime(pid)
		if now-before < interval/50 {
			return nil
		}
		before = now
	}
}

// processTime returns the CPU time of a process and all its threads, zero when there is
// none.
func processTime(pid int) time.Duration {
	// The clock of clock_getcpuclockid(3): CPUCLOCK_SCHED of a process.
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// complete reports whether there is a figure for everything that was asked for.
func complete(got []measurement, works []string) bool {
	n := 0
	for _, work := range works {
		n += len(rowsOf(work))
	}
	return len(got) == n && !slices.ContainsFunc(got, func(m measurement) bool { return m.Error != "" })
}

// bound returns how long the load generator may take for the works.
func (r *runner) bound(s section, works []string) time.Duration {
	return time.Duration(len(works))*(r.work+4*s.Time) + time.Duration(s.Clients)*4*time.Millisecond
}

// runLoad runs the load generator and returns its rows: those that it printed before
// an error, too.
func (r *runner) runLoad(ctx context.Context, args []string, bound time.Duration) ([]measurement, error) {
	late := fmt.Errorf("the load generator was not ready within %v", bound)
	ctx, cancel := context.WithTimeoutCause(ctx, bound, late)
	defer cancel()
	argv := append(slices.Clone(r.load), args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// A group of its own: an interrupt from the terminal comes through ctx.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = r.stop
	stdout, stderr := &limited{max: 1 << 20}, newOutput("\x00")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = fmt.Errorf("the load generator failed (%w)%s", err, stderr.quote())
	}
	var got []measurement
	for line := range bytes.Lines(stdout.kept.Bytes()) {
		var m measurement
		if json.Unmarshal(line, &m) != nil || m.Work == "" {
			return got, errors.Join(err, fmt.Errorf("the load generator printed %.100q", line))
		}
		got = append(got, m)
	}
	return got, err
}

// limited is a buffer that drops what is too much.
type limited struct {
	kept bytes.Buffer
	max  int // bytes
}

func (l *limited) Write(b []byte) (int, error) {
	l.kept.Write(b[:min(len(b), l.max-l.kept.Len())])
	return len(b), nil
}

// tellsAllocations reports whether there is a count of allocations at the URL.
func tellsAllocations(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var answer struct{ Mallocs uint64 }
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<10)).Decode(&answer)
	return resp.StatusCode == http.StatusOK && err == nil && answer.Mallocs > 0
}
