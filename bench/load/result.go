package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// result is one row. A row with an error has no figures.
type result struct {
	Work    string  `json:"work"`
	Clients int     `json:"clients"`
	Payload int     `json:"payload"`        // bytes
	Unit    string  `json:"unit,omitempty"` // what is counted
	Units   int     `json:"units"`
	CPU     float64 `json:"cpu_us"`     // server, user and system, per unit
	Rate    float64 `json:"per_second"` // units
	// Latency as docs of the work say. Zero where there is none.
	P50      float64  `json:"p50_us,omitempty"`
	P99      float64  `json:"p99_us,omitempty"`
	P999     float64  `json:"p999_us,omitempty"`
	Max      float64  `json:"max_us,omitempty"`
	Resident int      `json:"rss_bytes,omitempty"`      // of the server, at the end of the work
	Bytes    int      `json:"bytes_per_conn,omitempty"` // idle only
	Allocs   *float64 `json:"allocs,omitempty"`         // of the server, per unit; nil when it does not tell
	Busy     float64  `json:"load_busy,omitempty"`      // CPU time of this program per second: near 1 it was the bottleneck
	Error    string   `json:"error,omitempty"`
}

func (h *histogram) fill(r *result) {
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	r.P50, r.P99, r.P999, r.Max = us(h.percentile(50)), us(h.percentile(99)), us(h.percentile(99.9)), us(h.max)
}

const header = "work            clients payload      units  cpu us/unit      units/s    p50 us    p99 us  p99.9 us    max us   RSS MiB   B/conn  allocs  load"

// String returns a row of the table for people.
func (r result) String() string {
	if r.Error != "" {
		return fmt.Sprintf("%-15s %7d %7d  %s", r.Work, r.Clients, r.Payload, r.Error)
	}
	allocs := "-"
	if r.Allocs != nil {
		allocs = strconv.FormatFloat(*r.Allocs, 'f', 2, 64)
	}
	return fmt.Sprintf("%-15s %7d %7d %10d %12.3f %12.0f %9.0f %9.0f %9.0f %9.0f %9.1f %8d %7s  %4.2f",
		r.Work, r.Clients, r.Payload, r.Units, r.CPU, r.Rate, r.P50, r.P99, r.P999, r.Max, float64(r.Resident)/(1<<20), r.Bytes, allocs, r.Busy)
}

// meter measures what the server spends on one work.
type meter struct {
	l       *load
	mallocs int
	cpu     time.Duration
	own     time.Duration
	start   int64
}

func (l *load) meter() (meter, error) {
	m := meter{l: l}
	var err error
	if m.mallocs, err = l.mallocs(); err != nil {
		return m, err
	}
	if m.cpu, err = l.cpu(); err != nil {
		return m, err
	}
	if m.own, err = clockTime(unix.CLOCK_PROCESS_CPUTIME_ID); err != nil {
		return m, err
	}
	m.start = l.clock()
	return m, nil
}

// result ends the measurement, with units done.
func (m meter) result(unit string, units int) (result, error) {
	wall := time.Duration(m.l.clock() - m.start)
	r := result{Unit: unit, Units: units, Rate: float64(units) / wall.Seconds()}
	cpu, err := m.l.cpu()
	if err != nil {
		return r, err
	}
	own, err := clockTime(unix.CLOCK_PROCESS_CPUTIME_ID)
	if err != nil {
		return r, err
	}
	r.Busy = (own - m.own).Seconds() / wall.Seconds()
	r.CPU = float64(cpu-m.cpu) / 1e3 / float64(max(units, 1))
	mallocs, err := m.l.mallocs()
	if err != nil {
		return r, err
	}
	if m.l.o.mallocs != "" {
		r.Allocs = new(float64(max(mallocs-m.mallocs-m.l.spent, 0)) / float64(max(units, 1)))
	}
	return r, nil
}

// cpu returns the CPU time the server has used, user and system, in all its threads, those
// that have ended too. It is the clock of clock_getcpuclockid(3): what the scheduler has
// charged to the process, in nanoseconds. /proc/PID/stat shows the same sum in steps of 10 ms.
func (l *load) cpu() (time.Duration, error) {
	if l.o.pid == 0 {
		return 0, nil
	}
	// CPUCLOCK_SCHED of a process, see include/linux/posix-timers_types.h.
	d, err := clockTime(int32(^l.o.pid<<3 | 2))
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", l.o.pid, err)
	}
	return d, nil
}

func clockTime(clock int32) (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(clock, &t)
	return time.Duration(t.Nano()), err
}

// resident returns the server's resident memory in bytes. smaps_rollup is counted page by
// page; the numbers in /proc/PID/statm may be off by some hundred KiB.
func (l *load) resident() (int, error) {
	if l.o.pid == 0 {
		return 0, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", l.o.pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if f := strings.Fields(string(line)); len(f) == 3 && f[0] == "Rss:" {
			kb, err := strconv.Atoi(f[1])
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no resident memory of process %d", l.o.pid)
}

// mallocs asks the server how often it has allocated since its start.
func (l *load) mallocs() (int, error) {
	if l.o.mallocs == "" {
		return 0, nil
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(l.o.mallocs)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return 0, err
	}
	var answer struct {
		Mallocs *int `json:"mallocs"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Mallocs == nil {
		return 0, fmt.Errorf("%s answered %s", l.o.mallocs, quote(body))
	}
	return *answer.Mallocs, nil
}

// calibrate measures what asking for the allocations allocates itself.
func (l *load) calibrate() error {
	var before int
	for range 3 { // the first questions open the connection
		var err error
		if before, err = l.mallocs(); err != nil {
			return err
		}
	}
	after, err := l.mallocs()
	l.spent = after - before
	return err
}
