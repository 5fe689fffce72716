package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that was started. The kernel ends it with this one.
type process struct {
	cmd  *exec.Cmd
	addr string
}

func start(argv ...string) (*process, *bufio.Scanner, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...)}
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return p, bufio.NewScanner(out), p.cmd.Start()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// cpu returns the CPU time the process has used.
func (p *process) cpu() (time.Duration, error) {
	// CPUCLOCK_SCHED of a process, see clock_getcpuclockid(3).
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|2), &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}

// cluster is three nodes, a Redis, and clients.
type cluster struct {
	redis *process
	nodes []*process // a, b, c

	driver *client // on a; asks it to send
	local  *client // on a, in room "local"
	remote *client // on b, in room "remote"
	next   int     // number of the next event
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func startCluster(ctx context.Context, o *options, kind, adapter string) (*cluster, error) {
	c := new(cluster)
	redis, err := freeAddr()
	if err != nil {
		return c, err
	}
	_, port, _ := net.SplitHostPort(redis)
	if c.redis, _, err = start(o.redis, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no",
		"--dir", os.TempDir(), "--loglevel", "warning"); err != nil {
		c.redis = nil
		return c, err
	}
	if err := listens(ctx, redis); err != nil {
		return c, fmt.Errorf("redis: %w", err)
	}
	for _, name := range []string{"a", "b", "c"} {
		n, err := startNode(o, kind, name, "--adapter", adapter, "--redis", redis)
		if err != nil {
			return c, err
		}
		c.nodes = append(c.nodes, n)
	}
	for _, cl := range []struct {
		at   **client
		node int
		room string
	}{{&c.driver, 0, ""}, {&c.local, 0, "local"}, {&c.remote, 1, "remote"}} {
		if *cl.at, err = connect(ctx, c.nodes[cl.node].addr); err != nil {
			return c, err
		}
		if cl.room == "" {
			continue
		}
		if err := (*cl.at).call(ctx, "join", `["`+cl.room+`"]`); err != nil {
			return c, err
		}
	}
	return c, c.reaches(ctx)
}

// reaches waits until the subscriptions of rooms are in place.
func (c *cluster) reaches(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := c.driver.send(`42["emitTo",{"rooms":["remote"]},"probe"]`); err != nil {
			return err
		}
		select {
		case <-c.remote.probed:
			// What is still on its way is not part of anything.
			return c.remote.call(ctx, "sseLog", "")
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// startNode starts a node and waits until it is ready.
func startNode(o *options, kind, name string, args ...string) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	argv := []string{o.goNode}
	if kind == "node" {
		argv = []string{"node", o.jsNode}
	}
	p, out, err := start(append(append(argv, "--port", port, "--name", name), args...)...)
	if err != nil {
		return nil, err
	}
	p.addr = addr
	for out.Scan() {
		if out.Text() == "READY" {
			return p, nil
		}
	}
	p.kill()
	return nil, fmt.Errorf("node %s is not ready", name)
}

func listens(ctx context.Context, addr string) error {
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (c *cluster) stop() {
	for _, cl := range []*client{c.driver, c.local, c.remote} {
		if cl != nil {
			cl.close()
		}
	}
	for _, n := range c.nodes {
		n.kill()
	}
	if c.redis != nil {
		c.redis.kill()
	}
}

// spent returns the CPU time of a, b, c and Redis.
func (c *cluster) spent() (all [4]time.Duration, err error) {
	for i, p := range []*process{c.nodes[0], c.nodes[1], c.nodes[2], c.redis} {
		if all[i], err = p.cpu(); err != nil {
			return all, err
		}
	}
	return all, nil
}

// busyCores returns how many processors the machine uses already.
func busyCores(d time.Duration) float64 {
	read := func() (busy float64) {
		text, err := os.ReadFile("/proc/stat")
		if err != nil {
			return 0
		}
		line, _, _ := strings.Cut(string(text), "\n")
		for i, f := range strings.Fields(line) {
			// user nice system idle iowait irq softirq
			if i > 0 && i != 4 && i != 5 && i < 8 {
				n, _ := strconv.ParseFloat(f, 64)
				busy += n
			}
		}
		return busy
	}
	from := read()
	time.Sleep(d)
	return (read() - from) / 100 / d.Seconds()
}
