package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// environment is where the figures come from. What cannot be found out is empty.
type environment struct {
	Date   time.Time `json:"date"`
	Commit string    `json:"commit"`
	System string    `json:"system"` // distribution
	Kernel string    `json:"kernel"`
	CPU    string    `json:"cpu"` // model
	Cores  int       `json:"cores"`
	Memory int       `json:"memory"` // bytes
	Others float64   `json:"others"` // cores that others kept busy before the start
	Files  uint64    `json:"files"`  // open files a process may have
	Go     string    `json:"go"`
	Node   string    `json:"node,omitempty"`
	Quick  bool      `json:"quick,omitempty"`
}

func newEnvironment() environment {
	e := environment{
		Date:   time.Now().UTC().Truncate(time.Second),
		Commit: commit(),
		CPU:    valueIn("/proc/cpuinfo", "model name"),
		System: strings.Trim(valueIn("/etc/os-release", "PRETTY_NAME"), `"`),
		Cores:  runtime.NumCPU(),
		Go:     runtime.Version(),
		Node:   command("node", "--version"),
		Files:  fileLimit(),
		Others: busyCores("/proc/stat", time.Second),
	}
	if e.CPU == "" {
		e.CPU = runtime.GOARCH
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		e.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		e.Memory = int(uint64(info.Totalram) * uint64(info.Unit))
	}
	return e
}

// busy reports whether the machine had other work, which figures suffer from.
func (e environment) busy() bool { return e.Others > 0.1*float64(e.Cores) }

// busyCores returns how many cores are busy on average for a while, zero when it cannot
// tell. The load average would remember what has just been compiled.
func busyCores(file string, d time.Duration) float64 {
	before, ok := readTicks(file)
	if !ok {
		return 0
	}
	started := time.Now()
	<-time.After(d)
	after, ok := readTicks(file)
	if !ok {
		return 0
	}
	const perSecond = 100 // USER_HZ
	return max(0, float64(after-before)/perSecond/time.Since(started).Seconds())
}

// readTicks returns the time that all cores together have been busy, in ticks, from the
// first line of /proc/stat: "cpu" and the times of user, nice, system, idle, iowait,
// irq, softirq, steal; the rest is counted in these already.
func readTicks(file string) (busy uint64, ok bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, false
	}
	for i, f := range fields[1:9] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return 0, false
		}
		if i != 3 && i != 4 {
			busy += n
		}
	}
	return busy, true
}

// fileLimit returns the open files a server and the load generator may have each.
func fileLimit() uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return l.Max // Go and Node raise the soft limit to this
}

// commit returns the commit that is checked out, with a mark when files differ from it.
func commit() string {
	c := command("git", "rev-parse", "--short=12", "HEAD")
	if c != "" && command("git", "status", "--porcelain", "--untracked-files=no") != "" {
		c += " with changes"
	}
	return c
}

// command returns what a program prints, nothing when it fails.
func command(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(out))
}

// valueIn returns the first value of a key in a file of lines such as "key: value" or
// "key=value".
func valueIn(file, key string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		i := strings.IndexAny(lines.Text(), ":=")
		if i >= 0 && strings.TrimSpace(lines.Text()[:i]) == key {
			return strings.TrimSpace(lines.Text()[i+1:])
		}
	}
	return ""
}

// lines returns the environment as names and values.
func (e environment) lines() [][2]string {
	lines := [][2]string{
		{"date", e.Date.Format("2006-01-02 15:04 MST")},
		{"commit", e.Commit},
		{"processor", fmt.Sprintf("%s, %d cores", e.CPU, e.Cores)},
		{"memory", fmt.Sprintf("%.1f GiB", float64(e.Memory)/(1<<30))},
		{"system", strings.Trim(e.System+", "+e.Kernel, ", ")},
		{"Go", e.Go},
		{"Node", e.Node},
		{"cores busy with something else before the start", fmt.Sprintf("%.2f", e.Others)},
		{"open files per process", fmt.Sprint(e.Files)},
	}
	kept := lines[:0]
	for _, l := range lines {
		if l[1] != "" {
			kept = append(kept, l)
		}
	}
	return kept
}
