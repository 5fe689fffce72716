package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a server that was started. It leads a process group of its own, so that
// an interrupt from the terminal reaches only the runner, which then stops it; and
// the kernel kills it should the runner be killed.
type process struct {
	cmd   *exec.Cmd
	out   *output
	ended chan struct{} // closed when the process has ended
	err   error         // how; read after ended is closed
}

// start starts a program. What it prints is kept for the errors.
func start(argv []string) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), out: newOutput("listening on"), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = time.Second // for output that somebody else holds open
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ready waits until the server says that it listens.
func (p *process) ready(ctx context.Context, bound time.Duration) error {
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-p.out.found:
		return nil
	case <-p.ended:
		return p.endedError()
	case <-timer.C:
		return fmt.Errorf("the server did not listen within %v%s", bound, p.out.quote())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// endsWithin reports how the server has ended or ends within bound, nil if it does not.
func (p *process) endsWithin(bound time.Duration) error {
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.endedError()
	case <-timer.C:
		return nil
	}
}

func (p *process) endedError() error {
	how := "with status 0"
	if p.err != nil {
		how = "(" + p.err.Error() + ")"
	}
	return fmt.Errorf("the server ended %s%s", how, p.out.quote())
}

// stop ends the server with SIGTERM and, when it has not ended within bound, with
// SIGKILL. It returns when the process is gone.
func (p *process) stop(bound time.Duration) {
	select {
	case <-p.ended: // its number may be another's by now
		return
	default:
	}
	syscall.Kill(-p.pid(), syscall.SIGTERM)
	if p.endsWithin(bound) == nil {
		syscall.Kill(-p.pid(), syscall.SIGKILL)
		<-p.ended
	}
}

// output keeps the end of what a process prints and watches for a phrase.
type output struct {
	found chan struct{} // closed when the phrase was printed

	mu     sync.Mutex
	phrase []byte
	seen   bool
	tail   []byte
}

const maxTail = 4 << 10 // bytes

func newOutput(phrase string) *output {
	return &output{phrase: []byte(phrase), found: make(chan struct{})}
}

// Write never fails.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, b...)
	if !o.seen && bytes.Contains(o.tail, o.phrase) {
		o.seen = true
		close(o.found)
	}
	if len(o.tail) > maxTail {
		o.tail = append(o.tail[:0], o.tail[len(o.tail)-maxTail:]...)
	}
	return len(b), nil
}

// quote returns the line that says most, for an error message: the first that looks
// like an error, else the last. It is empty when nothing was printed.
func (o *output) quote() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(o.tail)), "\n")
	line := lines[len(lines)-1]
	for _, l := range lines {
		if strings.Contains(l, "rror: ") || strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") {
			line = l
			break
		}
	}
	if line == "" {
		return ""
	}
	return fmt.Sprintf("; it printed %.200q", line)
}

var errNoPort = errors.New("no free port on the loopback interface")

// freePorts returns n addresses nobody listens on at the moment.
func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoPort, err)
		}
		defer ln.Close() // all at the end, so that they differ
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}
