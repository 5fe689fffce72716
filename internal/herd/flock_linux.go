package herd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const envFlock = "EPIO_FLOCK"

// Flock describes connections to a server that is going to end, by what they do meanwhile.
// Those that are closed connect to Next.
type Flock struct {
	Addr, Next string

	Idle  int // WebSockets that wait
	Slow  int // WebSockets that have called "slow", whose handler has emitted "begun" and goes on
	Asked int // WebSockets that have emitted "ask", were called back with "confirm", and answer within Answers
	Mute  int // WebSockets that have called "fill" and read nothing behind its answer
	Polls int // parked polls

	Answers time.Duration
}

// Size is how many connections there are.
func (f *Flock) Size() int { return f.Idle + f.Slow + f.Asked + f.Mute + f.Polls }

// Report is what became of a flock. Mute members do not count: they hear of nothing.
type Report struct {
	Closed   int   // heard that they are to leave: a close frame, or CLOSE as the answer to a poll
	Cut      int   // lost their connection without
	Answered int   // Slow ones that had their answer, before that
	Moved    int   // are connected to Next now
	Spread   []int // when Idle ones and Polls heard of it: how many in each tenth of a second
	Err      string
}

// RunningFlock is the process with the connections of a Flock.
type RunningFlock struct{ process }

// Run starts a process with the flock and returns when all stand, and wait for what they
// are to wait for.
func (f *Flock) Run() (*RunningFlock, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	p, err := start(envFlock + "=" + string(b))
	if err != nil {
		return nil, fmt.Errorf("flock: %w", err)
	}
	return &RunningFlock{p}, nil
}

// Leave says when the server was told to end, and returns when all but the mute ones have
// moved.
func (r *RunningFlock) Leave(told time.Time) (rep Report, err error) {
	if _, err := fmt.Fprintln(r.stdin, told.UnixNano()); err != nil {
		return rep, err
	}
	line, err := r.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &rep)
	}
	if err == nil && rep.Err != "" {
		err = errors.New(rep.Err)
	}
	return rep, err
}

// bird is one member: a connection without a goroutine.
type bird struct {
	nc     net.Conn
	fd     int
	role   role
	buf    []byte // what is incomplete
	callID string // Asked: of the call
}

type role uint8

const (
	idle role = iota
	slow
	asked
	mute
	poll
)

// flockMain is the process that Run starts.
func flockMain() {
	conf := os.Getenv(envFlock)
	if conf == "" {
		return
	}
	var f Flock
	if err := json.Unmarshal([]byte(conf), &f); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	birds, err := f.settle()
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadString('\n')
	if err != nil {
		os.Exit(0)
	}
	nano, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	rep, kept := f.leave(birds, time.Unix(0, nano))
	_ = json.NewEncoder(os.Stdout).Encode(rep)
	io.Copy(io.Discard, in)
	for _, c := range kept {
		c.Close()
	}
	os.Exit(0)
}

// settle opens all connections.
func (f *Flock) settle() (all []*bird, err error) {
	for r, n := range map[role]int{idle: f.Idle, slow: f.Slow, asked: f.Asked, mute: f.Mute, poll: f.Polls} {
		for range n {
			b, err := f.arrive(r)
			if err != nil {
				return nil, fmt.Errorf("role %d, after %d connections: %w", r, len(all), err)
			}
			all = append(all, b)
		}
	}
	return all, nil
}

func (f *Flock) arrive(r role) (*bird, error) {
	if r == poll {
		nc, err := dialPoll(f.Addr)
		return newBird(r, nc), err
	}
	c, err := Dial(f.Addr)
	if err != nil {
		return nil, err
	}
	b := newBird(r, c.nc)
	switch r {
	case slow:
		if err = c.Write(`421["slow"]`); err == nil {
			err = c.want(`42["begun"]`)
		}
	case mute:
		if err = c.nc.(*net.TCPConn).SetReadBuffer(1); err == nil {
			err = c.Write(`421["fill"]`)
		}
		if err == nil {
			err = c.want(`431[`)
		}
	case asked:
		if err = c.Write(`42["ask"]`); err != nil {
			break
		}
		var got string
		if got, err = c.Read(); err == nil {
			id, ok := strings.CutSuffix(strings.TrimPrefix(got, "42"), `["confirm"]`)
			if b.callID = id; !ok {
				err = fmt.Errorf("got %q", got)
			}
		}
	}
	if n := c.br.Buffered(); n > 0 && r != mute {
		return nil, fmt.Errorf("role %d: %d bytes more than expected", r, n)
	}
	return b, err
}

func newBird(r role, nc net.Conn) *bird {
	b := &bird{nc: nc, role: r}
	if tc, ok := nc.(*net.TCPConn); ok {
		nc.SetDeadline(time.Time{})
		if raw, err := tc.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { b.fd = int(fd) })
		}
	}
	return b
}

