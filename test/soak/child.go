package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
)

// child is the server's process.
type child struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers chan report
	dead    chan struct{}

	mu   sync.Mutex // guards asking
	last report     // the last figures
}

var errDead = errors.New("the server's process has ended")

func startChild(o options, failf func(string, ...any)) (*child, []address, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, nil, err
	}
	c := &child{cmd: exec.Command(exe), answers: make(chan report, 1), dead: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), childOptions+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, nil, err
	}
	go func() {
		defer close(c.dead)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var m report
			if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
				failf("the server's process printed %q", lines.Bytes())
				continue
			}
			switch m.Kind {
			case "fail":
				failf("%s", m.Text)
			default:
				c.answers <- m
			}
		}
	}()
	m, err := c.answer()
	return c, m.Nodes, err
}

// ask sends a command and waits for what it is answered with.
func (c *child) ask(cmd command) (report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, err := json.Marshal(cmd)
	if err != nil {
		return report{}, err
	}
	if _, err := c.stdin.Write(append(text, '\n')); err != nil {
		return report{}, err
	}
	m, err := c.answer()
	if m.Kind == "figures" {
		c.last = m
	}
	return m, err
}

func (c *child) answer() (report, error) {
	select {
	case m := <-c.answers:
		return m, nil
	case <-c.dead:
		return report{}, errDead
	}
}

// end ends the process in good order.
func (c *child) end() error {
	c.stdin.Close()
	<-c.dead
	return c.cmd.Wait()
}

func (c *child) kill() {
	c.stdin.Close()
	c.cmd.Process.Kill()
}
