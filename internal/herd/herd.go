// Package herd opens many Socket.IO connections from one process, for tests of
// what connections cost. A member of the herd is a raw TCP connection that has
// done the WebSocket and Socket.IO handshakes; it has no goroutine.
//
// Herds run in a process of their own: client and server together would need
// twice the descriptors, and the server's memory is what is measured. Run starts
// the test binary again as that process.
package herd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	envAddr  = "EPIO_HERD_ADDR"
	envCount = "EPIO_HERD_COUNT"
	envEcho  = "EPIO_HERD_ECHO"
)

// timeout bounds each step of one connection.
const timeout = 30 * time.Second

// Main must be called first in TestMain. In the process that Run starts it opens
// the connections, keeps them until standard input ends, and exits. So it does for a Flock.
func Main() {
	flockMain()
	addr := os.Getenv(envAddr)
	if addr == "" {
		return
	}
	n, _ := strconv.Atoi(os.Getenv(envCount))
	echoes, _ := strconv.Atoi(os.Getenv(envEcho))
	conns := make([]*Conn, 0, n)
	for range n {
		c, err := Dial(addr)
		for range echoes {
			if err == nil {
				err = c.Echo("hello")
			}
		}
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		c.br = nil // 4 KiB each that nobody needs any more
		conns = append(conns, c)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	for _, c := range conns {
		c.nc.Close()
	}
	os.Exit(0)
}

// Herd is a running process with open connections.
type Herd struct{ process }

// Run starts a process that opens n connections to addr, does the given number of
// "echo" calls on each, and returns when all stand.
func Run(addr string, n, echoes int) (*Herd, error) {
	p, err := start(envAddr+"="+addr, envCount+"="+strconv.Itoa(n), envEcho+"="+strconv.Itoa(echoes))
	if err != nil {
		return nil, fmt.Errorf("herd: %w", err)
	}
	return &Herd{p}, nil
}

// process is the test binary, started again.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

// start starts it with additional environment and returns when it says that it is ready.
func start(env ...string) (p process, err error) {
	exe, err := os.Executable()
	if err != nil {
		return p, err
	}
	p.cmd = exec.Command(exe)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return p, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return p, err
	}
	p.out = bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		return p, err
	}
	line, err := p.out.ReadString('\n')
	if line != "ready\n" {
		return p, errors.Join(errors.New(strings.TrimSpace(line)), err, p.Stop())
	}
	return p, nil
}

// Stop closes the connections and ends the process.
func (p *process) Stop() error {
	p.stdin.Close()
	return p.cmd.Wait()
}

// Conn is a client connection in namespace "/".
type Conn struct {
	nc net.Conn
	br *bufio.Reader
}

// request resembles what a browser sends.
const request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" +
	"Host: %s\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
	"Upgrade: websocket\r\nOrigin: http://localhost:3000\r\nSec-WebSocket-Version: 13\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// Dial connects and joins "/".
func Dial(addr string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return nil, err
	}
	c := &Conn{nc, bufio.NewReader(nc)}
	nc.SetDeadline(time.Now().Add(timeout))
	if _, err := fmt.Fprintf(nc, request, addr); err != nil {
		return nil, err
	}
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == "\r\n" {
			break
		}
		if strings.HasPrefix(line, "HTTP/1.1 ") && !strings.HasPrefix(line, "HTTP/1.1 101 ") {
			return nil, fmt.Errorf("refused: %q", line)
		}
	}
	if err := c.want("0{"); err != nil {
		return nil, err
	}
	if err := c.Write("40"); err != nil {
		return nil, err
	}
	return c, c.want("40{")
}

// Echo calls the event "echo" and waits for its acknowledgement.
func (c *Conn) Echo(text string) error {
	if err := c.Write(`427["echo","` + text + `"]`); err != nil {
		return err
	}
	return c.want(`437["` + text + `"]`)
}

// Write sends a text frame of less than 126 bytes.
func (c *Conn) Write(text string) error {
	f := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
	_, err := c.nc.Write(f)
	return err
}

// Read returns the next text frame.
func (c *Conn) Read() (string, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.br, head[:2]); err != nil {
		return "", err
	}
	n := int(head[1])
	if n == 126 {
		if _, err := io.ReadFull(c.br, head[2:4]); err != nil {
			return "", err
		}
		n = int(binary.BigEndian.Uint16(head[2:]))
	}
	p := make([]byte, n)
	_, err := io.ReadFull(c.br, p)
	return string(p), err
}

// Close closes the TCP connection.
func (c *Conn) Close() error { return c.nc.Close() }

func (c *Conn) want(prefix string) error {
	got, err := c.Read()
	if err == nil && !strings.HasPrefix(got, prefix) {
		err = fmt.Errorf("got %q, want %q", got, prefix)
	}
	return err
}