// dialPoll opens a session on polling, joins "/" and leaves a poll waiting.
func dialPoll(addr string) (net.Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(timeout))
	br := bufio.NewReader(nc)
	path := "/socket.io/?EIO=4&transport=polling"
	send := func(method, body string) error {
		_, err := fmt.Fprintf(nc, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s",
			method, path, addr, len(body), body)
		return err
	}
	ask := func(method, body, prefix string) (string, error) {
		if err := send(method, body); err != nil {
			return "", err
		}
		got, err := readBody(br)
		if err == nil && !strings.HasPrefix(got, prefix) {
			err = fmt.Errorf("got %q, want %q", got, prefix)
		}
		return got, err
	}
	const open = `0{"sid":"`
	got, err := ask("GET", "", open)
	if err != nil {
		return nil, err
	}
	sid, _, _ := strings.Cut(got[len(open):], `"`)
	path += "&sid=" + sid
	if _, err := ask("POST", "40", "ok"); err != nil {
		return nil, err
	}
	if _, err := ask("GET", "", "40{"); err != nil {
		return nil, err
	}
	return nc, send("GET", "")
}

// readBody reads an HTTP response.
func readBody(br *bufio.Reader) (string, error) {
	n := -1
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return "", err
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.EqualFold(name, "Content-Length") {
			n, _ = strconv.Atoi(strings.TrimSpace(value))
		}
		if line == "\r\n" {
			break
		}
	}
	if n < 0 {
		return "", errors.New("no Content-Length")
	}
	p := make([]byte, n)
	_, err := io.ReadFull(br, p)
	return string(p), err
}

// movers is how many connect again at once.
const movers = 8

// leave plays the roles until all but the mute have moved. kept are their connections.
func (f *Flock) leave(birds []*bird, told time.Time) (rep Report, kept []net.Conn) {
	var mu sync.Mutex // guards rep.Moved, rep.Err and kept
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		rep.Err = err.Error()
	}
	moving := make(chan struct{}, len(birds))
	var moved sync.WaitGroup
	for range movers {
		moved.Go(func() {
			for range moving {
				c, err := Dial(f.Next)
				if err != nil {
					fail(err)
					continue
				}
				c.br = nil
				mu.Lock()
				rep.Moved++
				kept = append(kept, c.nc)
				mu.Unlock()
			}
		})
	}
	if err := f.watch(birds, told, &rep, moving); err != nil {
		fail(err)
	}
	close(moving)
	moved.Wait()
	for _, b := range birds {
		b.nc.Close()
	}
	return rep, kept
}

// watch reads from all but the mute until each is closed.
func (f *Flock) watch(birds []*bird, told time.Time, rep *Report, moving chan<- struct{}) error {
	ep, err := syscall.EpollCreate1(0)
	if err != nil {
		return err
	}
	defer syscall.Close(ep)
	byFD := make(map[int]*bird, len(birds))
	var answers []*bird
	for _, b := range birds {
		if b.role == mute {
			continue
		}
		byFD[b.fd] = b
		if b.role == asked {
			answers = append(answers, b)
		}
		if err := syscall.EpollCtl(ep, syscall.EPOLL_CTL_ADD, b.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(b.fd)}); err != nil {
			return err
		}
	}
	each := f.Answers / time.Duration(len(answers)+1)
	events := make([]syscall.EpollEvent, 256)
	buf := make([]byte, 64<<10)
	for end, given := told.Add(2*timeout), 0; len(byFD) > 0; {
		now := time.Now()
		if now.After(end) {
			return fmt.Errorf("%d connections were not closed", len(byFD))
		}
		for ; given < len(answers) && now.Sub(told) >= time.Duration(given)*each; given++ {
			b := answers[given]
			c := Conn{nc: b.nc}
			if err := c.Write("43" + b.callID + "[true]"); err != nil {
				return fmt.Errorf("answer: %w", err)
			}
		}
		n, err := syscall.EpollWait(ep, events, 10)
		if err != nil && err != syscall.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			b := byFD[int(e.Fd)]
			n, err := syscall.Read(b.fd, buf)
			if err == syscall.EAGAIN || err == syscall.EINTR {
				continue
			}
			told100 := int(time.Since(told) / (100 * time.Millisecond))
			ended := n <= 0
			if ended {
				rep.Cut++
			} else {
				b.buf = append(b.buf, buf[:n]...)
				if ended = b.take(rep); ended {
					rep.Closed++
				}
			}
			if !ended {
				continue
			}
			if b.role == idle || b.role == poll {
				for len(rep.Spread) <= told100 {
					rep.Spread = append(rep.Spread, 0)
				}
				rep.Spread[told100]++
			}
			delete(byFD, b.fd)
			b.nc.Close()
			moving <- struct{}{}
		}
	}
	return nil
}

// take looks at what has come and reports whether that is the end.
func (b *bird) take(rep *Report) (ended bool) {
	if b.role == poll {
		_, body, ok := bytes.Cut(b.buf, []byte("\r\n\r\n"))
		return ok && string(body) == "1"
	}
	for len(b.buf) >= 2 {
		n, head := int(b.buf[1]), 2
		if n == 126 {
			if head = 4; len(b.buf) < head {
				return false
			}
			n = int(binary.BigEndian.Uint16(b.buf[2:]))
		}
		if len(b.buf) < head+n {
			return false
		}
		op, text := b.buf[0]&15, string(b.buf[head:head+n])
		b.buf = b.buf[head+n:]
		switch {
		case op == 8:
			return true
		case b.role == slow && strings.HasPrefix(text, "431["):
			rep.Answered++
		}
	}
	return false
}
